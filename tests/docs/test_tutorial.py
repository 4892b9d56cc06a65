"""The tutorial: every command on the page is typed, in its order, and prints what stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.command_line import moderation
from tests.support.pages import DOCS, read_sections

PAGE = "tutorial.md"
#: Where a reader's features are, if nothing else is said.
STORE = "~/.cache/evenhand/embeddings"


class Typed(NamedTuple):
    """A command of the page, what stands below it there, and what it printed."""

    command: str
    shown: list[str]
    printed: list[str]
    notes: list[str]
    code: int


class _Reader:
    """Types the page's commands in a folder with the pictures, and saves the page's files."""

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder, self._store = folder, str(store)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUDIT_", "MODERATION_"))}
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        named = {f"GIT_{who}_{what}": "reader@localhost" for who in ("AUTHOR", "COMMITTER")
                 for what in ("NAME", "EMAIL")}  # fmt: skip
        own = {"PATH": programs, "COLUMNS": "120", "GIT_CONFIG_GLOBAL": os.devnull}
        self._variables = {**kept, **named, **own, "MODERATION_STORE": self._store}

    def save(self, text: str) -> None:
        """Saves a file of the page, whose first line is its name."""
        name = text.split("\n")[0].removeprefix("# ")
        (self._folder / name).write_text(text + "\n", encoding="utf-8")

    def type(self, command: str, shown: list[str]) -> Typed:
        """Returns what a command prints."""
        if found := re.fullmatch(r"export (\w+)=(\S+)", command):
            self._variables[found[1]] = found[2]
            return Typed(command, shown, [], [], 0)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._variables,
            capture_output=True,
            text=True,
        )
        lines = self._lines(done.stdout), self._lines(done.stderr)
        return Typed(command, shown, *lines, done.returncode)

    def _lines(self, text: str) -> list[str]:
        return text.replace(self._store, STORE).split("\n")


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """Returns the commands of a block, each with the lines below it."""
    found: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def store(objects: Path, face_features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with what the model makes of all pictures of the page."""
    made = tmp_path_factory.mktemp("store") / "store"
    shutil.copytree(face_features, made)
    words = ("-p", "weapons", "--model", "starter", "--store", str(made))
    done = moderation("scan", str(objects), *words)
    assert "175 images: 175 embedded now" in done.stderr
    return made


# First, and each by itself, since to embed pictures takes longest of all.
def test_the_page_says_how_many_people_were_looked_at(faces: Path, face_features: Path) -> None:
    assert face_features.is_dir()
    assert len(list((faces / "images").iterdir())) == 700
    assert "700 from FairFace" in _text()


def test_the_page_says_how_many_pictures_were_scanned(store: Path) -> None:
    assert store.is_dir()
    assert "175 photographs from Caltech 101" in _text()


def _text() -> str:
    return " ".join((DOCS / PAGE).read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def typed(
    store: Path, objects: Path, faces: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Typed]:
    """Every command of the page, typed."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "pictures").symlink_to(objects)
    (folder / "faces").symlink_to(faces)
    reader, found = _Reader(folder, store), []
    for block in (each for part in read_sections(DOCS / PAGE) for each in part.blocks):
        if block.language == "yaml":
            reader.save(block.text)
        elif not block.language:
            found += [reader.type(*each) for each in _commands(block.text)]
    return found


def _alike(lines: list[str]) -> list[str]:
    """Returns lines without what differs from run to run: what the store already had."""
    told = (re.sub(r"\d+ embedded now|; no model was loaded", "", line) for line in lines)
    return [line.rstrip() for line in told if line.strip()]


def _stands_in(shown: list[str], printed: list[str]) -> bool:
    """Returns whether lines were printed as they are shown; `...` stands for any that are not."""
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def test_each_command_prints_what_stands_on_the_page(typed: list[Typed]) -> None:
    """Of what it prints nothing is left out but for `...`; of its notes some are shown."""
    assert len(typed) > 20
    for each in typed:
        printed, notes, shown = _alike(each.printed), _alike(each.notes), _alike(each.shown)
        noted = [line for line in shown if line in notes]
        assert noted == [line for line in notes if line in noted], each.command
        rest = [line for line in shown if line not in noted]
        assert _stands_in(rest, printed), (each.command, printed)


def test_no_command_fails_but_those_that_find_something(typed: list[Typed]) -> None:
    failed = [each.command for each in typed if each.code]
    assert failed == ["moderation policy lint shop.yaml", "moderation policy test shop.yaml"]


def _printed(typed: list[Typed], words: str) -> list[str]:
    """Returns what the commands with these words printed, a text each."""
    found = ["\n".join(each.printed) for each in typed if words in each.command]
    assert found
    return found


def test_what_the_page_counts_is_what_was_counted(typed: list[Typed]) -> None:
    text = _text()
    flagged = [
        tuple(map(int, re.findall(r"flags (\d+) of (?:\d+)", line)))
        for line in _printed(typed, "moderation evaluate")
    ]
    assert flagged == [(56, 46), (54, 8), (55, 2)]
    assert "Nearly all weapons are found, but two of five other pictures are flagged too" in text
    assert round(5 * 46 / 115) == 2
    [first, last] = _printed(typed, "audit run")
    counts = [re.findall(r"(\d+) of (\d+)", line)[:2] for line in (first, last)]
    assert counts == [[("132", "350"), ("56", "350")], [("14", "350"), ("2", "350")]]
    assert "more than a third of all men were flagged as weapons" in text
    assert 132 / 350 > 1 / 3
    [passed] = _printed(typed, "uniq -c")
    allowed = {name: int(n) for n, name in re.findall(r"(\d+) (\w+)", passed)}
    assert allowed == {"cup": 3, "pizza": 4, "strawberry": 5}
    assert "Of ten pictures of food, nine pass; of all 165 others, three, which are cups" in text
