"""What a group of n images could have shown: the smallest difference that would be claimed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import optimize, stats

from audit.datasets.groups import OVERALL, Counts, Marks
from audit.statistics.significance import independence_p

#: How often a difference of the stated size would be claimed.
POWER = 0.8

#: With fewer hits in all other images their rate is too little known to tell.
_FEWEST_HITS = 3

#: The count of all other images varies too; power is the mean over so many of its quantiles.
_QUANTILES = 9


def power_table(rates: pd.DataFrame, critical: float) -> pd.DataFrame:
    """Returns for each group the smallest rise above all other images' rate that it would show.

    The rates are of one metric.

    It would be claimed with a power of 0.8, that is with a p below `critical`. Undefined where no
    rate up to 1 would be enough, and where fewer than 3 of the other images count.
    """
    of = rates[rates["by"] != OVERALL]
    columns = ["policy", "by", "group", "n", "rate", "support"]
    table = of[columns].reset_index(drop=True)
    totals = of.groupby(["policy", "by"], observed=True)[["count", "n"]].transform("sum")
    rest = (totals - of[["count", "n"]]).to_numpy()
    sizes = of["n"].to_numpy()
    table["smallest_difference"] = [
        smallest_difference(int(n), int(count), int(other), critical)
        for n, (count, other) in zip(sizes, rest, strict=True)
    ]
    return table


def smallest_difference(n: int, rest_count: int, rest_n: int, critical: float) -> float:
    """Returns the smallest rise above rest_count / rest_n that n images have the power to show.

    It sums the chances of all counts that `independence_p` puts below the critical p.
    """
    if not n or rest_count < _FEWEST_HITS:
        return float("nan")
    rate = rest_count / rest_n
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    counts = stats.binom.ppf(quantiles, rest_n, rate).astype(np.int64)
    fewest = _fewest_claimed(n, counts, rest_n, critical)

    def lacking(at: float) -> float:
        return float(stats.binom.sf(fewest - 1, n, at).mean()) - POWER

    if lacking(1.0) < 0:
        return float("nan")
    return float(optimize.brentq(lacking, rate, 1.0)) - rate


def _fewest_claimed(n: int, rest_counts: Counts, rest_n: int, critical: float) -> Counts:
    """Returns the fewest hits of n images that are claimed to be more; n + 1 where no number is."""
    few = (n * rest_counts / rest_n).astype(np.int64)
    enough = np.full_like(few, n + 1)
    while (apart := enough - few > 1).any():
        middle = (few + enough) // 2
        claimed: Marks = independence_p(middle, n, rest_counts, rest_n) < critical
        few = np.where(apart & ~claimed, middle, few)
        enough = np.where(apart & claimed, middle, enough)
    return enough
