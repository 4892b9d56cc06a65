"""The cells of a report's tables: heads, words, and numbers with n and a mark of few images."""

from __future__ import annotations

from dataclasses import dataclass

from audit.datasets.groups import OVERALL
from audit.report.inline import Inline, Line, Tag
from audit.report.shown_numbers import count, count_of, p_value, percent, rate_line
from audit.results.rows import Rate
from audit.statistics.support import SUPPRESSED_BELOW


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


def few_tone(support: str) -> str:
    """Returns the tone of a cell, which greys it out where it may show only counts."""
    return "few" if support == "suppressed" else ""


def support_mark(support: str) -> Line:
    """Returns the mark of a cell with few images, and nothing for one with enough."""
    if support == "suppressed":
        return (Tag(f"too few (n < {SUPPRESSED_BELOW})", "few"),)
    return (Tag("indicative", "indicative"),) if support == "indicative" else ()


def marked_line(line: Line, support: str) -> Line:
    """Returns a line of a cell, with the mark of few images after it where there are few."""
    mark = support_mark(support)
    return (*line, " ", *mark) if mark else line


def rate_cell(rate: Rate) -> Cell:
    """Returns a rate as a cell; a suppressed one shows its count and n, and no rate."""
    counted = count_of(rate.count, rate.n)
    if rate.n == 0:
        return stacked((percent(None),), counted, tone="few")
    if rate.support == "suppressed":
        return stacked(counted, support_mark(rate.support), tone="few")
    tone = rate.support if support_mark(rate.support) else ""
    return stacked(
        rate_line(rate.rate, rate.low, rate.high), marked_line(counted, rate.support), tone=tone
    )


def group_head(by: str, group: str, *more: Inline) -> Cell:
    """Returns the cell that names a group and its sensitive feature, or all images."""
    return head("All images", *more) if by == OVERALL else head(group, by, *more)


def size_cell(n: int, support: str) -> Cell:
    """Returns how many images a group has as a cell."""
    return stacked((count(n),), support_mark(support), tone=few_tone(support))


def adjusted_p_cell(p_report: float | None, p_adjusted: float | None) -> Cell:
    """Returns the p that makes a claim, adjusted over the whole report; and that of its family."""
    if p_report is None and p_adjusted is None:
        return number("not tested")
    return stacked((p_value(p_report),), ("in its family ", p_value(p_adjusted)))


def claim_cell(claim: bool, support: str) -> Cell:
    """Returns a cell that says in a word whether a figure stands after correction."""
    mark = support_mark(support)
    if support == "suppressed":
        return stacked(mark, role="text", tone="few")
    return stacked((Tag("stands", "claim"),) if claim else ("no claim",), mark, role="text")
