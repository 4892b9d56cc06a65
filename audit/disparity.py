"""How far groups lie apart under one policy: differences, ratios, the widest gap.

Takes the rows of `audit.rates.rate_table`. Which group is the worst is read off the same data, so
the widest gap is biased upward: its intervals are simultaneous over all pairs of groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from audit.intervals import (
    LEVEL,
    Floats,
    Interval,
    difference,
    groups_p,
    holm,
    independence_p,
    ratio,
    share,
    simultaneous,
)
from audit.rates import FALSE_POSITIVE, OVERALL, TRUE_POSITIVE
from audit.support import support_of

#: p, adjusted, below which a difference is claimed.
ALPHA = 1 - LEVEL

KEYS = ["policy", "by", "metric"]


def differences_to_overall(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns each group's difference and ratio to the overall rate, with intervals.

    The overall holds the group itself, so intervals come from the group against all other images:
    p_g - p = (1 - n_g / n) (p_g - p_rest). p is of that comparison, corrected by Holm over the
    groups of a feature; suppressed cells make no claim and are no part of the family.
    """
    parts = [_to_overall(part) for _, part in _features(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def differences_between_groups(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the difference and ratio of each pair of groups, with intervals.

    p is corrected by Holm over the pairs of a feature; one with a suppressed cell claims nothing.
    """
    parts = [_between_groups(part) for _, part in _features(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _features(rates: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yields the groups of each policy, feature and metric; the whole dataset is none."""
    yield from rates[rates["by"] != OVERALL].groupby(KEYS, sort=False, observed=True)


def _to_overall(part: pd.DataFrame) -> pd.DataFrame:
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    total, total_n = int(count.sum()), int(n.sum())
    rest, rest_n = total - count, total_n - n
    weight = share(n, total_n)
    apart, times = difference(count, n, rest, rest_n), ratio(count, n, rest, rest_n)
    table = _row_columns(part, OVERALL, "to_overall", total, total_n)
    table["difference"] = share(count, n) - share(total, total_n)
    table["difference_low"], table["difference_high"] = ((1 - weight) * bound for bound in apart)
    table["ratio"] = share(share(count, n), share(total, total_n))
    table["ratio_low"], table["ratio_high"] = (_ratio_to_whole(bound, weight) for bound in times)
    # A claim compares two samples, so either can be too small for it.
    support = _weaker(part["support"].to_numpy(), support_of(rest_n))
    return _with_claims(table, independence_p(count, n, rest, rest_n), support)


def _ratio_to_whole(to_rest: Floats, weight: Floats) -> Floats:
    """Returns p_g / p from R = p_g / p_rest and the group's weight w: R / (w R + 1 - w)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = to_rest / (weight * to_rest + 1 - weight)
    return np.where(np.isinf(to_rest), 1 / weight, whole)


def _between_groups(part: pd.DataFrame) -> pd.DataFrame:
    pairs = list(combinations(range(len(part)), 2))
    one, two = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    cells = (count[one], n[one], count[two], n[two])
    table = _row_columns(
        part.iloc[one], part["group"].to_numpy()[two], "between_groups", *cells[2:]
    )
    table["difference"] = share(*cells[:2]) - share(*cells[2:])
    table["difference_low"], table["difference_high"] = difference(*cells)
    table["ratio"] = share(share(*cells[:2]), share(*cells[2:]))
    table["ratio_low"], table["ratio_high"] = ratio(*cells)
    support = _weaker(part["support"].to_numpy()[one], part["support"].to_numpy()[two])
    return _with_claims(table, independence_p(*cells), support)


def _row_columns(
    part: pd.DataFrame, reference: Any, comparison: str, reference_count: Any, reference_n: Any
) -> pd.DataFrame:
    table = part[["policy", "by", "metric", "group", "count", "n"]].reset_index(drop=True)
    return table.assign(
        reference=reference,
        comparison=comparison,
        reference_count=reference_count,
        reference_n=reference_n,
    )


def _weaker(one: Any, two: Any) -> Any:
    order = ["suppressed", "indicative", "full"]
    return np.array([min(pair, key=order.index) for pair in zip(one, two, strict=True)], object)


def _with_claims(table: pd.DataFrame, p: Floats, support: Any) -> pd.DataFrame:
    table["p"] = p
    table["p_adjusted"] = holm(np.where(support == "suppressed", np.nan, p))
    table["support"] = support
    table["claim"] = table["p_adjusted"] < ALPHA
    return table


def gaps(rates: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Returns the widest gap of each policy, feature and metric, among groups with support.

    The worst group has the highest rate. Undefined where fewer than two groups have 30 images.
    """
    return pd.DataFrame([_gap(*key, part, level) for key, part in _features(rates)])


def _gap(policy: str, by: str, metric: str, part: pd.DataFrame, level: float) -> dict[str, Any]:
    compared = part[part["support"] != "suppressed"]
    left_out = tuple(part.loc[part["support"] == "suppressed", "group"])
    row: dict[str, Any] = {"policy": policy, "by": by, "metric": metric}
    row |= {"compared": len(compared), "left_out": left_out}
    row["p"] = groups_p(compared["count"], compared["n"])
    if len(compared) < 2:
        return row | _no_gap()
    # By n too: so these are two groups even where all are alike, whatever the order of groups.
    ranked = compared.sort_values(["rate", "n"])
    worst, best = ranked.iloc[-1], ranked.iloc[0]
    cells = (worst["count"], worst["n"], best["count"], best["n"])
    joint = simultaneous(level, len(compared) * (len(compared) - 1) // 2)
    passed = (cells[1] - cells[0], cells[1], cells[3] - cells[2], cells[3])
    row |= {"worst": worst["group"], "best": best["group"]}
    row |= dict(zip(("worst_count", "worst_n", "best_count", "best_n"), cells, strict=True))
    row["difference"] = worst["rate"] - best["rate"]
    row["ratio"] = float(share(worst["rate"], best["rate"]))
    row["pass_ratio"] = float(share(1 - worst["rate"], 1 - best["rate"]))
    row |= _bounds("difference", difference(*cells, joint))
    row |= _bounds("ratio", ratio(*cells, joint))
    return row | _bounds("pass_ratio", ratio(*passed, joint))


def _bounds(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def _no_gap() -> dict[str, Any]:
    undefined = [
        name + end
        for name in ("difference", "ratio", "pass_ratio")
        for end in ("", "_low", "_high")
    ]
    zero = dict.fromkeys(("worst_count", "worst_n", "best_count", "best_n"), 0)
    return {"worst": None, "best": None, **zero, **dict.fromkeys(undefined, float("nan"))}


def equalized_odds(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the larger of the widest gaps in true and in false positive rate.

    Only where the truth gives both; each gap gets half of the error, so that they hold together.
    """
    both = rates[rates["metric"].isin([TRUE_POSITIVE, FALSE_POSITIVE])]
    joint = gaps(both, simultaneous(LEVEL, 2))
    rows = []
    for (policy, by), part in joint.groupby(["policy", "by"], sort=False) if len(joint) else ():
        if len(part) < 2:
            continue
        defined = bool(part["difference"].notna().all())
        largest = {
            "difference": part["difference"].max() if defined else np.nan,
            "low": part["difference_low"].max() if defined else np.nan,
            "high": part["difference_high"].max() if defined else np.nan,
        }
        of = (both["policy"] == policy) & (both["by"] == by)
        rows.append(
            {"policy": policy, "by": by, **largest}
            | {"n": int(both.loc[of, "n"].sum()), "compared": int(part["compared"].min())}
        )
    return pd.DataFrame(rows)
