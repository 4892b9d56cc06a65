"""What stands in a line of a report. A text is untrusted, and whatever writes it escapes it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """An inline number, or null, exactly as results.json has it, with what a reader sees."""

    raw: float | None
    text: str


@dataclass(frozen=True)
class Tag:
    """An inline mark; `tone` is claim, few, indicative, added, removed or changed."""

    text: str
    tone: str


@dataclass(frozen=True)
class Name:
    """An inline name from the dataset or a policy, set apart from the words around it."""

    text: str


@dataclass(frozen=True)
class Code:
    """An inline hash, path or command, to be copied as it is."""

    text: str


@dataclass(frozen=True)
class SectionLink:
    """An inline pointer to a section by key; its number is known only when all sections are."""

    key: str


#: Code stands by itself: a name such as a`b has backticks of its own.
_QUOTED = re.compile(r"(?<![\w`])`([^`\n]+)`(?![\w`])")

Inline = str | Value | Tag | Name | Code | SectionLink
Line = tuple[Inline, ...]


def quoted_line(text: str) -> Line:
    """Returns a sentence of results.json, in which backticks are around code, as a line."""
    parts = _QUOTED.split(text)
    return tuple(Code(part) if i % 2 else part for i, part in enumerate(parts) if part)
