"""Tables on narrow terminals, and texts that are not ours in tables and CSV."""

from __future__ import annotations

import csv
import io
import uuid

import pytest

from moderation.commands.output import error_row, print_rows, print_table
from moderation.errors import ImageError
from tests.support.command_line import is_plain

CALLBACKS = ("id", "since (UTC)", "to", "state", "tries", "next try (UTC)", "last error")
CALLBACK = (
    f"msg_{uuid.UUID(int=7).hex}",
    "2026-11-26 10:00:00",
    "https://hooks.example.com/evenhand/answers",
    "pending",
    "43210",
    "2026-11-26 10:05:00",
    "the receiver answered 503",
)
DECISIONS = ("id", "UTC", "action", "policy", "model", "image")
DECISION = (
    str(uuid.UUID(int=7)),
    "2026-11-26 10:00",
    "block",
    "document-privacy 1",
    "openai/clip-vit-base-patch32",
    "341a6f0a...",
)
QUARANTINED = ("id", "since (UTC)", "reason", "what is wrong", "state")
ENTRY = (
    str(uuid.UUID(int=7)),
    "2026-11-26 10:00",
    "unavailable",
    "the store did not answer",
    "open",
)


def printed(columns: tuple[str, ...], row: tuple[str, ...]) -> list[str]:
    stream = io.StringIO()
    print_table(columns, [row, row], stream)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("columns", "row"),
    [(CALLBACKS, CALLBACK), (DECISIONS, DECISION), (QUARANTINED, ENTRY)],
    ids=["callbacks", "decisions", "quarantine"],
)
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_cell_can_be_read_and_copied_however_narrow_the_terminal(
    columns: tuple[str, ...], row: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(columns, row)
    assert max(map(len, lines)) <= width
    for name, cell in zip(columns, row, strict=True):
        folds = width > 80 and len(cell) > 24 and name != "id"
        assert sum(cell in line for line in lines) >= 2 or folds, name


def test_a_table_that_fits_has_a_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert len(printed(CALLBACKS, CALLBACK)) == 3


def test_what_is_empty_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert not any("last error" in line for line in printed(CALLBACKS, (*CALLBACK[:-1], "")))


def test_a_table_shows_texts_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in ("30", "80"):
        monkeypatch.setenv("COLUMNS", width)
        text = "\n".join(printed(("[red]a", "b"), ("[bold]x :bomb:", "\x1b[2K\u202e" * 2)))
        assert "[red]a" in text
        assert "[bold]x :bomb:" in text
        assert "\x1b" not in text
        assert r"\x1b[2K\u202e" in text


def test_csv_holds_names_as_they_are_and_is_safe_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    name = "a\x1b[2K\r\nb.png"
    for stream, expected in (
        (io.StringIO(newline=""), name),
        (Terminal(newline=""), r"a\x1b[2K\r\nb.png"),
    ):
        print_rows([error_row(name, ImageError("it is\x1b[2K empty", name))], "csv", stream)
        written = stream.getvalue()
        [row] = csv.DictReader(io.StringIO(written, newline=""))
        assert row["image"] == expected
    assert is_plain(written.replace("\r\n", "\n"))
