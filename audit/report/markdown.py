"""The document as GitHub flavoured Markdown: the same story without drawings and folds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from audit.report.blocks import (
    Beside,
    Block,
    Figures,
    Fold,
    Heading,
    Paragraph,
    Points,
    Table,
    Terms,
)
from audit.report.document import Document
from audit.report.inline import Code, Inline, Line, SectionLink, Tag, Value
from audit.results.formatting import escaped
from moderation.visible_text import lines

Numbers = Mapping[str, tuple[int, str]]


def markdown(document: Document) -> str:
    """Returns the Markdown of a document."""
    numbers = document.numbers()
    parts = [f"# {escaped(document.title)}"]
    parts.append(_markdown_line(document.opening.finding, numbers))
    for part in document.opening.parts:
        parts.append(f"**{escaped(part.title)}**")
        parts.append("\n".join(f"- {_markdown_line(line, numbers)}" for line in part.lines))
    for section in document.sections:
        parts.append(f"## {numbers[section.key][0]}. {escaped(section.title)}")
        parts += _markdown_blocks(section.blocks, numbers)
        if any(map(_is_of_page_alone, section.blocks)):
            parts.append("_The page, report.html, shows more of this._")
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_of_page_alone(block: Block) -> bool:
    return isinstance(block, Figures) or (isinstance(block, Fold) and not block.in_markdown)


def _markdown_blocks(blocks: Iterable[Block], numbers: Numbers) -> Iterator[str]:
    heading = ""
    for block in blocks:
        if isinstance(block, Heading):
            heading = f"### {escaped(block.text)}"
            continue
        if _is_of_page_alone(block):
            continue
        # All that a heading stands over may be in the page alone.
        if heading:
            yield heading
        heading = ""
        if isinstance(block, Fold):
            yield from _markdown_blocks(block.blocks, numbers)
        elif isinstance(block, Paragraph):
            yield _markdown_line(block.parts, numbers)
        elif isinstance(block, Points):
            yield "\n".join(f"- {_markdown_line(item, numbers)}" for item in block.items)
        elif isinstance(block, Terms):
            terms = ((name, _markdown_lines(lines, numbers)) for name, lines in block.items)
            yield "\n".join(f"- **{escaped(name)}**: {text}" for name, text in terms)
        elif isinstance(block, Table | Beside):
            yield _markdown_table(block.table if isinstance(block, Beside) else block, numbers)


def _markdown_table(table: Table, numbers: Numbers) -> str:
    rows = [
        [escaped(column) for column in table.columns],
        ["---"] * len(table.columns),
        *([_markdown_lines(cell.lines, numbers) for cell in row] for row in table.rows),
    ]
    lined = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{escaped(table.caption)}**\n\n{lined}"


def _markdown_lines(lines: Iterable[Line], numbers: Numbers) -> str:
    return "; ".join(_markdown_line(line, numbers) for line in lines)


def _markdown_line(line: Line, numbers: Numbers) -> str:
    return "".join(_markdown_part(part, numbers) for part in line).strip()


def _markdown_part(part: Inline, numbers: Numbers) -> str:
    if isinstance(part, str):
        return _markdown_words(part)
    if isinstance(part, SectionLink):
        number, title = numbers[part.key]
        return f"section {number}, {escaped(title)}"
    if isinstance(part, Tag):
        return f"**{escaped(part.text)}**" if part.tone == "claim" else f"_{escaped(part.text)}_"
    if isinstance(part, Code):
        return _markdown_code(part.text)
    return escaped(part.text) if not isinstance(part, Value) else part.text.replace("<", "&lt;")


def _markdown_words(text: str) -> str:
    """Returns an escaped text with the spaces at its ends, which separate it from numbers."""
    inside = escaped(text)
    if not inside:
        return " " if text else ""
    return f"{' ' * text[:1].isspace()}{inside}{' ' * text[-1:].isspace()}"


def _markdown_code(text: str) -> str:
    """Returns a text as code, in a fence longer than any run of backticks in it."""
    text = " ".join(lines(text).split())
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text or ' '}{fence}"
