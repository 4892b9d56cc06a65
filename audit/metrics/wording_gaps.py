"""How far groups lie apart over wordings, with intervals over wordings as well as images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.groups import OVERALL, Groups, Marks
from audit.metrics.ablation import Trial
from audit.metrics.predictions import Predictions
from audit.statistics.crossed import FEWEST_WORDINGS, CrossedCounts, CrossedGaps, crossed_gaps
from audit.statistics.intervals import LEVEL, simultaneous
from audit.statistics.support import SUPPRESSED_BELOW, support_of, weaker_support

#: What all other images are called where a group is compared with them.
ALL_OTHERS = "all others"

FEW_IMAGES = f"fewer than {SUPPRESSED_BELOW} images"
FEW_WORDINGS = f"fewer than {FEWEST_WORDINGS} wordings"
UNEVEN_WORDINGS = "the flags move too far with wording"


class _Sides(NamedTuple):
    """Rows of groups that are compared, and what each is compared with."""

    comparison: Literal["between_groups", "to_others"]
    group: npt.NDArray[np.object_]
    reference: npt.NDArray[np.object_]
    one: CrossedCounts
    other: CrossedCounts


def wording_gap_table(
    before: Predictions, trials: Sequence[Trial], groups: Sequence[Groups], level: float = LEVEL
) -> pd.DataFrame:
    """Returns how far groups lie apart in the share flagged, over the wordings of each kind.

    Each pair of groups of each partition, and each of three or more groups against all others. The
    intervals hold together, for all pairs of a partition and for all its groups; those with too few
    images have none. The policy's own wording is one of each kind.

    Raises:
        ValueError: a row stands for several images.
    """
    parts = []
    for kind in dict.fromkeys(trial.variant.kind for trial in trials):
        of_kind = [before, *(t.predictions for t in trials if t.variant.kind == kind)]
        flags = np.stack([each.flagged for each in of_kind], axis=1)
        for part in groups:
            if part.by != OVERALL:
                keys = {"policy": before.name, "kind": kind, "by": part.by}
                parts += [_gap_rows(sides, keys, level) for sides in _compared_sides(flags, part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _compared_sides(flags: Marks, part: Groups) -> Iterator[_Sides]:
    part.refuse_weights("a gap over wordings")
    part = part.without_empty()
    names = np.array(part.names, object)
    counts = CrossedCounts.of(flags, part.codes, len(names))
    if len(names) > 1:
        one, two = np.array(list(combinations(range(len(names)), 2)), np.intp).T
        # The group that is flagged more often comes first.
        swap = (counts.rates[one] - counts.rates[two]).mean(axis=-1) < 0
        one, two = np.where(swap, two, one), np.where(swap, one, two)
        yield _Sides("between_groups", names[one], names[two], counts[one], counts[two])
    if len(names) > 2:
        others = np.full(len(names), ALL_OTHERS, object)
        yield _Sides("to_others", names, others, counts, counts.others())


def _gap_rows(sides: _Sides, keys: dict[str, Any], level: float) -> pd.DataFrame:
    support = weaker_support(support_of(sides.one.n), support_of(sides.other.n))
    enough = support != "suppressed"
    joint = simultaneous(level, int(enough.sum()))
    gaps = crossed_gaps(sides.one, sides.other, joint)
    columns: dict[str, Any] = keys | {"comparison": sides.comparison}
    columns |= {"group": sides.group, "n": sides.one.n.astype(int)}
    columns |= {"reference": sides.reference, "reference_n": sides.other.n.astype(int)}
    columns |= {"wordings": sides.one.w, "own": (sides.one.rates - sides.other.rates)[:, 0]}
    columns |= {"lowest": gaps.lowest, "mean": gaps.mean, "highest": gaps.highest}
    for name, interval in (("", gaps.over_both), ("images_", gaps.over_images)):
        columns[f"{name}low"] = np.where(enough, interval.low, np.nan)
        columns[f"{name}high"] = np.where(enough, interval.high, np.nan)
    columns["of_wordings"] = np.where(enough, gaps.of_wordings, np.nan)
    columns |= {
        "together": int(enough.sum()),
        "undefined": _why_undefined(gaps, enough, sides.one.w),
    }
    return pd.DataFrame(columns | {"support": support})


def _why_undefined(gaps: CrossedGaps, enough: Marks, w: int) -> npt.NDArray[np.object_]:
    """Returns why each interval over wordings is undefined, or None."""
    why = np.full(enough.shape, FEW_WORDINGS if w < FEWEST_WORDINGS else None, object)
    if w >= FEWEST_WORDINGS:
        why[gaps.uneven] = UNEVEN_WORDINGS
    why[~enough] = FEW_IMAGES
    return why
