"""Rates standardised for other features: what a group's rate would be in the whole's strata.

The rate of each stratum is weighted by the share that the stratum has of the whole dataset, for all
groups alike (direct standardisation). Only strata count in which all compared groups have images.

Shapes: g groups, s strata.

Sources: Korn and Graubard 1998, Survey Methodology 24:193 (the interval); Mantel and Haenszel 1959,
J. National Cancer Institute 22:719; Mantel and Fleiss 1980, American J. of Epidemiology 112:129.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from audit.statistics.intervals import LEVEL, Float64s, Interval, share

Counts = npt.NDArray[np.int64]

#: As long as the common strata hold less of the dataset, a group is left out of the comparison.
COMMON_SHARE = 0.9

#: Images that the rate of a stratum borrows from its group, for the variance alone.
_BORROWED = 1.0

#: Mantel and Fleiss's rule: with less between the fewest and the most hits there may be, no p.
_FEWEST = 5.0


class CommonSupport(NamedTuple):
    """(g,) whether each group is compared, and (s,) the strata in which all of these have one."""

    groups: npt.NDArray[np.bool_]
    strata: npt.NDArray[np.bool_]


def common_support(n: Counts, supported: npt.NDArray[np.bool_]) -> CommonSupport:
    """Returns which groups can be compared over which strata, from (g, s) images.

    A group may have images in so few strata that hardly any would be common to all. So as long as
    the common strata hold less than `COMMON_SHARE` of all images, that group is left out without
    which they hold most; of several, the smallest. Two groups always stay.

    Args:
        n: images of each group in each stratum.
        supported: (g,) groups that may be compared.
    """
    images, sizes, lacks = n.sum(axis=0), n.sum(axis=1), n == 0
    kept = supported.copy()
    while kept.sum() > 2:
        lacking = lacks[kept].sum(axis=0)
        if images[lacking == 0].sum() >= COMMON_SHARE * images.sum():
            break
        gained = (lacks & (lacking == 1)) @ images
        worst = np.lexsort((sizes, -gained, ~kept))[0]
        kept[worst] = False
    return CommonSupport(kept, (images > 0) & ~lacks[kept].any(axis=0))


class StandardisedRates(NamedTuple):
    """(g,) rates standardised over strata; NaN where there are none.

    Attributes:
        rate: weighted over the strata.
        interval: of it.
        effective_n: images of a plain rate that would be known as well.
    """

    rate: Float64s
    interval: Interval
    effective_n: Float64s


def standardised_rates(
    count: Counts, n: Counts, weight: Counts | Float64s, level: float = LEVEL
) -> StandardisedRates:
    """Returns the (g,) standardised rates of (g, s) counts of images, none of which is 0.

    The interval is the exact one of a rate over as many images as know it as well: never more than
    if all strata had one rate, and fewer where the strata that weigh most differ more. So it holds
    where strata have few images, in which intervals that add up those of the strata do not.

    Args:
        count: of each group in each stratum.
        n: images of each.
        weight: (s,) images of the whole dataset in each stratum, or their share.
        level: of the interval.
    """
    if not n.shape[1]:
        none = np.full(len(n), np.nan)
        return StandardisedRates(none, Interval(none, none), none)
    of_whole = weight / weight.sum()
    rate = (count / n) @ of_whole
    effective = 1 / ((of_whole**2 / n).sum(axis=1))
    like = (count + _BORROWED * rate[:, np.newaxis]) / (n + _BORROWED)
    variance = (of_whole**2 * like * (1 - like) / n).sum(axis=1)
    unlike = share(rate * (1 - rate), variance)
    effective = np.where(np.isnan(unlike), effective, np.fmin(effective, unlike))
    return StandardisedRates(rate, _interval_of_effective(rate, effective, level), effective)


def _interval_of_effective(rate: Float64s, n: Float64s, level: float) -> Interval:
    """Returns Clopper and Pearson's interval of a rate over an effective number of images."""
    error = (1 - level) / 2
    hits, misses = rate * n, (1 - rate) * n
    none, every = hits <= 0, misses <= 0
    low = stats.beta.ppf(error, np.where(none, 1.0, hits), misses + 1)
    high = stats.beta.ppf(1 - error, hits + 1, np.where(every, 1.0, misses))
    return Interval(np.where(none, 0.0, low), np.where(every, 1.0, high))


def mantel_haenszel_p(
    count: Counts, n: Counts, reference_count: Counts, reference_n: Counts
) -> float:
    """Returns p of one rate in two groups within each of (s,) strata, by Cochran-Mantel-Haenszel.

    NaN where there are too few hits, or misses, for its chi-square distribution.
    """
    hits, images = count + reference_count, n + reference_n
    expected = float(share(n * hits, images).sum())
    fewest, most = np.maximum(0, hits - reference_n).sum(), np.minimum(n, hits).sum()
    if not len(n) or min(expected - fewest, most - expected) < _FEWEST:
        return float("nan")
    tables = np.array([[count, n - count], [reference_count, reference_n - reference_count]])
    return float(StratifiedTable(tables).test_null_odds().pvalue)
