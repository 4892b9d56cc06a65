"""Numbers of results.json as readers see them: percent, points, ratios, counts and p, with n."""

from __future__ import annotations

from collections.abc import Callable

from audit.datasets.dataset import OVERALL
from audit.report.document import Cell, Inline, Line, Tag, Value, head, stacked
from audit.results.rows import Rate
from audit.statistics.support import SUPPRESSED_BELOW

#: A space that keeps a number and its unit on one line.
SPACE = "\u00a0"

UNDEFINED, UNLIMITED = "undefined", "no limit"

#: A smaller p is shown as less than this.
_SMALLEST_P = 0.0001

Form = Callable[[float | None], Value]


def count(raw: int) -> Value:
    """Returns a count: 2,085."""
    return Value(raw, f"{raw:,}")


def plain(raw: float | None) -> Value:
    """Returns a setting as it is written: 0.5."""
    return Value(raw, "none" if raw is None else f"{raw:g}")


def percent(raw: float | None, like: float | None = None) -> Value:
    """Returns a rate: 7.05 %, or 12.3 %; with the decimals of `like`, where given."""
    return Value(raw, UNDEFINED if raw is None else f"{_hundredfold(raw, like)}{SPACE}%")


def bare_percent(raw: float | None, like: float | None = None) -> Value:
    """Returns a rate without its sign, for the bounds of an interval."""
    return Value(raw, UNDEFINED if raw is None else _hundredfold(raw, like))


def whole_percent(raw: float) -> Value:
    """Returns a level of confidence: 95 %."""
    return Value(raw, f"{100 * raw:g}{SPACE}%")


def points(raw: float | None) -> Value:
    """Returns a difference of rates in percentage points: +1.15."""
    return Value(raw, UNDEFINED if raw is None else signed(_hundredfold(raw, None)))


def size(raw: float | None) -> Value:
    """Returns the size of a difference in percentage points without its sign: 1.15."""
    return Value(raw, UNDEFINED if raw is None else _hundredfold(abs(raw), None))


def ratio(raw: float | None) -> Value:
    """Returns a ratio: 1.84."""
    return Value(raw, UNDEFINED if raw is None else f"{raw:.2f}")


def decimal(raw: float | None) -> Value:
    """Returns a measure with three decimals: 0.317."""
    return Value(raw, UNDEFINED if raw is None else minus(f"{raw:.3f}"))


def p_value(raw: float | None) -> Value:
    """Returns a p: 0.032, or < 0.0001."""
    if raw is None:
        return Value(raw, UNDEFINED)
    if raw < _SMALLEST_P:
        return Value(raw, f"<{SPACE}{_SMALLEST_P}")
    return Value(raw, f"{raw:.4f}" if raw < 0.01 else f"{raw:.3f}")


def signed(text: str) -> str:
    """Returns a number's text with its sign, as it is set in type."""
    zero = not text.strip("-0.,")
    return minus(text) if zero or text.startswith("-") else f"+{text}"


def minus(text: str) -> str:
    """Returns a number's text with a real minus sign; a zero has no sign."""
    return text.lstrip("-") if not text.strip("-0.,") else text.replace("-", "−")


def _hundredfold(raw: float, like: float | None) -> str:
    leading = raw if like is None else like
    return f"{100 * raw:,.{2 if abs(leading) < 0.1 else 1}f}"


def interval(low: float | None, high: float | None, form: Form) -> Line:
    """Returns the bounds of an interval: [6.03, 8.23]; one without a limit says so."""
    if low is None and high is None:
        return (f"{SPACE}[", Value(None, UNDEFINED), "]")
    upper = Value(None, UNLIMITED) if high is None else form(high)
    lower = Value(None, UNLIMITED) if low is None else form(low)
    return (f"{SPACE}[", lower, f",{SPACE}", upper, "]")


def rate_line(rate: float | None, low: float | None, high: float | None) -> Line:
    """Returns a rate with its interval: 7.05 % [6.03, 8.23]."""
    if rate is None:
        return (percent(None),)
    return (percent(rate), *interval(low, high, lambda raw: bare_percent(raw, rate)))


def points_line(net: float | None, low: float | None, high: float | None) -> Line:
    """Returns a difference in points with its interval."""
    return (points(net),) if net is None else (points(net), *interval(low, high, points))


def of(counted: int, n: int) -> Line:
    """Returns a count and what it is of: 147 of 2,085."""
    return (count(counted), " of ", count(n))


def support_tag(support: str) -> Line:
    """Returns the mark of a cell with few images, and nothing for one with enough."""
    if support == "suppressed":
        return (Tag(f"too few (n < {SUPPRESSED_BELOW})", "few"),)
    return (Tag("indicative", "indicative"),) if support == "indicative" else ()


def marked(line: Line, support: str) -> Line:
    """Returns a line, with the mark of few images after it where there are few."""
    mark = support_tag(support)
    return (*line, " ", *mark) if mark else line


def rate_cell(rate: Rate) -> Cell:
    """Returns a rate as a cell; a suppressed one shows its count and n, and no rate."""
    counted = of(rate.count, rate.n)
    if rate.n == 0:
        return stacked((percent(None),), counted, tone="few")
    if rate.support == "suppressed":
        return stacked(counted, support_tag(rate.support), tone="few")
    tone = rate.support if support_tag(rate.support) else ""
    return stacked(
        rate_line(rate.rate, rate.low, rate.high), marked(counted, rate.support), tone=tone
    )


def group_head(by: str, group: str, *more: Inline) -> Cell:
    """Returns the cell that names a group and its sensitive feature, or all images."""
    return head("All images", *more) if by == OVERALL else head(group, by, *more)


def few_tone(support: str) -> str:
    """Returns the tone of a cell, which greys it out where it may show only counts."""
    return "few" if support == "suppressed" else ""


def sized(n: int, support: str) -> Cell:
    """Returns how many images a group has as a cell."""
    return stacked((count(n),), support_tag(support), tone=few_tone(support))


def claim_cell(claim: bool, support: str) -> Cell:
    """Returns whether a figure stands after correction, in a word."""
    mark = support_tag(support)
    if support == "suppressed":
        return stacked(mark, role="text", tone="few")
    return stacked((Tag("stands", "claim"),) if claim else ("no claim",), mark, role="text")
