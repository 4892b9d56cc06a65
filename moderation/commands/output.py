"""What commands print: rows of results as a table, JSON, JSON lines or CSV, and lines for people.

A row is a plain dict: the image's name with the verdict's JSON, or with an error. Nothing that is
printed for people acts on their terminal; JSON and CSV hold names as they are.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, TextIO, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from moderation.commands.options import RowFormat, TableOrJson
from moderation.errors import ModerationError
from moderation.messages import Verdict
from moderation.visible_text import json_text, lines, one_line, shown_name

T = TypeVar("T")
Row = dict[str, Any]

_SEVERITY = ("allow", "review", "block", "error")
COLOURS = {"block": "bold red", "review": "yellow", "allow": "green", "error": "magenta"}
#: The least characters of a column that folds its cells.
_ROOM = 24
_CSV_COLUMNS = (
    "image",
    "policy",
    "action",
    "flagged",
    "fired",
    "top_label",
    "top_similarity",
    "doubts",
    "error",
)


def verdict_row(image: str, verdict: Verdict) -> Row:
    """Returns the row to print of a verdict."""
    return {"image": image, **verdict.model_dump(mode="json")}


def error_row(image: str, error: ModerationError) -> Row:
    """Returns the row to print of an image without a verdict; `flagged` and `action` are null."""
    return {
        "image": image,
        "flagged": None,
        "action": None,
        "policy": None,
        "labels": [],
        "error": {"type": type(error).__name__, "message": str(error)},
    }


def print_results(
    groups: Iterable[list[Row]], form: RowFormat, *, total: int, doing: str
) -> list[Row]:
    """Prints the rows of each image with a progress bar, and returns all of them."""
    printed: list[Row] = []

    def rows() -> Iterator[Row]:
        for group in track(groups, total, doing):
            printed.extend(group)
            yield from group

    print_rows(rows(), form)
    return printed


def print_rows(rows: Iterable[Row], form: RowFormat, stream: TextIO | None = None) -> None:
    """Prints rows; JSON lines and CSV come one by one, so that a long run can be watched."""
    stream = stream or sys.stdout
    if form == "jsonl":
        for row in rows:
            stream.write(json_text(row) + "\n")
            stream.flush()
    elif form == "csv":
        writer = csv.DictWriter(stream, _CSV_COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(_printed_csv_row(row, to_people=stream.isatty()))
            stream.flush()
    elif form == "json":
        print_json(list(rows), stream)
    else:
        print_table(*verdict_table(rows), stream=stream)


def print_json(value: object, stream: TextIO | None = None) -> None:
    """Prints a value as JSON, over several lines."""
    print(json_text(value, indent=2), file=stream)


def print_problems(
    problems: Sequence[Any], form: TableOrJson, said: Iterable[str] | None = None
) -> None:
    """Prints problems, which are named tuples, and counts them, if there are any.

    JSON has all of them; people read the lines `said` instead, where they are given.
    """
    if form == "json":
        found = [problem._asdict() for problem in problems]
        print_json({"valid": not found, "problems": found})
    else:
        for line in problems if said is None else said:
            say(line)
    if problems:
        note(f"{len(problems)} problem{'s' * (len(problems) > 1)}")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], stream: TextIO | None = None
) -> None:
    """Prints a table of plain texts; nothing in them is read as markup.

    Where the table is too wide to be read, each cell of a row gets its own line. A cell under "id"
    is never broken: it is there to be copied.
    """
    console = Console(file=stream or sys.stdout)
    names = [one_line(name) for name in columns]
    texts = [
        [cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in row] for row in rows
    ]
    if _table_fits(names, texts, console.width):
        table = Table(header_style="bold", box=None, pad_edge=False)
        for name in names:
            table.add_column(Text(name), overflow="fold", no_wrap=name == "id")
        for line in texts:
            table.add_row(*line)
        console.print(table)
        return
    for number, line in enumerate(texts):
        console.print(*([""] if number else []), _printed_record(names, line), sep="\n")


def _table_fits(names: list[str], rows: list[list[Text]], width: int) -> bool:
    """Returns whether a table has room for its columns in print, with long cells folded."""
    needed = 2 * (len(names) - 1)
    for place, name in enumerate(names):
        widest = max((cell_len(name), *(row[place].cell_len for row in rows)))
        needed += widest if name == "id" else min(widest, _ROOM)
    return needed <= width


def _printed_record(names: list[str], row: list[Text]) -> Table:
    """Returns a row to print as lines of a name and a cell; empty cells are left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in zip(names, row, strict=True):
        if cell:
            table.add_row(Text(name), cell)
    return table


def _printed_csv_row(row: Row, *, to_people: bool) -> Row:
    top = _most_similar(row["labels"])
    error = row.get("error", {}).get("message")
    return {
        "image": shown_name(row["image"]) if to_people else row["image"],
        "policy": row["policy"] and row["policy"]["id"],
        "action": row["action"],
        "flagged": row["flagged"],
        "fired": " ".join(label["label"] for label in row["labels"] if label["fired"]),
        "top_label": top and top["label"],
        "top_similarity": top and round(top["similarity"], 6),
        "doubts": " ".join(row.get("doubts", ())),
        "error": one_line(error) if error and to_people else error,
    }


def _most_similar(labels: list[Row]) -> Row | None:
    """Returns the label to print as nearest to the image; similarities compare between policies.

    What a classifier scores resembles nothing.
    """
    compared = [label for label in labels if label.get("classifier") is None]
    return max(compared, key=lambda label: float(label["similarity"]), default=None)


def verdict_table(rows: Iterable[Row]) -> tuple[Sequence[str], list[Sequence[str | Text]]]:
    """Returns columns and a line for each image: what was decided, by which label, how sure.

    Several policies on one image share its line; the most severe action is the image's.
    """
    rows = list(rows)
    several = len({row["policy"]["id"] for row in rows if row["policy"]}) > 1
    by_image = groupby(rows, key=lambda row: str(row["image"]))
    lines = [_printed_verdict_line(image, list(group), several) for image, group in by_image]
    return ("image", "verdict", "because of", "looks most like"), lines


def _printed_verdict_line(image: str, rows: list[Row], several: bool) -> Sequence[str | Text]:
    action = max((row["action"] or "error" for row in rows), key=_SEVERITY.index)
    reasons = []
    for row in rows:
        policy = f" ({row['policy']['id']})" if several and row["policy"] else ""
        fired = [label for label in row["labels"] if label["outcome"] in ("review", "block")]
        for label in sorted(fired, key=lambda label: -float(label["score"])):
            reasons.append(f"{label['label']} {label['score']:.2f}{policy}")
        reasons += [name for name in row.get("doubts", ()) if name not in reasons]
        if "error" in row:
            reasons.append(row["error"]["message"])
    top = _most_similar([label for row in rows for label in row["labels"]])
    verdict = Text(action, COLOURS[action])
    return shown_name(image), verdict, ", ".join(reasons), top["label"] if top else ""


def summary(rows: list[Row]) -> str:
    """Returns a line to print that counts the rows by action."""
    counts = {action: sum(row["action"] == action for row in rows) for action in COLOURS}
    counts["error"] = sum("error" in row for row in rows)
    counted = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
    return f"{len(rows)} result{'s' * (len(rows) != 1)}: {counted}" if rows else "no results"


def note(text: str) -> None:
    """Prints a line for people on standard error: standard output is for data."""
    Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(
        one_line(text), markup=False
    )


def say(text: object = "") -> None:
    """Prints lines for people on standard output; nothing in them acts on a terminal."""
    print(lines(str(text)), flush=True)


def working(text: str) -> AbstractContextManager[object]:
    """Returns a context that shows a spinner on standard error, where that is a terminal."""
    return Console(stderr=True).status(text)


def track(items: Iterable[T], total: int, doing: str) -> Iterator[T]:
    """Yields the items, with a progress bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(doing, total=total)
        for item in items:
            progress.advance(task)
            yield item
