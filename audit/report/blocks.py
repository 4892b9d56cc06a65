"""The blocks of a report before they are HTML or Markdown: tables, figures, paragraphs, lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from audit.report.cells import Cell
from audit.report.inline import Inline, Line, Tag

#: A folded table shows up to this many rows, so that a page stays small.
_FOLDED_ROWS = 60


@dataclass(frozen=True)
class Table:
    """A table with its caption; a cell in the role of head names its row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, in a block of figures."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures side by side where there is room."""

    figures: tuple[Figure, ...]


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
    """Blocks that a reader of the page can open; Markdown leaves them out if it is not told."""

    summary: str
    blocks: tuple[Block, ...]
    in_markdown: bool = False


@dataclass(frozen=True)
class Beside:
    """A figure and its table, side by side where there is room."""

    figures: Figures
    table: Table


@dataclass(frozen=True)
class Thumbnail:
    """A small picture as a data URI, with what it is called."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures side by side, where someone asked to see them."""

    items: tuple[Thumbnail, ...]


Block = Table | Figures | Paragraph | Points | Terms | Heading | Fold | Beside | Thumbnails


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Returns the block of a table."""
    return Table(caption, tuple(columns), tuple(tuple(row) for row in rows))


def folded(shown: Table, summary: str = "", *, in_markdown: bool = False) -> Fold:
    """Returns the block of a table that a reader can open, by its caption or a summary.

    A long one shows the rows that stand first, and those with too few images last or not at all.
    """
    summary = summary or shown.caption
    if in_markdown or len(shown.rows) <= _FOLDED_ROWS:
        return Fold(summary, (shown,), in_markdown)
    kept = tuple(sorted(shown.rows, key=_says_little)[:_FOLDED_ROWS])
    note = (
        f"{len(kept)} of {len(shown.rows):,} rows: what stands comes first, and rows with too few "
        "images last. The CSV files hold all."
    )
    return Fold(summary, (paragraph(note), Table(shown.caption, shown.columns, kept)))


def _says_little(row: Sequence[Cell]) -> int:
    """Returns a key that sorts the rows of a table: claims, then numbers, then what is too few."""
    tags = (
        part.tone for cell in row for line in cell.lines for part in line if isinstance(part, Tag)
    )
    return 0 if "claim" in tags else 1 + any(cell.tone == "few" for cell in row)


def side_by_side(figures: Iterable[Figure]) -> Iterator[Figures]:
    """Yields the block of the figures together, if there are any."""
    if items := tuple(figures):
        yield Figures(items)


def paragraph(*parts: Inline, tone: str = "") -> Paragraph:
    """Returns the block of a paragraph."""
    return Paragraph(parts, tone)
