"""The figures that a gate checks against its limits: of each group, and of each pair of groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from audit.datasets.dataset import Groups, Marks
from audit.errors import LimitsError
from audit.gate.limits import Limits
from audit.metrics.predictions import Predictions
from audit.metrics.rates import rate_marks
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import (
    LEVEL,
    Float64s,
    Interval,
    exact_paired_difference,
    share,
    simultaneous,
)


class GateFigures(NamedTuple):
    """Figures of c groups or pairs, none of which may exceed the limit.

    Attributes:
        groups: the group of each, or the two.
        values: (c,) the figures of the images that are there.
        extremes: (c,) the figures if the missing images count as suits it best, and worst.
        interval: (c,) intervals that hold for each by itself.
        strict: (c,) intervals that hold for all of them together.
        strict_level: the level of each strict interval by itself.
    """

    groups: Sequence[tuple[str, ...]]
    values: Float64s
    extremes: Interval
    interval: Interval
    strict: Interval
    strict_level: float


@dataclass(frozen=True)
class GateCounts:
    """Counts of the g groups that are checked against limits, and the groups left out.

    Attributes:
        by: the sensitive feature or intersection.
        names: the g groups.
        count: (g,) images that the metric counts under the new policy.
        n: (g,) images that it could count.
        entered, left: (g,) images that count only under the new policy, only under the baseline.
        missing: (g,) images that were left out and may be of the group.
        too_small: groups with fewer images than the limits ask for.
        left_out: by group, how many of how many of its images were left out, where any were.
        unplaced: images that were left out and whose group is not known.
        known: images of all groups, small ones too, that the metric could count.
    """

    by: str
    names: tuple[str, ...]
    count: Float64s
    n: Float64s
    entered: Float64s
    left: Float64s
    missing: Float64s
    too_small: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unplaced: int = 0
    known: int = 0

    @property
    def shares(self) -> ExactShares:
        """The share of each group's images that the metric counts."""
        return ExactShares(self.count, self.n, self.missing)

    @property
    def without_missing(self) -> GateCounts:
        """The counts as they would be if nothing had been left out."""
        return replace(self, missing=np.zeros_like(self.missing))


class GateMarks(NamedTuple):
    """(n,) images that a metric counts under a policy, and (n,) images that it could count."""

    hits: Marks
    possible: Marks


def gate_counts(
    part: Groups, new: GateMarks, old: GateMarks, limits: Limits, *, shared: bool = False
) -> GateCounts:
    """Returns the counts of a partition under the new policy.

    Args:
        part: who is in which group.
        new: what the metric counts under the new policy.
        old: what it counts under the baseline.
        limits: which groups are checked, and from how many images on.
        shared: whether only images that could count under both policies are counted. A rise is one
            of these, since the policies' labels can make the truth of different images known.
    """
    possible = new.possible & old.possible if shared else new.possible
    after, before = new.hits & possible, old.hits & possible
    columns = np.stack([after, possible, after & ~before, before & ~after], axis=1)
    counts = part.count(columns).astype(np.float64)
    checked = np.array([name not in limits.ignored_groups for name in part.names])
    large = counts[:, 1] >= limits.min_group_size
    kept = counts[checked & large].T
    names = np.array(part.names, object)
    left_out = np.array(part.left_out or [0] * len(names), np.int64)
    of = zip(part.names, left_out.tolist(), (part.sizes + left_out).tolist(), strict=True)
    return GateCounts(
        by=part.by,
        names=tuple(names[checked & large]),
        count=kept[0],
        n=kept[1],
        entered=kept[2],
        left=kept[3],
        missing=(left_out[checked & large] + part.unplaced).astype(np.float64),
        too_small=tuple(names[checked & ~large]),
        left_out={name: (lost, every) for name, lost, every in of if lost},
        unplaced=part.unplaced,
        known=int(possible.sum()),
    )


def gate_marks(predictions: Predictions, metric: str) -> GateMarks:
    """Returns the images that a metric counts, and those that it could count.

    Raises:
        LimitsError: the policy or the dataset has no such metric.
    """
    known = []
    for name, marks, possible in rate_marks(predictions):
        if name == metric:
            return GateMarks(marks, possible)
        known.append(name)
    raise LimitsError(
        f"{predictions.name} has no {metric} on this dataset",
        "metric",
        f"Known: {', '.join(known)}",
    )


def recall_marks(predictions: Predictions) -> GateMarks:
    """Returns the images that are rightly flagged, and those that should be; none may be known."""
    truth = predictions.truth
    positive = np.zeros(len(predictions), bool) if truth is None else truth.positive
    return GateMarks(predictions.flagged & positive, positive)


def rate_figures(counts: GateCounts) -> GateFigures:
    """Returns the rate of each group."""
    return _share_figures(counts, counts.shares)


def miss_figures(counts: GateCounts) -> GateFigures:
    """Returns the share of each group's images that the metric could count and does not."""
    return _share_figures(counts, counts.shares.complement())


def regression_figures(counts: GateCounts) -> GateFigures:
    """Returns how much the rate of each group rises over the baseline.

    The missing images may all have entered, or all have left.
    """
    entered, left, missing = counts.entered, counts.left, counts.missing
    every = counts.n + missing

    def interval(level: float) -> Interval:
        low = exact_paired_difference(entered, left + missing, every, level).low
        return Interval(low, exact_paired_difference(entered + missing, left, every, level).high)

    rise = entered - left
    extremes = Interval(share(rise - missing, every), share(rise + missing, every))
    return _figures(_singles(counts), share(rise, counts.n), extremes, interval)


def gap_figures(counts: GateCounts) -> GateFigures:
    """Returns how much higher the rate of one group is than that of another, for all pairs."""
    shares = counts.shares
    apart = _between(shares, np.subtract)
    return _figures(_pair_names(counts, shares), *apart, shares.differences)


def ratio_figures(counts: GateCounts) -> GateFigures:
    """Returns the rate of one group as a multiple of another's, for all pairs."""
    shares = counts.shares
    return _figures(_pair_names(counts, shares), *_between(shares, _times), shares.ratios)


def pass_ratio_figures(counts: GateCounts) -> GateFigures:
    """Returns one group's share that passes as a multiple of another's, for all pairs.

    Each is named by the other group, which passes the less often the larger the ratio.
    """
    shares = counts.shares.complement()
    names = [(worse, better) for better, worse in _pair_names(counts, shares)]
    return _figures(names, *_between(shares, _times), shares.ratios)


def _share_figures(counts: GateCounts, shares: ExactShares) -> GateFigures:
    return _figures(_singles(counts), shares.values, shares.extremes, shares.interval)


def _figures(
    groups: Sequence[tuple[str, ...]],
    values: Float64s,
    extremes: Interval,
    interval: Callable[[float], Interval],
) -> GateFigures:
    joint = simultaneous(LEVEL, len(groups))
    return GateFigures(groups, values, extremes, interval(LEVEL), interval(joint), joint)


def _between(
    shares: ExactShares, apart: Callable[[Float64s, Float64s], Float64s]
) -> tuple[Float64s, Interval]:
    """Returns what lies between the groups of each pair, as it is and at its extremes."""
    one, two = shares.pairs.T
    low, high = shares.extremes
    extremes = Interval(apart(low[one], high[two]), apart(high[one], low[two]))
    return apart(shares.values[one], shares.values[two]), extremes


def _times(one: Float64s, two: Float64s) -> Float64s:
    """Returns one as a multiple of two: of nothing, infinite; nothing of nothing, undefined."""
    return np.where((two == 0) & (one > 0), np.inf, share(one, two))


def _singles(counts: GateCounts) -> list[tuple[str, ...]]:
    return [(name,) for name in counts.names]


def _pair_names(counts: GateCounts, shares: ExactShares) -> list[tuple[str, str]]:
    return [(counts.names[i], counts.names[j]) for i, j in shares.pairs]
