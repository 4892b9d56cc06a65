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
    GateCounts,
    GateFigures,
    gap_figures,
    pass_ratio_figures,
    rate_figures,
    ratio_figures,
    regression_figures,
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
    counts: GateCounts, shared: GateCounts, limits: Limits, *, unchanged: bool
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
            yield _check_of_limit(limit, allowed, of, unchanged=unchanged)


def _check_of_limit(limit: str, allowed: float, counts: GateCounts, *, unchanged: bool) -> Check:
    needed = 1 if limit in ("worst_group_rate", "regression") else 2
    if len(counts.names) < needed:
        reason, nan = _check_reason(counts, False) or "there are too few groups", float("nan")
        status: Status = "insufficient data"
        return Check(limit, counts.by, allowed, status, "none", nan, nan, nan, 0, reason)
    if limit == "regression" and unchanged:  # a policy that is its baseline changes no image
        n, group = int(counts.n.min()), "every group (the policy is the baseline)"
        return Check(limit, counts.by, allowed, "pass", group, 0.0, 0.0, 0.0, n)
    if limit == "pass_ratio":
        # Inverted, so that more is worse here too.
        check = _check_of_figures(limit, counts, 1 / allowed, pass_ratio_figures(counts))
        value, low, high = (float(share(1, end)) for end in (check.value, check.high, check.low))
        return replace(check, allowed=allowed, value=value, low=low, high=high)
    return _check_of_figures(limit, counts, allowed, _FIGURES[limit](counts))


_FIGURES: dict[str, Callable[[GateCounts], GateFigures]] = {
    "worst_group_rate": rate_figures,
    "gap": gap_figures,
    "ratio": ratio_figures,
    "regression": regression_figures,
}


def _check_of_figures(limit: str, counts: GateCounts, allowed: float, found: GateFigures) -> Check:
    broken = found.strict.low > allowed
    unproven = ~(found.interval.high <= allowed)
    status: Status = "pass"
    # Nearest to the limit is whatever could lie furthest beyond it; without a bound it is furthest.
    reach = np.nan_to_num(found.interval.high, nan=np.inf, posinf=np.inf)
    reason = ""
    if broken.any():
        status, reach = "fail", np.where(broken, found.values, -np.inf)
    elif unproven.any() or counts.too_small:
        status, reason = "insufficient data", _check_reason(counts, bool(unproven.any()))
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


def _check_reason(counts: GateCounts, unproven: bool) -> str:
    reasons = ["the limit lies within the interval"] if unproven else []
    if counts.too_small:
        reasons.append(f"too few images of {', '.join(counts.too_small)}")
    return "; ".join(reasons)
