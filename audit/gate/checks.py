"""A policy checked against limits: pass, fail, or insufficient data; never a silent pass.

To pass, every group (or pair of groups) must be shown to keep to the limit: its whole interval must
do so. Since all of them must, this needs no correction (an intersection-union test). To fail, one
of them must be shown to break the limit, at a level corrected for how many there are. Anything else
is too little data, and so is an answer that the images that were left out could turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from audit.gate.counts import GateCounts
from audit.gate.figures import (
    GateFigures,
    gap_figures,
    miss_figures,
    pass_ratio_figures,
    rate_figures,
    ratio_figures,
    regression_figures,
)
from audit.gate.limits import LIMITS, RECALL_LIMITS, Limits
from audit.gate.reasons import (
    beyond_reason,
    left_out_reason,
    no_groups_reason,
    no_truth_reason,
    nothing_found_reason,
    too_few_reason,
    too_near_reason,
    unbounded_reason,
    unreachable_reason,
    used_up_reason,
)
from audit.metrics.rates import FLAG, TRUE_POSITIVE
from audit.statistics.intervals import LEVEL, Interval, exact

Status = Literal["pass", "fail", "insufficient data"]

_NAN = float("nan")


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
        low, high: the interval that decided: of a fail the one that is corrected for how many
            groups, or pairs, there are.
        n: images of the smallest group that was checked.
        reason: why there is too little data, if there is.
        level: the level of the interval.
        metric: the rate that is limited.
        missing: images that were left out of the group, or of the two; the interval is over
            whatever they may be.
        unknown: images of the group, or of the two, whose truth is not known; the same.
        least, most: the figure if none of these count, and if all do; of two groups those of the
            one count and those of the other do not.
        obstacle: why no policy could pass on these images, if none could.
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
    level: float = LEVEL
    metric: str = FLAG
    missing: int = 0
    unknown: int = 0
    least: float = _NAN
    most: float = _NAN
    obstacle: str = ""


def worst_status(checks: Sequence[Check]) -> Status:
    """Returns fail if any check fails, then insufficient data if any has too little, then pass.

    No check at all is insufficient data.
    """
    found = {check.status for check in checks} or {"insufficient data"}
    order: tuple[Status, ...] = ("fail", "insufficient data", "pass")
    return next(status for status in order if status in found)


def check_limits(
    counts: GateCounts,
    shared: GateCounts,
    limits: Limits,
    *,
    unchanged: bool,
    recall: GateCounts,
    level: float = LEVEL,
) -> Iterator[Check]:
    """Yields the check of each limit on one sensitive feature.

    Args:
        counts: of its groups, under the new policy.
        shared: of the images that new policy and baseline can both count.
        limits: what is checked.
        unchanged: whether new policy and baseline are the same, so that there is no regression.
        recall: of the images that the new policy should flag.
        level: of the intervals.
    """
    for limit in LIMITS:
        if (allowed := getattr(limits, limit)) is None:
            continue
        metric, of = limits.metric, shared if limit == "regression" else counts
        if limit in RECALL_LIMITS:
            metric, of = TRUE_POSITIVE, recall
        yield _Question(limit, metric, allowed, unchanged, level).check(of)


@dataclass(frozen=True)
class _Question:
    """One limit on one metric, before it is put to counts."""

    limit: str
    metric: str
    allowed: float
    unchanged: bool
    level: float

    @property
    def highest(self) -> float:
        """The highest figure that is allowed; of a limit from below, that of the inverse."""
        return self._inverse(self.allowed)

    def check(self, counts: GateCounts) -> Check:
        """Returns what the counts show whatever is true of the images of which too little is known.

        These were left out, or their truth is not known.
        """
        needed = 2 if self.limit in _OF_PAIRS else 1
        if len(counts.names) < needed:
            return self._unanswered(counts)
        if self.limit == "regression" and self.unchanged:  # it changes no image
            group, n = "every group (the policy is the baseline)", int(counts.n.min())
            figures = 0.0, 0.0, 0.0
            passed = Check(self.limit, counts.by, self.allowed, "pass", group, *figures, n)
            return replace(passed, metric=self.metric, level=self.level)
        found = _FIGURES[self.limit](counts, self.level)
        status, at = self._status(counts, found)
        if counts.complete:
            return self._answer(counts, found, status, at)
        known = counts.without_missing
        seen, nearest = self._status(known, _FIGURES[self.limit](known, self.level))
        if seen == status:
            return self._answer(counts, found, status, at)
        at = nearest if seen == "fail" else at
        answer = self._answer(counts, found, "insufficient data", at)
        ends = answer.least, answer.most
        reason = left_out_reason(self.limit, counts, found.groups[at], ends, seen)
        return replace(answer, reason=reason)

    def _status(self, counts: GateCounts, found: GateFigures) -> tuple[Status, int]:
        """Returns what is shown, and which figure says so."""
        broken = found.strict.low > self.highest
        if broken.any():
            reach = np.where(broken, found.values, -np.inf)
            return "fail", int(np.argmax(reach))
        # Nearest to the limit is whatever could lie furthest beyond it; without a bound it is
        # furthest. What lies beyond it by itself comes first.
        beyond = found.interval.low > self.highest
        high = np.nan_to_num(found.interval.high, nan=np.inf, posinf=np.inf)
        at = int(np.argmax(np.where(beyond, high, -np.inf) if beyond.any() else high))
        kept = bool((found.interval.high <= self.highest).all())
        kept = kept and self.level < 1  # a level that spending has used up
        shown = kept and not counts.too_small and not self._finds_nothing(counts)
        return ("pass" if shown else "insufficient data"), at

    def _finds_nothing(self, counts: GateCounts) -> bool:
        """Whether groups are compared by what is found in them, and nothing is."""
        return self.metric == TRUE_POSITIVE and self.limit in _OF_PAIRS and not counts.count.any()

    def _answer(self, counts: GateCounts, found: GateFigures, status: Status, at: int) -> Check:
        interval = found.strict if status == "fail" else found.interval
        low, high = self._ends(interval, at)
        least, most = self._ends(found.extremes, at)
        lost, untold = (
            sum(of.get(name, (0, 0))[0] for name in found.groups[at])
            for of in (counts.left_out, counts.untold)
        )
        return Check(
            self.limit,
            counts.by,
            self.allowed,
            status,
            " against ".join(found.groups[at]),
            self._inverse(float(found.values[at])),
            low,
            high,
            int(counts.n.min()),
            self._reason(counts, found, at) if status == "insufficient data" else "",
            found.strict_level if status == "fail" else self.level,
            self.metric,
            lost + counts.unplaced,
            untold,
            least,
            most,
            self._obstacle(counts),
        )

    def _unanswered(self, counts: GateCounts) -> Check:
        reason = too_few_reason(self.metric, counts) or no_groups_reason(self.limit, counts)
        if self.limit in RECALL_LIMITS and not counts.known:
            reason = no_truth_reason()
        figures = _NAN, _NAN, _NAN
        status: Status = "insufficient data"
        unanswered = Check(self.limit, counts.by, self.allowed, status, "none", *figures, 0, reason)
        return replace(unanswered, metric=self.metric, level=self.level, obstacle=reason)

    def _obstacle(self, counts: GateCounts) -> str:
        """Returns why no policy could pass: groups are too small for the limits, or the level."""
        if self.level == 1:
            return used_up_reason()
        if reason := too_few_reason(self.metric, counts):
            return reason
        if self.limit in _OF_PAIRS or self.limit == "regression":
            return ""
        none = np.zeros_like(counts.n)
        high = exact(none, counts.n, self.level).high
        at = int(np.argmax(high))
        if high[at] <= self.highest:
            return ""
        end = self._inverse(float(high[at]))
        return unreachable_reason(self.limit, counts.names[at], int(counts.n[at]), end, self.level)

    def _reason(self, counts: GateCounts, found: GateFigures, at: int) -> str:
        unproven = ~(found.interval.high <= self.highest)
        unbounded = unproven & np.isinf(found.interval.high)
        beyond = found.interval.low[at] > self.highest
        reasons = [used_up_reason()] if self.level == 1 else []
        if self._finds_nothing(counts):
            reasons.append(nothing_found_reason(self.limit))
        elif unbounded.any():
            reasons.append(unbounded_reason(self.limit, self.metric, counts))
        if beyond:
            strict = self._ends(found.strict, at)
            reasons.append(beyond_reason(self.limit, counts, strict, found.strict_level))
        elif (bounded := unproven & ~unbounded).any():
            of = "of other pairs " if unbounded[at] else ""
            nearest = int(np.argmax(np.where(bounded, found.interval.high, -np.inf)))
            group = found.groups[nearest if unbounded[at] else at]
            reasons.append(of + too_near_reason(counts, group, showable=self._showable))
        reasons.append(too_few_reason(self.metric, counts))
        return "; ".join(filter(None, reasons))

    @property
    def _showable(self) -> bool:
        """Whether any number of images can show that a limit is kept."""
        return self.limit == "regression" or self.highest > (self.limit in _RATIOS)

    def _ends(self, interval: Interval, at: int) -> tuple[float, float]:
        """Returns an interval as the limit's figure has it."""
        low, high = (self._inverse(float(end[at])) for end in interval)
        return (high, low) if self.limit in _FROM_BELOW else (low, high)

    def _inverse(self, figure: float) -> float:
        if self.limit == "recall_floor":
            return 1 - figure
        if self.limit == "pass_ratio":
            return 1 / figure if figure else float("inf")
        return figure


#: The limits of which less is worse; their figures are inverted, so that more is worse here too.
_FROM_BELOW = ("pass_ratio", "recall_floor")

_RATIOS = ("ratio", "pass_ratio")

#: Those that compare two groups.
_OF_PAIRS = ("gap", "ratio", "pass_ratio", "recall_gap")

_FIGURES: dict[str, Callable[[GateCounts, float], GateFigures]] = {
    "worst_group_rate": rate_figures,
    "gap": gap_figures,
    "ratio": ratio_figures,
    "pass_ratio": pass_ratio_figures,
    "regression": regression_figures,
    "recall_floor": miss_figures,
    "recall_gap": gap_figures,
}
