"""A policy checked against limits: pass, fail, or insufficient data; never a silent pass.

To pass, every group (or pair of groups) must be shown to keep to the limit: its whole interval must
do so. Since all of them must, this needs no correction (an intersection-union test). To fail, one
of them must be shown to break the limit, at a level corrected for how many there are. Anything else
is too little data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from audit.gate.figures import (
    Candidates,
    GroupCounts,
    differences,
    pass_ratios,
    rates,
    ratios,
    regressions,
)
from audit.gate.limits import LIMITS, Limits
from audit.statistics.intervals import share

Status = Literal["pass", "fail", "insufficient data"]


@dataclass(frozen=True)
class Check:
    """One limit on one sensitive feature.

    Attributes:
        limit: its key in the limits file.
        by: the sensitive feature or intersection.
        allowed: the limit itself.
        status: what was shown.
        group: the group, or pair of groups, that comes nearest to the limit or breaks it most.
        value: its figure.
        low, high: its 95 % interval.
        n: images of the smallest group that was checked.
        reason: why there is too little data, if there is.
    """

    limit: str
    by: str
    allowed: float
    status: Status
    group: str
    value: float
    low: float
    high: float
    n: int
    reason: str = ""


def worst_status(checks: Sequence[Check]) -> Status:
    """Returns fail if any check fails, then insufficient data if any has too little, then pass.

    No check at all is insufficient data.
    """
    found = {check.status for check in checks} or {"insufficient data"}
    order: tuple[Status, ...] = ("fail", "insufficient data", "pass")
    return next(status for status in order if status in found)


def check_limits(
    counts: GroupCounts, shared: GroupCounts, limits: Limits, *, unchanged: bool
) -> Iterator[Check]:
    """Yields the check of each limit on one sensitive feature.

    Args:
        counts: of its groups, under the new policy.
        shared: of the images that new policy and baseline can both count.
        limits: what is checked.
        unchanged: whether new policy and baseline are the same, so that there is no regression.
    """
    for limit in LIMITS:
        allowed = getattr(limits, limit)
        if allowed is not None:
            of = shared if limit == "regression" else counts
            yield _checked(limit, allowed, of, unchanged=unchanged)


def _checked(limit: str, allowed: float, counts: GroupCounts, *, unchanged: bool) -> Check:
    needed = 1 if limit in ("worst_group_rate", "regression") else 2
    if len(counts.names) < needed:
        return _nothing(limit, counts, allowed)
    if limit == "regression" and unchanged:
        return _no_change(counts, allowed)
    if limit == "pass_ratio":
        # Inverted, so that more is worse here too.
        return _inverted(_check(limit, counts, 1 / allowed, pass_ratios(counts)), allowed)
    return _check(limit, counts, allowed, _FIGURES[limit](counts))


_FIGURES: dict[str, Callable[[GroupCounts], Candidates]] = {
    "worst_group_rate": rates,
    "gap": differences,
    "ratio": ratios,
    "regression": regressions,
}


def _no_change(counts: GroupCounts, allowed: float) -> Check:
    """Returns the check of a policy that is its own baseline: no image can change."""
    n = int(counts.n.min())
    group = "every group (the policy is the baseline)"
    return Check("regression", counts.by, allowed, "pass", group, 0.0, 0.0, 0.0, n)


def _check(limit: str, counts: GroupCounts, allowed: float, found: Candidates) -> Check:
    broken = found.strict.low > allowed
    unproven = ~(found.interval.high <= allowed)
    status: Status = "pass"
    # Nearest to the limit is whatever could lie furthest beyond it; without a bound it is furthest.
    reach = np.nan_to_num(found.interval.high, nan=np.inf, posinf=np.inf)
    reason = ""
    if broken.any():
        status, reach = "fail", np.where(broken, found.values, -np.inf)
    elif unproven.any() or counts.too_small:
        status, reason = "insufficient data", _reason(counts, bool(unproven.any()))
    worst = int(np.argmax(reach))
    return Check(
        limit,
        counts.by,
        allowed,
        status,
        found.names[worst],
        float(found.values[worst]),
        float(found.interval.low[worst]),
        float(found.interval.high[worst]),
        int(counts.n.min()),
        reason,
    )


def _reason(counts: GroupCounts, unproven: bool) -> str:
    reasons = ["the limit lies within the interval"] if unproven else []
    if counts.too_small:
        reasons.append(f"too few images of {', '.join(counts.too_small)}")
    return "; ".join(reasons)


def _nothing(limit: str, counts: GroupCounts, allowed: float) -> Check:
    reason = _reason(counts, False) or "there are too few groups"
    nan = float("nan")
    return Check(limit, counts.by, allowed, "insufficient data", "none", nan, nan, nan, 0, reason)


def _inverted(check: Check, allowed: float) -> Check:
    value, low, high = (float(share(1, bound)) for bound in (check.value, check.high, check.low))
    return replace(check, allowed=allowed, value=value, low=low, high=high)
