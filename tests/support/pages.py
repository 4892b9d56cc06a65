"""A reader of the project's pages: their sections, tables, fenced blocks and typed commands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples" / "audit_gate").glob("*.md")),
]
#: Under such a heading a command may be named that does not exist.
NOT_YET = re.compile(r"\bnot\b.*\byet\b", re.IGNORECASE)
#: Languages of the fenced blocks that hold what is typed into a shell.
SHELL = ("", "sh", "bash", "shell", "console")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


class PageSection(NamedTuple):
    """What stands between a heading and the next; `prose` is without the fenced blocks."""

    heading: str
    prose: str
    blocks: list[Block]


def read_sections(page: Path) -> list[PageSection]:
    """Returns the sections of a page; what stands before its first heading has the heading ''."""
    found = [PageSection("", "", [])]
    fence: str | None = None
    inside: list[str] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if fence is not None and line.startswith("```"):
            found[-1].blocks.append(Block(fence, "\n".join(inside)))
            fence, inside = None, []
        elif fence is not None:
            inside.append(line)
        elif line.startswith("```"):
            fence = line[3:].strip()
        elif heading := re.fullmatch(r"#+ (.+)", line):
            found.append(PageSection(heading[1].strip(), "", []))
        else:
            found[-1] = found[-1]._replace(prose=f"{found[-1].prose}{line}\n")
    assert fence is None, f"a fenced block of {page.name} is not closed"
    return found


def section(page: str, heading: str) -> PageSection:
    """Returns the one section with that heading."""
    [found] = [part for part in read_sections(DOCS / page) if part.heading == heading]
    return found


def block(page: str, first_words: str) -> str:
    """Returns the text of the one fenced block of a page that begins so."""
    sections = read_sections(DOCS / page)
    texts = [each.text for part in sections for each in part.blocks]
    [found] = [text for text in texts if text.startswith(first_words)]
    return found


def table(prose: str, first_column: str = "") -> list[dict[str, str]]:
    """Returns the rows of the first table, or of the first with that first column, by column."""
    lines = [line.strip() for line in prose.split("\n")]
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column}".strip()))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    head, ruler, *body = rows
    assert all(set(cell) <= set("-: ") for cell in ruler)
    return [dict(zip(head, row, strict=True)) for row in body]


def spans(text: str) -> list[str]:
    """Returns what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def first_span(row: dict[str, str], column: str) -> str:
    """Returns what stands in the first backticks of a cell."""
    return spans(row[column])[0]


def exceptions(module: ModuleType) -> dict[str, type[Exception]]:
    """Returns the exceptions that a module defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    }


def parents(tree: str) -> dict[str, str | None]:
    """Returns the parent of each name in a tree that is drawn by indentation."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( *)(\w+)  +\S", tree, re.MULTILINE):
        above = [(depth, upper) for depth, upper in above if depth < len(indent)]
        found[name] = above[-1][1] if above else None
        above.append((len(indent), name))
    return found


def typed_commands(page: Path, program: str) -> Iterator[list[str]]:
    """Yields the words after a program's name, for each command on a page that should work."""
    for part in read_sections(page):
        if NOT_YET.search(part.heading):
            continue
        typed = [each.text for each in part.blocks if each.language in SHELL]
        lines = [line for text in typed for line in text.split("\n")]
        for text in [*spans(part.heading), *spans(part.prose), *lines]:
            for words in _shell_commands(text):
                while words and (words[0] == "$" or "=" in words[0] or words[0] == "export"):
                    words = words[1:]
                if words and words[0].rsplit("/", 1)[-1] == program:
                    yield words[1:]


def _shell_commands(text: str) -> Iterator[list[str]]:
    """Yields the words of each command of a shell line."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;()")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # half a quotation: the line goes on
        words = text.split()
    for ends, some in groupby(words, lambda word: set(word) <= set("|&;()")):
        if not ends:
            yield list(some)
