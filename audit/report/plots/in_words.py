"""What a drawing shows, for a reader who cannot see it; groups that tie are all named."""

from __future__ import annotations

from collections.abc import Sequence

from audit.results.rows import Rate

#: Of more names that tie, the others are counted.
_NAMED = 12


def ends_in_words(rates: Sequence[Rate]) -> str:
    """Returns the groups of the highest and of the lowest rate; of no rate, nothing."""
    known = [rate.rate for rate in rates if rate.rate is not None]
    if not known:
        return ""
    highest, lowest = (
        [rate for rate in rates if rate.rate == end] for end in (max(known), min(known))
    )
    if highest == lowest:
        return f"the same rate in each: {_tied_rates(highest)}"
    return f"highest: {_tied_rates(highest)}; lowest: {_tied_rates(lowest)}"


def _tied_rates(rates: Sequence[Rate]) -> str:
    """Returns groups of one rate with their counts: Black, Indian (each 3 of 100, 3.00 percent)."""
    first = rates[0]
    if len({rate.n for rate in rates}) > 1:
        named = some_names([f"{rate.group} ({rate.count:,} of {rate.n:,})" for rate in rates])
        return f"{named}, each {_percent(first)}"
    each = "each " if len(rates) > 1 else ""
    return f"{some_names([rate.group for rate in rates])} ({each}{rate_in_words(first)})"


def rate_in_words(rate: Rate) -> str:
    """Returns a rate with its counts: 3 of 100, 3.00 percent."""
    if rate.rate is None:
        return "undefined"
    return f"{rate.count:,} of {rate.n:,}, {_percent(rate)}"


def _percent(rate: Rate) -> str:
    return f"{100 * (rate.rate or 0):.2f} percent"


def some_names(names: Sequence[str]) -> str:
    """Returns names with commas between them; of many, the first and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
