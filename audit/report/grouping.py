"""How a report groups the rows of results: by any key, and by pairs of policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from audit.datasets.groups import CROSS
from audit.results.results import Results
from audit.results.rows import Flow, Price, Shift

#: More pairs of policies than this are shown only against the first policy.
_MANY_PAIRS = 3

PolicyPair = tuple[str, str]
T = TypeVar("T")
K = TypeVar("K")
Paired = TypeVar("Paired", Shift, Flow, Price)


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Returns the rows by key, in the order in which the keys come."""
    found: dict[K, list[T]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def grouped_by_pair(results: Results, rows: Sequence[Paired]) -> dict[PolicyPair, list[Paired]]:
    """Returns the rows of each pair of policies that the page shows; the CSV files hold all."""
    pairs = grouped(rows, lambda row: (row.before_policy, row.after_policy))
    if len(pairs) <= _MANY_PAIRS:
        return pairs
    first = results.header.policies[0].name
    return {pair: own for pair, own in pairs.items() if pair[0] == first}


def is_crossed(by: str) -> bool:
    """Returns whether rows are grouped by several sensitive features at once."""
    return CROSS in by
