"""The figures that a gate checks against its limits: of each group, and of each pair of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audit.datasets.dataset import Groups, Marks
from audit.errors import LimitsError
from audit.gate.limits import Limits
from audit.metrics.predictions import Predictions
from audit.metrics.rates import rate_marks
from audit.statistics.intervals import (
    LEVEL,
    Float64s,
    Interval,
    PairIntervals,
    paired_difference,
    share,
    simultaneous,
    wilson,
)


class GateFigures(NamedTuple):
    """Figures of c groups or pairs, none of which may exceed the limit.

    `interval` holds for each by itself; `strict` holds for all of them together.
    """

    names: Sequence[str]
    values: Float64s
    interval: Interval
    strict: Interval


@dataclass(frozen=True)
class GateCounts:
    """Counts of the g groups that are checked against limits, and the groups left out.

    Attributes:
        by: the sensitive feature or intersection.
        names: the g groups.
        count: (g,) images that the metric counts under the new policy.
        n: (g,) images that it could count.
        entered, left: (g,) images that count only under the new policy, only under the baseline.
        too_small: groups with fewer images than the limits ask for.
    """

    by: str
    names: tuple[str, ...]
    count: Float64s
    n: Float64s
    entered: Float64s
    left: Float64s
    too_small: tuple[str, ...]


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
    return GateCounts(
        by=part.by,
        names=tuple(names[checked & large]),
        count=kept[0],
        n=kept[1],
        entered=kept[2],
        left=kept[3],
        too_small=tuple(names[checked & ~large]),
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


def rate_figures(counts: GateCounts) -> GateFigures:
    """Returns the rate of each group."""
    joint = simultaneous(LEVEL, len(counts.names))
    interval, strict = (wilson(counts.count, counts.n, level) for level in (LEVEL, joint))
    return GateFigures(counts.names, share(counts.count, counts.n), interval, strict)


def regression_figures(counts: GateCounts) -> GateFigures:
    """Returns how much the rate of each group rises over the baseline."""
    joint = simultaneous(LEVEL, len(counts.names))
    entered, left, n = counts.entered, counts.left, counts.n
    interval, strict = (paired_difference(entered, left, n, level) for level in (LEVEL, joint))
    return GateFigures(counts.names, share(entered - left, n), interval, strict)


def gap_figures(counts: GateCounts) -> GateFigures:
    """Returns how much higher the rate of one group is than that of another, for all pairs."""
    pairs = PairIntervals.of(counts.count, counts.n)
    values, interval = pairs.differences(LEVEL)
    _, strict = pairs.differences(pairs.joint(LEVEL))
    return GateFigures(_pair_names(counts, pairs), values, interval, strict)


def ratio_figures(counts: GateCounts) -> GateFigures:
    """Returns the rate of one group as a multiple of another's, for all pairs."""
    pairs = PairIntervals.of(counts.count, counts.n)
    return _pair_ratio_figures(_pair_names(counts, pairs), pairs)


def pass_ratio_figures(counts: GateCounts) -> GateFigures:
    """Returns one group's share that passes as a multiple of another's, for all pairs.

    Each is named by the other group, which passes the less often the larger the ratio.
    """
    pairs = PairIntervals.of(counts.count, counts.n).passing()
    names = [f"{counts.names[j]} against {counts.names[i]}" for i, j in pairs.indices]
    return _pair_ratio_figures(names, pairs)


def _pair_ratio_figures(names: list[str], pairs: PairIntervals) -> GateFigures:
    values, interval = pairs.ratios(LEVEL)
    _, strict = pairs.ratios(pairs.joint(LEVEL))
    return GateFigures(names, values, interval, strict)


def _pair_names(counts: GateCounts, pairs: PairIntervals) -> list[str]:
    return [f"{counts.names[i]} against {counts.names[j]}" for i, j in pairs.indices]
