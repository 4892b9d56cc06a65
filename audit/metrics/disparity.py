"""How far groups lie from the overall rate and from each other; and the widest gap between them.

Takes the rows of `audit.metrics.rates.rate_table`.

The same data say which groups have the widest gap, so it is biased upward: groups that are treated
alike also differ a little. Its intervals allow for that. They are of the widest true gap, whichever
two groups have it, and come from all pairs together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audit.datasets.dataset import OVERALL
from audit.metrics.rates import FALSE_POSITIVE, TRUE_POSITIVE
from audit.statistics.intervals import (
    LEVEL,
    Float64s,
    PairIntervals,
    difference,
    ratio,
    share,
    simultaneous,
)
from audit.statistics.significance import groups_p, holm, holm_against_rest, independence_p
from audit.statistics.support import support_of, weaker_support


def differences_to_overall(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns each group's difference and ratio to the overall rate, with intervals.

    The overall rate includes the group itself, so intervals come from the group against all other
    images: p_g - p = (1 - n_g / n) (p_g - p_rest). p is of that comparison, corrected by Holm over
    the groups of a sensitive feature; two groups are one comparison. One with a suppressed side is
    not tested.
    """
    parts = [_disparity_to_overall(part) for _, part in disparity_families(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def differences_between_groups(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the difference and ratio of each pair of groups, with intervals.

    p is corrected by Holm over the pairs of a sensitive feature. A pair with a suppressed side is
    not tested.
    """
    parts = [_disparity_between_groups(part) for _, part in disparity_families(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def disparity_families(rates: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yields the groups of each policy, sensitive feature and metric, without the whole dataset."""
    keys = ["policy", "by", "metric"]
    parts: Any = rates[rates["by"] != OVERALL].groupby(keys, sort=False, observed=True)
    yield from parts


class _Cells(NamedTuple):
    """Counts and sizes of some groups, and of what each is compared with."""

    count: Any
    n: Any
    reference_count: Any
    reference_n: Any


def _disparity_to_overall(part: pd.DataFrame) -> pd.DataFrame:
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    total, total_n = int(count.sum()), int(n.sum())
    rest = _Cells(count, n, total - count, total_n - n)
    weight = share(n, total_n)
    table = _plain_disparities(part, OVERALL, "to_overall", _Cells(count, n, total, total_n))
    for end, apart, times in zip(("low", "high"), difference(*rest), ratio(*rest), strict=True):
        table[f"difference_{end}"] = (1 - weight) * apart
        table[f"ratio_{end}"] = _overall_disparity_ratio(times, weight)
    # Two samples are compared, so either can be too small for it.
    support = weaker_support(part["support"].to_numpy(), support_of(rest.reference_n))
    return _tested_disparities(table, rest, support, holm_against_rest)


def _overall_disparity_ratio(to_rest: Float64s, weight: Float64s) -> Float64s:
    """Returns p_g / p from R = p_g / p_rest and the group's weight w: R / (w R + 1 - w)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = to_rest / (weight * to_rest + 1 - weight)
        return np.where(np.isinf(to_rest), 1 / weight, whole)


def _disparity_between_groups(part: pd.DataFrame) -> pd.DataFrame:
    pairs = list(combinations(range(len(part)), 2))
    one, two = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    count, n, group, support = (part[key].to_numpy() for key in ("count", "n", "group", "support"))
    cells = _Cells(count[one], n[one], count[two], n[two])
    table = _plain_disparities(part.iloc[one], group[two], "between_groups", cells)
    table["difference_low"], table["difference_high"] = difference(*cells)
    table["ratio_low"], table["ratio_high"] = ratio(*cells)
    return _tested_disparities(table, cells, weaker_support(support[one], support[two]), holm)


def _plain_disparities(
    part: pd.DataFrame, reference: Any, comparison: str, cells: _Cells
) -> pd.DataFrame:
    """Returns the difference and ratio of the rates in each row, without intervals."""
    table = part[["policy", "by", "metric", "group", "count", "n"]].reset_index(drop=True)
    rate, reference_rate = share(*cells[:2]), share(*cells[2:])
    return table.assign(
        reference=reference,
        comparison=comparison,
        reference_count=cells.reference_count,
        reference_n=cells.reference_n,
        difference=rate - reference_rate,
        ratio=share(rate, reference_rate),
    )


def _tested_disparities(
    table: pd.DataFrame, cells: _Cells, support: Any, adjust: Callable[[Float64s], Float64s]
) -> pd.DataFrame:
    """Adds p and adjusted p of the comparison in each row that has support."""
    tested = support != "suppressed"
    p = np.full(len(table), np.nan)
    p[tested] = independence_p(*(cell[tested] for cell in cells))
    return table.assign(p=p, p_adjusted=adjust(p), support=support)


def widest_gaps(rates: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Returns each policy's widest gap by sensitive feature and metric, among groups with support.

    The worst group has the highest rate. Undefined where fewer than two groups have 30 images.
    """
    return pd.DataFrame([_widest_gap(key, part, level) for key, part in disparity_families(rates)])


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


def _widest_gap(key: tuple[str, str, str], part: pd.DataFrame, level: float) -> dict[str, Any]:
    compared = part[part["support"] != "suppressed"]
    left_out = tuple(part.loc[part["support"] == "suppressed", "group"])
    row: dict[str, Any] = dict(zip(("policy", "by", "metric"), key, strict=True))
    row |= {"compared": len(compared), "left_out": left_out}
    row["p"] = groups_p(compared["count"], compared["n"])
    if len(compared) < 2:
        return row | _undefined_gap()
    # By n too, so that these are two groups, whatever their order, even where all rates are equal.
    ranked = compared.sort_values(["rate", "n"])
    for name, group in (("worst", ranked.iloc[-1]), ("best", ranked.iloc[0])):
        row |= {name: group["group"], f"{name}_count": group["count"], f"{name}_n": group["n"]}
    worst, best = row["worst_count"] / row["worst_n"], row["best_count"] / row["best_n"]
    row |= {"difference": worst - best, "ratio": float(share(worst, best))}
    row["pass_ratio"] = float(share(1 - worst, 1 - best))
    return row | _gap_bounds(compared, level)


def _gap_bounds(compared: pd.DataFrame, level: float) -> dict[str, float]:
    """Returns the bounds of the widest true gap: the largest of all pairs' bounds.

    The intervals of all pairs hold together. So the widest gap is at least the largest lower bound,
    and at most the largest upper one; a gap is never below 0, nor its ratio below 1.
    """
    count, n = (compared[name].to_numpy(np.float64) for name in ("count", "n"))
    pairs = PairIntervals.of(count, n)
    joint = pairs.joint(level)
    _, apart = pairs.differences(joint)
    _, times = pairs.ratios(joint)
    _, passing = pairs.passing().ratios(joint)
    # Without a hit in either group of a pair, their ratio can be anything.
    unknown = np.isnan(times.high)
    return {
        "difference_low": max(0.0, float(apart.low.max())),
        "difference_high": float(apart.high.max()),
        "ratio_low": max(1.0, float(np.where(unknown, 0.0, times.low).max())),
        "ratio_high": float(np.where(unknown, np.inf, times.high).max()),
        "pass_ratio_low": float(np.where(np.isnan(passing.low), 0.0, passing.low).min()),
        "pass_ratio_high": min(1.0, float(np.nan_to_num(passing.high, nan=np.inf).min())),
    }


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
