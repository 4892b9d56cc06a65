"""How many images of each group a gate's metric counts, and how many it might count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.datasets.groups import Groups, Marks
from audit.errors import LimitsError
from audit.gate.limits import TRUTH_METRICS, Limits
from audit.metrics.predictions import Predictions
from audit.metrics.rates import rate_marks
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import Float64s
from audit.statistics.support import SUPPRESSED_BELOW


class UnknownTruth(NamedTuple):
    """(g,) images whose truth is not known, by what they are if they count.

    Attributes:
        hits: those that the metric would count, as they are flagged.
        misses: those that it would not.
        entered, left: those that would count only under the new policy, only under the baseline.
    """

    hits: Float64s
    misses: Float64s
    entered: Float64s
    left: Float64s


_ALL_KNOWN = UnknownTruth(*np.zeros((4, 1)))


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
        unknown: images whose truth is not known, so that they may count or not.
        too_small: groups with fewer images than the limits ask for, and how many they have.
        needed: how many images of a group the limits ask for.
        left_out: by group, how many of how many of its images were left out, where any were.
        untold: by group, of how many of how many of its images the truth is not known, where so.
        unplaced: images that were left out and whose group is not known.
        known: images of all groups, small ones too, that the metric could count.
        may_grow: groups that are too small, and were not if what was left out was there.
    """

    by: str
    names: tuple[str, ...]
    count: Float64s
    n: Float64s
    entered: Float64s
    left: Float64s
    missing: Float64s
    unknown: UnknownTruth = _ALL_KNOWN
    too_small: Mapping[str, int] = field(default_factory=dict)
    needed: int = SUPPRESSED_BELOW
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    untold: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unplaced: int = 0
    known: int = 0
    may_grow: int = 0

    @property
    def shares(self) -> ExactShares:
        """The share of each group's images that the metric counts."""
        return ExactShares(self.count, self.n, self.missing, self.unknown.hits, self.unknown.misses)

    @property
    def complete(self) -> bool:
        """Whether no image was left out and the truth of all is known."""
        return not (self.missing.any() or np.any(self.unknown) or self.may_grow)

    @property
    def without_missing(self) -> GateCounts:
        """The counts as they would be if what is there and known were all."""
        none = np.zeros_like(self.missing)
        return replace(self, missing=none, unknown=_ALL_KNOWN, may_grow=0)


class GateMarks(NamedTuple):
    """What a metric counts under a policy.

    Attributes:
        hits: (n,) images that count if they can.
        possible: (n,) images that can count.
        unknown: (n,) other images that may be able to, as their truth is not known.
    """

    hits: Marks
    possible: Marks
    unknown: Marks

    @classmethod
    def of_known(cls, hits: Marks, possible: Marks) -> GateMarks:
        """Returns marks of images of which all that matters is known."""
        return cls(hits, possible, np.zeros_like(possible))


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
    possible, may_be = new.possible, new.possible | new.unknown
    if shared:
        possible, may_be = possible & old.possible, may_be & (old.possible | old.unknown)
    counts, unknown = (
        part.count(_changes(new.hits, old.hits, images)).astype(np.float64)
        for images in (possible, may_be & ~possible)
    )
    checked = np.array([name not in limits.ignored_groups for name in part.names])
    n = counts[:, :2].sum(axis=1)
    large = n >= limits.min_group_size
    hits, misses, entered, left = counts[checked & large].T
    names, small = np.array(part.names, object), checked & ~large
    left_out = np.array(part.left_out or [0] * len(names), np.int64)
    most = n + unknown[:, :2].sum(axis=1) + left_out + part.unplaced
    return GateCounts(
        by=part.by,
        names=tuple(names[checked & large]),
        count=hits,
        n=hits + misses,
        entered=entered,
        left=left,
        missing=(left_out[checked & large] + part.unplaced).astype(np.float64),
        unknown=UnknownTruth(*unknown[checked & large].T),
        too_small=dict(zip(names[small], n[small].astype(int).tolist(), strict=True)),
        needed=limits.min_group_size,
        left_out=_some(part.names, left_out, part.sizes + left_out),
        untold=_some(part.names, unknown[:, :2].sum(axis=1), part.sizes),
        unplaced=part.unplaced,
        known=part.images(possible),
        may_grow=int((small & (most >= limits.min_group_size)).sum()),
    )


def _changes(after: Marks, before: Marks, images: Marks) -> Marks:
    """Returns (n, 4) which of the images are hits, misses, entered, left."""
    marks = (after, ~after, after & ~before, before & ~after)
    return np.stack([each & images for each in marks], axis=1)


def _some(
    names: Sequence[str], some: npt.NDArray[np.number], of: npt.NDArray[np.int64]
) -> dict[str, tuple[int, int]]:
    """Returns how many of how many images there are by group, where there are some."""
    counts = zip(names, some.astype(int).tolist(), of.tolist(), strict=True)
    return {name: (few, every) for name, few, every in counts if few}


def gate_marks(predictions: Predictions, metric: str) -> GateMarks:
    """Returns the images that a metric counts, and those that it could count.

    Raises:
        LimitsError: the policy or the dataset has no such metric.
    """
    known = []
    for name, marks, possible in rate_marks(predictions):
        if name == metric and metric in TRUTH_METRICS:
            return GateMarks(predictions.flagged, possible, _unknown(predictions))
        if name == metric:
            return GateMarks.of_known(marks, possible)
        known.append(name)
    raise LimitsError(
        f"{predictions.name} has no {metric} on this dataset",
        "metric",
        f"Known: {', '.join(known)}",
    )


def recall_marks(predictions: Predictions) -> GateMarks:
    """Returns the images that are flagged, and those that should be; none may be known."""
    truth = predictions.truth
    positive = np.zeros(len(predictions), bool) if truth is None else truth.positive
    return GateMarks(predictions.flagged, positive, _unknown(predictions))


def _unknown(predictions: Predictions) -> Marks:
    truth = predictions.truth
    return np.ones(len(predictions), bool) if truth is None else truth.unknown
