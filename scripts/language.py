"""Refuses phrases that read like a translation, in comments, docstrings, messages and Markdown.

    scripts/language.py [FILE...]

Without files it reads all that are under the rules of CONTRIBUTING.md. It skips code in backticks
and fenced blocks. `language: quoted` in a comment on the line of a finding allows a true quotation.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("moderation", "audit", "tests", "benchmarks", "docs", "policies", "examples", "scripts")
KINDS = (".py", ".md", ".yaml", ".json")
QUOTED = "language: quoted"
#: Its samples are phrases that are not allowed.
SAMPLES = ROOT / "tests" / "docs" / "test_language.py"

#: Words that "else" belongs to, as in "nothing else".
_WITH_ELSE = (
    r"or|what|whatever|who|whoever|whom|where|wherever|how|when|why|all|much|little|one|"
    r"(?:no|any|some|every)(?:thing|body|one|where|how)"
)
#: What may follow "is no".
_AFTER_NO = (
    r"longer|more|less|fewer|better|worse|larger|smaller|bigger|shorter|higher|lower|older|newer|"
    r"faster|slower|earlier|later|closer|nearer|further|wider|greater|cheaper|harder|easier|"
    r"stronger|different|such|doubt|use|one"
)
_IS = r"(?<!\bthere )(?<!\bThere )\b(?:is|are|was|were|be)"


class Rule(NamedTuple):
    """A phrase, and what to write in its place."""

    phrase: re.Pattern[str]
    instead: str


RULES = (
    Rule(re.compile(r"\bElse\b(?! if\b)|[,;:] else\b"), 'write "otherwise"'),
    Rule(re.compile(rf"\b(?!(?i:{_WITH_ELSE})\b)\w+ else\b(?! if\b)"), 'write "otherwise"'),
    Rule(re.compile(rf"{_IS} none\b(?! of\b)"), 'write "is not", or say what there is'),
    Rule(re.compile(r"\bwhose\b[^.;:]*\bnone\b"), 'write "without", or a sentence of its own'),
    Rule(re.compile(rf"{_IS} no (?!(?:{_AFTER_NO})\b)\w+"), 'write "is not a"'),
    Rule(re.compile(r"\b[Aa]new\b"), 'write "again"'),
    Rule(re.compile(r"\b(?:[Ff]or|[Ii]n|than|by|every) so (?:many|long)\b"), 'write "this many"'),
    Rule(re.compile(r"\b[Ss]et aside\b"), 'write "quarantined"'),
    Rule(re.compile(r"\b[Hh]eld against\b"), 'write "checked against"'),
)


class Text(NamedTuple):
    """A piece of prose, with the line on which it begins."""

    line: int
    words: str


class Finding(NamedTuple):
    """A phrase that a file should not have."""

    line: int
    phrase: str
    instead: str


def findings(path: Path) -> list[Finding]:
    """Returns the phrases of a file that are against the rules, by line."""
    source = path.read_text(encoding="utf-8")
    quoted = {n for n, line in enumerate(source.splitlines(), 1) if QUOTED in line}
    texts = _texts_of_python(source) if path.suffix == ".py" else _paragraphs(1, source)
    found = {finding for text in texts for finding in _findings_in(text)}
    return sorted(finding for finding in found if finding.line not in quoted)


def _findings_in(text: Text) -> Iterator[Finding]:
    prose = re.sub(r"`[^`]+`", _blank_code, text.words)
    flat = re.sub(r"\s", " ", prose)
    for rule in RULES:
        for match in rule.phrase.finditer(flat):
            line = text.line + prose.count("\n", 0, match.start())
            yield Finding(line, match[0], rule.instead)


def _blank_code(code: re.Match[str]) -> str:
    """Returns a code span with its letters gone and its lines kept."""
    return re.sub(r"[^\n]", "`", code[0])


def _paragraphs(line: int, source: str) -> Iterator[Text]:
    """Yields the paragraphs of Markdown, YAML or a docstring, without fenced blocks."""
    prose = re.sub(r"^```.*?^```", _blank_lines, source, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^[ ]*[#>]+ ?", "", prose, flags=re.MULTILINE)
    for paragraph in re.finditer(r"(?:^.*\S.*\n?)+", prose, re.MULTILINE):
        words = re.sub(r"\n\s*", "\n", paragraph[0])
        yield Text(line + prose.count("\n", 0, paragraph.start()), words)


def _blank_lines(block: re.Match[str]) -> str:
    return "\n" * block[0].count("\n")


def _texts_of_python(source: str) -> Iterator[Text]:
    """Yields the comments, docstrings and other texts of a module."""
    lines: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0]] = token.string.lstrip("#: ")
    last = max(lines, default=0)
    yield from _paragraphs(1, "\n".join(lines.get(n, "") for n in range(1, last + 1)))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _paragraphs(node.lineno, node.value)


def files() -> list[Path]:
    """Returns all files that are under the rules."""
    below = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted((*ROOT.glob("*.md"), *below))


def is_read(path: Path) -> bool:
    """Returns whether a file is of a kind that is read, and holds no samples of what is refused."""
    return path.suffix in KINDS and path != SAMPLES


def main() -> int:
    """Prints each finding with its place; returns 1 if there are any."""
    found = False
    for path in [Path(name).resolve() for name in sys.argv[1:]] or files():
        for line, phrase, instead in findings(path) if is_read(path) else ():
            print(f"{os.path.relpath(path)}:{line}: “{phrase}”: {instead}")
            found = True
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
