"""A finding in words, and whether the report claims it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from audit.results.rows import Difference, Shift

#: What stands behind a sentence that claims nothing.
CORRECTED = "corrected over all that this report tests"


class Finding(NamedTuple):
    """A sentence of the summary, made from the claim that it makes."""

    text: str
    claimed: bool


def claims_first(findings: Iterable[Finding]) -> list[str]:
    """Returns the sentences of findings: those that are claimed, then what is not shown."""
    ordered = sorted(findings, key=lambda finding: not finding.claimed)
    return [finding.text for finding in ordered]


def certainty(row: Difference | Shift) -> tuple[float, float, float]:
    """Returns a key that sorts claimed rows, the most certain first."""
    apart = row.difference if isinstance(row, Difference) else row.net
    p_report, p = (1.0 if p is None else p for p in (row.p_report, row.p))
    return p_report, p, -abs(apart or 0.0)


def strongest_of(count: int) -> str:
    """Returns what a sentence adds where it names one of several claims."""
    return f" (the strongest of {count:,} such claims)" if count > 1 else ""
