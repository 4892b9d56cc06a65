"""The widest gap between groups under one policy.

The same data say which groups these are, so the widest gap is biased upward: groups that are
treated alike also differ a little. Its intervals allow for that. They are of the widest true gap,
whichever two groups have it, and come from all pairs together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from audit.metrics.disparity import families
from audit.metrics.rates import FALSE_POSITIVE, TRUE_POSITIVE
from audit.statistics.intervals import LEVEL, Pairs, share, simultaneous
from audit.statistics.significance import groups_p


def gaps(rates: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Returns each policy's widest gap by sensitive feature and metric, among groups with support.

    The worst group has the highest rate. Undefined where fewer than two groups have 30 images.
    """
    return pd.DataFrame([_gap(*key, part, level) for key, part in families(rates)])


def _gap(policy: str, by: str, metric: str, part: pd.DataFrame, level: float) -> dict[str, Any]:
    compared = part[part["support"] != "suppressed"]
    left_out = tuple(part.loc[part["support"] == "suppressed", "group"])
    row: dict[str, Any] = {"policy": policy, "by": by, "metric": metric}
    row |= {"compared": len(compared), "left_out": left_out}
    row["p"] = groups_p(compared["count"], compared["n"])
    if len(compared) < 2:
        return row | _undefined()
    # By n too, so that these are two groups, whatever their order, even where all rates are equal.
    ranked = compared.sort_values(["rate", "n"])
    for name, group in (("worst", ranked.iloc[-1]), ("best", ranked.iloc[0])):
        row |= {name: group["group"], f"{name}_count": group["count"], f"{name}_n": group["n"]}
    worst, best = row["worst_count"] / row["worst_n"], row["best_count"] / row["best_n"]
    row |= {"difference": worst - best, "ratio": float(share(worst, best))}
    row["pass_ratio"] = float(share(1 - worst, 1 - best))
    return row | _bounds(compared, level)


def _bounds(compared: pd.DataFrame, level: float) -> dict[str, float]:
    """Returns the bounds of the widest true gap: the largest of all pairs' bounds.

    The intervals of all pairs hold together. So the widest gap is at least the largest lower bound,
    and at most the largest upper one; a gap is never below 0, nor its ratio below 1.
    """
    count, n = (compared[name].to_numpy(np.float64) for name in ("count", "n"))
    pairs = Pairs.of(count, n)
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


def _undefined() -> dict[str, Any]:
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
