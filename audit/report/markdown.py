"""The document as GitHub flavoured Markdown: the same story without drawings and folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from audit.report.document import (
    Beside,
    Block,
    Cell,
    Code,
    Document,
    Figures,
    Fold,
    Heading,
    Inline,
    Line,
    Paragraph,
    Points,
    SectionLink,
    Table,
    Tag,
    Terms,
    Value,
)
from audit.results.formatting import escaped
from moderation.visible_text import lines

Numbers = Mapping[str, tuple[int, str]]


def markdown(document: Document) -> str:
    """Returns the Markdown of a document."""
    numbers = document.numbers()
    parts = [f"# {escaped(document.title)}"]
    parts += [escaped(text) for text in document.summary[:1]]
    if document.summary[1:]:
        parts.append("\n".join(f"- {escaped(text)}" for text in document.summary[1:]))
    parts.append(
        "\n".join(
            f"- {escaped(tile.name)}: {_line((*tile.number, ' (', *tile.beside, ')'), numbers)}"
            for tile in document.tiles
        )
    )
    for section in document.sections:
        parts.append(f"## {numbers[section.key][0]}. {escaped(section.title)}")
        parts += _blocks(section.blocks, numbers)
        if any(isinstance(block, (Figures, Fold)) for block in section.blocks):
            parts.append("_The page, report.html, shows more of this._")
    return "\n\n".join(part for part in parts if part) + "\n"


def _blocks(blocks: Iterable[Block], numbers: Numbers) -> Iterator[str]:
    heading = ""
    for block in blocks:
        if isinstance(block, Heading):
            heading = f"### {escaped(block.text)}"
            continue
        if isinstance(block, (Figures, Fold)):
            continue
        # All that a heading stands over may be in the page alone.
        if heading:
            yield heading
        heading = ""
        if isinstance(block, Paragraph):
            yield _line(block.parts, numbers)
        elif isinstance(block, Points):
            yield "\n".join(f"- {_line(item, numbers)}" for item in block.items)
        elif isinstance(block, Terms):
            yield "\n".join(_term(name, lines, numbers) for name, lines in block.items)
        else:
            yield _table(block.table if isinstance(block, Beside) else block, numbers)


def _term(name: str, lines: Iterable[Line], numbers: Numbers) -> str:
    return f"- **{escaped(name)}**: " + "; ".join(_line(line, numbers) for line in lines)


def _table(table: Table, numbers: Numbers) -> str:
    rows = [
        "| " + " | ".join(escaped(column) for column in table.columns) + " |",
        "|" + " --- |" * len(table.columns),
        *("| " + " | ".join(_cell(cell, numbers) for cell in row) + " |" for row in table.rows),
    ]
    return f"**{escaped(table.caption)}**\n\n" + "\n".join(rows)


def _cell(cell: Cell, numbers: Numbers) -> str:
    return "; ".join(_line(line, numbers) for line in cell.lines)


def _line(line: Line, numbers: Numbers) -> str:
    return "".join(_inline(part, numbers) for part in line).strip()


def _inline(part: Inline, numbers: Numbers) -> str:
    if isinstance(part, str):
        return _spaced(part)
    if isinstance(part, SectionLink):
        number, title = numbers[part.key]
        return f"section {number}, {escaped(title)}"
    if isinstance(part, Tag):
        return f"**{escaped(part.text)}**" if part.tone == "claim" else f"_{escaped(part.text)}_"
    if isinstance(part, Code):
        return _code(part.text)
    return escaped(part.text) if not isinstance(part, Value) else part.text.replace("<", "&lt;")


def _spaced(text: str) -> str:
    """Returns an escaped text with the spaces at its ends, which separate it from numbers."""
    inside = escaped(text)
    if not inside:
        return " " if text else ""
    return f"{' ' * text[:1].isspace()}{inside}{' ' * text[-1:].isspace()}"


def _code(text: str) -> str:
    """Returns a text as code, in a fence longer than any run of backticks in it."""
    text = " ".join(lines(text).split())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text or ' '}{fence}"
