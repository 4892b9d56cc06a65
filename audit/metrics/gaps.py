"""The widest gap between two groups in a rate.

Takes the rows of `audit.metrics.rates.rate_table`.

The same data say which groups have the widest gap, so it is biased upward: groups that are treated
alike also differ a little. Its intervals allow for that. They are of the widest true gap, whichever
two groups have it, and come from all pairs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.metrics.disparity import DisparityFamilies
from audit.metrics.rates import FALSE_POSITIVE, TRUE_POSITIVE
from audit.statistics.intervals import LEVEL, PairIntervals, share, simultaneous
from audit.statistics.significance import groups_p

#: About so many pairs of groups get their intervals at once.
_PAIRS_AT_ONCE = 20_000


def widest_gaps(rates: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Returns each policy's widest gap by sensitive feature and metric, among groups with support.

    The worst group has the highest rate. Undefined where fewer than two groups have 30 images.
    """
    families = DisparityFamilies.of(rates)
    keys = families.table[["policy", "by", "metric"]]
    columns = {name: families.table[name].to_numpy() for name in ("group", "count", "n", "support")}
    rows, compared = [], []
    for span in families.spans:
        own = {name: values[span.start : span.stop] for name, values in columns.items()}
        enough = own["support"] != "suppressed"
        count, n = own["count"][enough], own["n"][enough]
        row = dict(zip(keys, keys.iloc[span.start], strict=True))
        row |= {"compared": len(n), "left_out": tuple(own["group"][~enough])}
        row |= {"p": groups_p(count, n)}
        rows.append(row | _widest_gap(own["group"][enough], count, n))
        compared.append((count, n) if len(n) > 1 else None)
    bounds = iter(_gap_bounds([each for each in compared if each], level))
    return pd.DataFrame(
        [row | next(bounds) if each else row for row, each in zip(rows, compared, strict=True)]
    )


def claimed_gaps(gaps: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Returns gaps with `claim`: whether the compared groups are claimed to differ.

    That is where a pair is, or one group from all other images. Where groups with too few images
    are among those, it may be these alone that differ, so that claims nothing of the compared ones.
    So no two parts of a report can disagree on whether groups differ.
    """
    if gaps.empty:
        return gaps
    claims = differences.loc[differences["claim"], ["comparison", "policy", "by", "metric"]]
    claimed = set(claims.itertuples(index=False, name=None))
    columns = gaps[["policy", "by", "metric", "left_out"]].itertuples(index=False, name=None)
    return gaps.assign(
        claim=[
            ("between_groups", *key) in claimed
            or (("to_overall", *key) in claimed and not left_out)
            for *key, left_out in columns
        ]
    )


def _widest_gap(
    groups: npt.NDArray[np.object_], count: npt.NDArray[np.int64], n: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Returns the groups of the highest and of the lowest rate, and how far they lie apart."""
    if len(n) < 2:
        return _undefined_gap()
    # By n too, so that these are two groups, whatever their order, even where all rates are equal.
    order = np.lexsort([n, share(count, n)])
    row: dict[str, Any] = {}
    for name, place in (("worst", order[-1]), ("best", order[0])):
        row |= {name: groups[place], f"{name}_count": count[place], f"{name}_n": n[place]}
    worst, best = row["worst_count"] / row["worst_n"], row["best_count"] / row["best_n"]
    row |= {"difference": worst - best, "ratio": float(share(worst, best))}
    return row | {"pass_ratio": float(share(1 - worst, 1 - best))}


def _gap_bounds(
    compared: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]], level: float
) -> Iterator[dict[str, float]]:
    """Yields the bounds of the widest true gap of each family of groups, by counts and n.

    They are the largest of all pairs' bounds. The intervals of all pairs hold together. So the
    widest gap is at least the largest lower bound, and at most the largest upper one; a gap is
    never below 0, nor its ratio below 1.
    """
    pairs = [PairIntervals.of(*(each.astype(np.float64) for each in own)) for own in compared]
    ends = np.cumsum([len(each.indices) for each in pairs])
    for own in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(ends // _PAIRS_AT_ONCE)) + 1):
        if len(own):
            yield from _bounds_of_pairs([pairs[i] for i in own], level)


def _bounds_of_pairs(families: Sequence[PairIntervals], level: float) -> Iterator[dict[str, float]]:
    sizes = [len(each.indices) for each in families]
    joint = np.repeat([each.joint(level) for each in families], sizes)
    pairs, starts = PairIntervals.together(families), np.cumsum([0, *sizes[:-1]])
    _, apart = pairs.differences(joint)
    _, times = pairs.ratios(joint)
    _, passing = pairs.passing().ratios(joint)
    # Without a hit in either group of a pair, their ratio can be anything.
    unknown = np.isnan(times.high)
    highest, lowest = np.maximum.reduceat, np.minimum.reduceat
    bounds = {
        "difference_low": np.maximum(0.0, highest(apart.low, starts)),
        "difference_high": highest(apart.high, starts),
        "ratio_low": np.maximum(1.0, highest(np.where(unknown, 0.0, times.low), starts)),
        "ratio_high": highest(np.where(unknown, np.inf, times.high), starts),
        "pass_ratio_low": lowest(np.nan_to_num(passing.low, nan=0.0, posinf=np.inf), starts),
        "pass_ratio_high": np.minimum(
            1.0, lowest(np.nan_to_num(passing.high, nan=np.inf, posinf=np.inf), starts)
        ),
    }
    for values in zip(*(each.tolist() for each in bounds.values()), strict=True):
        yield dict(zip(bounds, values, strict=True))


def _undefined_gap() -> dict[str, Any]:
    figures = [
        name + end
        for name in ("difference", "ratio", "pass_ratio")
        for end in ("", "_low", "_high")
    ]
    zero = dict.fromkeys(("worst_count", "worst_n", "best_count", "best_n"), 0)
    return {"worst": None, "best": None, **zero, **dict.fromkeys(figures, float("nan"))}


def equalized_odds(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the larger of the widest gaps in true and in false positive rate.

    Only where the truth gives both. Each gap gets half of the error, so that both hold together.
    """
    both = rates[rates["metric"].isin([TRUE_POSITIVE, FALSE_POSITIVE])]
    joint = widest_gaps(both, simultaneous(LEVEL, 2))
    rows = []
    for (policy, by), part in joint.groupby(["policy", "by"], sort=False) if len(joint) else ():
        if len(part) < 2:
            continue
        bounds = part[["difference", "difference_low", "difference_high"]]
        largest = dict(zip(("difference", "low", "high"), bounds.max(skipna=False), strict=True))
        of = (both["policy"] == policy) & (both["by"] == by)
        rows.append(
            {"policy": policy, "by": by, **largest}
            | {"n": int(both.loc[of, "n"].sum()), "compared": int(part["compared"].min())}
        )
    return pd.DataFrame(rows)
