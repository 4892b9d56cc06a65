"""Comments that suppress findings, each with a reason; the hash of a policy does not see them.

`# lint: ignore CODE: reason` behind a line, or on lines of their own above it, is for that line;
`# lint: ignore-file CODE: reason` in the comment that the file begins with is for the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import yaml

from moderation.errors import PolicyProblem
from moderation.policy.lint.finding import Level, LintFinding

_COMMENT = re.compile(r"#\s*lint:\s*(ignore(?:-file)?)\b[ \t]*([^\s:]*)[ \t]*(?::[ \t]*(.*))?$")


class Suppression(NamedTuple):
    """A comment that suppresses findings of a code.

    Attributes:
        code: of the findings.
        reason: why; "" where none is given, and then it suppresses nothing.
        line: where it stands.
        column: where it stands.
        covers: the line that it is for; None for the whole file.
    """

    code: str
    reason: str
    line: int
    column: int
    covers: int | None


def read_suppressions(text: str) -> list[Suppression]:
    """Returns the comments of a YAML text that suppress findings."""
    found = []
    written = text.splitlines()
    quoted = _scalar_spans(text)
    start = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        comment = _COMMENT.search(line.rstrip("\r\n"))
        at = start + comment.start() if comment else 0
        start += len(line)
        if comment is None or any(first <= at < last for first, last in quoted):
            continue
        kind, code, reason = comment.groups()
        covers = None if kind == "ignore-file" else _covered_line(written, number)
        column = comment.start() + 1
        found.append(Suppression(code, (reason or "").strip(), number, column, covers))
    return found


def _scalar_spans(text: str) -> list[tuple[int, int]]:
    """Returns where quoted texts and blocks stand: a # in them does not begin a comment."""
    return [
        (token.start_mark.index, token.end_mark.index)
        for token in yaml.scan(text, Loader=yaml.SafeLoader)
        if isinstance(token, yaml.ScalarToken) and not token.plain
    ]


def _covered_line(written: list[str], number: int) -> int:
    """Returns the line that a comment is for: its own, or the next that is not a comment."""
    while number <= len(written) and written[number - 1].lstrip().startswith("#"):
        number += 1
    return number


def unsuppressed(
    findings: list[LintFinding],
    suppressions: list[Suppression],
    path: str,
    levels: Mapping[str, Level],
    checked: Collection[str],
) -> Iterator[LintFinding]:
    """Yields the findings that no comment suppresses, and what is wrong with the comments.

    Args:
        findings: of a file, without those of an invalid one, which nothing suppresses.
        suppressions: the comments of that file.
        path: the file.
        levels: of every code that can be suppressed, and of what is said of comments.
        checked: codes whose rules had what they need; only of these can a comment be unused.
    """
    used: set[Suppression] = set()
    for finding in findings:
        by = [each for each in suppressions if _covers(each, finding)]
        used |= {*by}
        if not any(each.reason for each in by):
            yield finding
    for each in suppressions:
        if said := _comment_problem(each, levels, checked, each in used):
            code, message, remedy = said
            problem = PolicyProblem(path, each.line, each.column, message, remedy)
            yield LintFinding.of(code, levels[code], problem)


def _covers(suppression: Suppression, finding: LintFinding) -> bool:
    return suppression.code == finding.code and suppression.covers in (None, finding.line)


def _comment_problem(
    suppression: Suppression,
    levels: Mapping[str, Level],
    checked: Collection[str],
    is_used: bool,
) -> tuple[str, str, str] | None:
    """Returns what is wrong with a comment: code, message, remedy; None where it suppresses."""
    code = suppression.code
    if code not in levels or code.startswith("ignore-"):
        message = f"'{code}' is not a code that can be suppressed"
        return "ignore-unknown-code", message, "docs/lint.md has the codes"
    if not suppression.reason:
        message = "this suppresses nothing, since it gives no reason"
        return "ignore-without-reason", message, f"Write # lint: ignore {code}: and why"
    if not is_used and code in checked:
        return "ignore-unused", f"nothing of '{code}' is found here", "Remove the comment"
    return None
