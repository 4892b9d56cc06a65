"""The largest difference or change that a report claims, whatever kind it is.

Size is how far the interval that holds for all that the report tests stays away from 0: a wide
difference that few images support is not put before a smaller one that many do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from audit.datasets.groups import CROSS, OVERALL
from audit.results.ablation_rows import Ablation
from audit.results.results import Header, PolicyRecord
from audit.results.rows import Difference, Shift
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import (
    LEVEL,
    Interval,
    difference,
    difference_of,
    exact_paired_difference,
    paired_difference,
)

Row = Difference | Shift | Ablation


class Claimable(NamedTuple):
    """All rows of which a report can claim something; `critical_p` is what makes a claim."""

    differences: Sequence[Difference]
    shifts: Sequence[Shift] = ()
    ablations: Sequence[Ablation] = ()
    critical_p: float | None = None


class SizedClaim(NamedTuple):
    """A claimed row, how far it lies apart, and an interval that holds for all that is tested.

    Attributes:
        row: of the first policy of which it is claimed.
        apart: the difference, or the net change, as a share.
        low, high: of the interval.
        policies: those of which the very same is claimed.
        others: how many further claims the report makes.
    """

    row: Row
    apart: float
    low: float
    high: float
    policies: tuple[str, ...] = ()
    others: int = 0

    @property
    def size(self) -> float:
        """How far the interval stays away from 0; 0 where it does not."""
        return max(self.low, -self.high, 0.0)


def largest_claim(header: Header, tested: Claimable) -> SizedClaim | None:
    """Returns the largest of the claims, if there is any.

    What is done to images comes before what they merely resemble. An intersection counts only where
    none of the groups that meet in it is claimed to differ in the same way.
    """
    claims = [_measured(row, tested) for row in _claimed_rows(header, tested)]
    if not claims:
        return None
    first = _told(min(claims, key=_order), tested)
    same = [each.row for each in claims if _same_row(each.row, first.row)]
    policies = tuple(dict.fromkeys(_policy_of(row) for row in same))
    return first._replace(policies=policies, others=len(claims) - len(same))


def _order(claim: SizedClaim) -> tuple[bool, float, float, bool]:
    """Returns a key that sorts claims, the largest first; of two sides of one, that with more."""
    size, apart = round(claim.size, 12), round(abs(claim.apart), 12)
    return is_of_resemblance(claim.row), -size, -apart, claim.apart < 0


def _claimed_rows(header: Header, tested: Claimable) -> Iterator[Row]:
    """Yields the claimed rows that say something of their own, those of the harm first."""
    differences = [row for row in tested.differences if row.claim]
    shared = _shared_names(header.policies)
    shifts = [
        row for row in tested.shifts if row.claim and (not _name(row) or _name(row) in shared)
    ]
    acting = {
        (policy.name, label.id)
        for policy in header.policies
        for label in policy.labels
        if label.action in ("review", "block")
    }
    # That there are fewer flags without a label that flags says nothing.
    ablations = [
        row
        for row in tested.ablations
        if row.claim and not (row.kind == "without" and (row.policy, row.change) in acting)
    ]
    rows: list[Row] = [*differences, *shifts, *ablations]
    rows.sort(key=lambda row: row.metric != header.harm)
    told: set[tuple[object, ...]] = set()
    for row in rows:
        if _is_explained(row, rows):
            continue
        # A category that holds all flags of a group says nothing new of it; nor do wrong flags of
        # benign images, unless y_true says that some should be flagged.
        if (counted := _counted(row)) not in told:
            told.add(counted)
            yield row


def _shared_names(policies: Iterable[PolicyRecord]) -> Collection[str]:
    """Returns the metrics of labels and categories that all policies have; others come and go."""
    names = []
    for policy in policies:
        categories = {label.category for label in policy.labels if label.category}
        own = {f"label:{label.id}" for label in policy.labels}
        names.append(own | {f"category:{category}" for category in categories})
    return set.intersection(*names) if names else set()


def _name(row: Row) -> str:
    """Returns the metric where it is of a label or a category, and nothing otherwise."""
    return row.metric if ":" in row.metric else ""


def is_of_resemblance(row: Row) -> bool:
    """Whether a row tells which label images resemble most, which by itself flags nothing."""
    return row.metric.startswith("label:")


def _is_explained(row: Row, rows: Iterable[Row]) -> bool:
    """Whether a group that meets others in this intersection is claimed to differ alike."""
    if CROSS not in row.by:
        return False
    parts = set(zip(row.by.split(CROSS), row.group.split(CROSS), strict=False))
    return any(
        (other.by, other.group) in parts
        and type(other) is type(row)
        and _kind(other) == _kind(row)
        and _rises(other) == _rises(row)
        for other in rows
    )


def _kind(row: Row) -> tuple[object, ...]:
    """Returns what a row is of, but for its group."""
    if isinstance(row, Difference):
        return _policy_of(row), row.metric, row.comparison
    if isinstance(row, Shift):
        return _policy_of(row), row.metric, row.matched
    return _policy_of(row), row.metric, row.kind, row.change


def _policy_of(row: Row) -> str:
    return row.after_policy if isinstance(row, Shift) else row.policy


def _rises(row: Row) -> bool:
    return (apart_of(row) or 0.0) > 0


def apart_of(row: Row) -> float | None:
    """Returns the difference of a row, or its net change."""
    return row.difference if isinstance(row, Difference) else row.net


def _counted(row: Row) -> tuple[object, ...]:
    """Returns what was counted of a row, whatever the metric is called."""
    if isinstance(row, Difference):
        of = (row.comparison, row.reference, row.count, row.reference_count, row.reference_n)
        return _policy_of(row), row.by, row.group, row.n, *of
    moved = (row.by, row.group, row.n, row.before_count, row.after_count, row.entered, row.left)
    return (type(row), *_kind(row)[:1], *_kind(row)[2:], *moved)


def _same_row(one: Row, other: Row) -> bool:
    """Whether the same is counted of two policies."""
    return (
        isinstance(one, Difference)
        and isinstance(other, Difference)
        and one.metric == other.metric
        and _counted(one)[1:] == _counted(other)[1:]
    ) or one == other


def _level(tested: Claimable) -> float:
    return 1 - (tested.critical_p or 1 - LEVEL)


def _told(claim: SizedClaim, tested: Claimable) -> SizedClaim:
    """Returns a claim with the exact interval, which holds at so high a level at any size.

    Those by which claims are ordered are quicker, but too short for few images and rare flags. It
    ends at 0, since the claim itself says on which side of it the difference lies.
    """
    low, high = (float(end) for end in _exact_interval(claim.row, tested))
    if claim.apart > 0:
        return claim._replace(low=max(low, 0.0), high=high)
    return claim._replace(low=low, high=min(high, 0.0))


def _exact_interval(row: Row, tested: Claimable) -> Interval:
    level = _level(tested)
    if isinstance(row, Difference):
        count, n = row.against
        counts, sizes = (np.array(pair, np.float64) for pair in ((row.count, count), (row.n, n)))
        low, high = ExactShares(counts, sizes, np.zeros(2)).differences(level)
        return Interval(low[0], high[0])
    paired = partial(exact_paired_difference, level=level)
    interval = paired(row.entered, row.left, row.n)
    if isinstance(row, Shift) and row.matched and row.by != OVERALL:
        interval = _against_others(row, tested, interval, paired)[1]
    return interval


def _measured(row: Row, tested: Claimable) -> SizedClaim:
    """Returns a claimed row with the interval by which claims are ordered."""
    level = _level(tested)
    if isinstance(row, Difference):
        count, n = row.against
        apart = row.count / row.n - count / n
        interval = difference(row.count, row.n, count, n, level)
    else:
        apart = row.net or 0.0
        interval = paired_difference(row.entered, row.left, row.n, level)
        if isinstance(row, Shift) and row.matched and row.by != OVERALL:
            paired = partial(paired_difference, level=level)
            apart, interval = _against_others(row, tested, interval, paired)
    return SizedClaim(row, apart, float(interval.low), float(interval.high))


def _against_others(
    row: Shift, tested: Claimable, interval: Interval, paired: Callable[[int, int, int], Interval]
) -> tuple[float, Interval]:
    """Returns how much more a group changes than all others do, with its interval."""
    entered, left, n = changed_of_others(row, tested.shifts)
    if not n:
        return row.net or 0.0, interval
    net = (entered - left) / n
    rest = paired(entered, left, n)
    return (row.net or 0.0) - net, difference_of(row.net or 0.0, interval, net, rest)


def changed_of_others(row: Shift, shifts: Sequence[Shift]) -> tuple[int, int, int]:
    """Returns how many of all other images enter and leave, and how many others there are."""
    entered, left, n = changed_of_all(row, Claimable([], shifts))
    return (entered - row.entered, left - row.left, n - row.n) if n else (0, 0, 0)


def changed_of_all(row: Shift | Ablation, tested: Claimable) -> tuple[int, int, int]:
    """Returns how many of all images enter and leave by the change of a row, and of how many."""
    rows: Sequence[Row] = tested.shifts if isinstance(row, Shift) else tested.ablations
    for whole in rows:
        if whole.by == OVERALL and _kind(whole) == _kind(row) and not isinstance(whole, Difference):
            return whole.entered, whole.left, whole.n
    return 0, 0, 0
