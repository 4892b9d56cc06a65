"""What a group of n images could have shown: the smallest difference that would be found."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from statsmodels.stats.power import NormalIndPower

from audit.datasets.dataset import OVERALL
from audit.metrics.rates import FLAG
from audit.statistics.intervals import LEVEL

#: How often a difference of the stated size would be found.
POWER = 0.8

#: With fewer hits in all other images the arcsine formula promises more power than there is.
_FEWEST_HITS = 3


def power_table(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns for each group the smallest rise above all other images' flag rate it would show.

    Two-sided at 0.05 without correction, with a power of 0.8. Undefined where no rate up to 1 would
    be enough, and where fewer than 3 of the other images are flagged, as the formula fails there.

    Source: Cohen 1988, arcsine transformation; statsmodels' NormalIndPower.
    """
    of = rates[(rates["metric"] == FLAG) & (rates["by"] != OVERALL)]
    columns = ["policy", "by", "group", "n", "rate", "support"]
    table = of[columns].reset_index(drop=True)
    totals = of.groupby(["policy", "by"], observed=True)[["count", "n"]].transform("sum")
    rest = (totals - of[["count", "n"]]).to_numpy()
    sizes = of["n"].to_numpy()
    table["smallest_difference"] = [
        smallest_difference(int(n), int(count), int(other))
        for n, (count, other) in zip(sizes, rest, strict=True)
    ]
    return table


def smallest_difference(n: int, rest_count: int, rest_n: int) -> float:
    """Returns the smallest rise above rest_count / rest_n that n images have the power to show."""
    if not n or rest_count < _FEWEST_HITS:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        effect = NormalIndPower().solve_power(
            nobs1=n, ratio=rest_n / n, alpha=1 - LEVEL, power=POWER, alternative="two-sided"
        )
    rate = rest_count / rest_n
    angle = np.arcsin(np.sqrt(rate)) + float(np.squeeze(effect)) / 2
    return float(np.sin(angle) ** 2 - rate) if angle <= np.pi / 2 else float("nan")
