"""Numbers of results.json as readers see them: percent, points, ratios, counts and p, with n."""

from __future__ import annotations

from collections.abc import Callable

from audit.report.inline import Line, Value

#: A space that keeps a number and its unit on one line.
SPACE = "\u00a0"

UNDEFINED, UNLIMITED = "undefined", "no limit"

#: A smaller p is shown as less than this.
_SMALLEST_P = 0.0001


def count(raw: int) -> Value:
    """Returns a count as it is shown: 2,085."""
    return Value(raw, f"{raw:,}")


def plain(raw: float | None) -> Value:
    """Returns a setting as it is shown, as it was written: 0.5."""
    return Value(raw, "none" if raw is None else f"{raw:g}")


def percent(raw: float | None, like: float | None = None) -> Value:
    """Returns a rate as it is shown: 7.05 %, or 12.3 %; with the decimals of `like`, if given."""
    return Value(raw, UNDEFINED if raw is None else f"{_shown_hundredfold(raw, like)}{SPACE}%")


def bare_percent(raw: float | None, like: float | None = None) -> Value:
    """Returns a rate as it is shown without its sign, for the bounds of an interval."""
    return Value(raw, UNDEFINED if raw is None else _shown_hundredfold(raw, like))


def whole_percent(raw: float) -> Value:
    """Returns a level of confidence as it is shown: 95 %."""
    return Value(raw, f"{100 * raw:g}{SPACE}%")


def points(raw: float | None) -> Value:
    """Returns a difference of rates as it is shown, in percentage points: +1.15."""
    return Value(raw, UNDEFINED if raw is None else minus(_shown_hundredfold(raw, sign="+")))


def unsigned_points(raw: float | None) -> Value:
    """Returns the size of a difference as it is shown, in percentage points: 1.15."""
    return Value(raw, UNDEFINED if raw is None else _shown_hundredfold(abs(raw)))


def ratio(raw: float | None) -> Value:
    """Returns a ratio as it is shown: 1.84."""
    return Value(raw, UNDEFINED if raw is None else f"{raw:.2f}")


def decimal(raw: float | None) -> Value:
    """Returns a measure as it is shown, with three decimals: 0.317."""
    return Value(raw, UNDEFINED if raw is None else minus(f"{raw:.3f}"))


def p_value(raw: float | None) -> Value:
    """Returns a p as it is shown: 0.032, or < 0.0001."""
    if raw is None:
        return Value(raw, UNDEFINED)
    if raw < _SMALLEST_P:
        return Value(raw, f"<{SPACE}{_SMALLEST_P}")
    return Value(raw, f"{raw:.4f}" if raw < 0.01 else f"{raw:.3f}")


def minus(text: str) -> str:
    """Returns a shown number with a real minus sign; a zero has no sign."""
    return text.replace("-", "−") if text.strip("+-0.,") else text.lstrip("+-")


def _shown_hundredfold(raw: float, like: float | None = None, sign: str = "-") -> str:
    leading = raw if like is None else like
    return f"{100 * raw:{sign},.{2 if abs(leading) < 0.1 else 1}f}"


def _shown_interval(
    low: float | None, high: float | None, shown: Callable[[float | None], Value]
) -> Line:
    """Returns the bounds of an interval: [6.03, 8.23]; one without a limit says so."""
    if low is None and high is None:
        return (f"{SPACE}[", Value(None, UNDEFINED), "]")
    upper = Value(None, UNLIMITED) if high is None else shown(high)
    lower = Value(None, UNLIMITED) if low is None else shown(low)
    return (f"{SPACE}[", lower, f",{SPACE}", upper, "]")


def rate_line(rate: float | None, low: float | None, high: float | None) -> Line:
    """Returns a rate as it is shown with its interval: 7.05 % [6.03, 8.23]."""
    if rate is None:
        return (percent(None),)
    return (percent(rate), *_shown_interval(low, high, lambda raw: bare_percent(raw, rate)))


def ratio_line(shown: float | None, low: float | None, high: float | None) -> Line:
    """Returns a ratio as it is shown with its interval."""
    return (ratio(shown), *_shown_interval(low, high, ratio))


def decimal_line(shown: float | None, low: float | None, high: float | None) -> Line:
    """Returns a measure as it is shown with its interval, with three decimals."""
    return (decimal(shown), *_shown_interval(low, high, decimal))


def points_line(net: float | None, low: float | None, high: float | None) -> Line:
    """Returns a difference as it is shown with its interval, in percentage points."""
    return (points(net),) if net is None else (points(net), *_shown_interval(low, high, points))


def count_of(counted: int, n: int) -> Line:
    """Returns a count as it is shown with what it is of: 147 of 2,085."""
    return (count(counted), " of ", count(n))
