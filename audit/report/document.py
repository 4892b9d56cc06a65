"""What a report is made of before it is HTML or Markdown: sections, tables, figures, numbers.

A number is a `Value`, which keeps what results.json holds beside what a reader sees. Every other
text is untrusted, and whatever writes it escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """A number, or null, of results.json with the text that a reader sees."""

    raw: float | None
    text: str

    @property
    def json(self) -> str:
        """The value exactly as results.json writes it."""
        return json.dumps(self.raw)


@dataclass(frozen=True)
class Tag:
    """A word that marks a cell; `tone` is claim, few, indicative, added, removed or changed."""

    text: str
    tone: str


@dataclass(frozen=True)
class Name:
    """A name from the dataset or a policy, set apart from the words around it."""

    text: str


@dataclass(frozen=True)
class Code:
    """A hash, path or command, to be copied as it is."""

    text: str


@dataclass(frozen=True)
class SectionLink:
    """A pointer to a section by its key; its number is known only when all sections are."""

    key: str


Inline = str | Value | Tag | Name | Code | SectionLink
Line = tuple[Inline, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its first line, and smaller lines below it.

    Attributes:
        lines: what it says.
        role: head names the row, number is aligned right, text and prose are words.
        tone: few greys the cell out, claim and indicative mark it.
    """

    lines: tuple[Line, ...]
    role: str = "number"
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; a cell in the role of head names its row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """An inline drawing with its caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures side by side where there is room."""

    items: tuple[Figure, ...]


@dataclass(frozen=True)
class Paragraph:
    """Words; the tone note sets them apart."""

    parts: Line
    tone: str = ""


@dataclass(frozen=True)
class Points:
    """A list of words."""

    items: tuple[Line, ...]


@dataclass(frozen=True)
class Terms:
    """Names, each with what it is."""

    items: tuple[tuple[str, tuple[Line, ...]], ...]


@dataclass(frozen=True)
class Heading:
    """The heading of a part of a section."""

    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader of the page can open; Markdown leaves them out."""

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Beside:
    """A figure and its table, side by side where there is room."""

    figures: Figures
    table: Table


Block = Table | Figures | Paragraph | Points | Terms | Heading | Fold | Beside


@dataclass(frozen=True)
class Section:
    """A numbered part of the report; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """A headline figure: its name, its number, and what stands beside it."""

    name: str
    number: Line
    beside: Line


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    summary: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]

    def numbers(self) -> dict[str, tuple[int, str]]:
        """Returns the number and title of each section by its key."""
        return {each.key: (i, each.title) for i, each in enumerate(self.sections, start=1)}


def head(*lines: Inline) -> Cell:
    """Returns the cell that names a row."""
    return Cell(tuple((line,) for line in lines), role="head")


def words(*parts: Inline) -> Cell:
    """Returns a cell of words."""
    return Cell((parts,), role="text")


def number(*parts: Inline, tone: str = "") -> Cell:
    """Returns a cell of numbers on one line."""
    return Cell((parts,), tone=tone)


def stacked(*lines: Line, role: str = "number", tone: str = "") -> Cell:
    """Returns a cell of several lines; an empty one is left out."""
    return Cell(tuple(line for line in lines if line), role, tone)


def withheld() -> Cell:
    """Returns a cell for a number that rests on too few images."""
    return number("not shown", tone="few")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Returns a table of rows of cells."""
    return Table(caption, tuple(columns), tuple(tuple(row) for row in rows))


def folded(shown: Table, summary: str = "") -> Fold:
    """Returns a table that a reader of the page can open, by its caption or a summary."""
    return Fold(summary or shown.caption, (shown,))


def side_by_side(figures: Iterable[Figure]) -> Iterator[Figures]:
    """Yields the figures together, if there are any."""
    if items := tuple(figures):
        yield Figures(items)


def paragraph(*parts: Inline, tone: str = "") -> Paragraph:
    """Returns a paragraph."""
    return Paragraph(parts, tone)
