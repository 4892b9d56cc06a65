"""Scores against the truth: how well they separate what should be flagged, how far off they are.

docs/audit-method.md gives each formula with its source, and how often the intervals hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from audit.statistics.intervals import LEVEL, Float64s, wilson

#: A bound is not sought nearer to 0 or 1 than this, where it would find the end itself.
_TINY = 1e-12

#: Of few images none may be seen that lies wholly on the wrong side; so much of one is added on
#: either side. Without it DeLong's variance is too small where the AUC is high by chance.
_UNSEEN = 0.25


class Estimate(NamedTuple):
    """A figure with its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def auc(positives: Float64s, negatives: Float64s, level: float = LEVEL) -> Estimate:
    """Returns how often a positive scores higher than a negative; ties count as half.

    The interval is Newcombe's method 5, which has a width at 0 and at 1 too. By as much as DeLong's
    variance of these scores is larger than the one that it assumes, its variance grows. Undefined
    without positives, or without negatives.

    Source: Newcombe 2006, Statistics in Medicine 25:559; DeLong, DeLong and Clarke-Pearson 1988,
    Biometrics 44:837.
    """
    m, n = len(positives), len(negatives)
    if not m or not n:
        return UNDEFINED
    ranks = stats.rankdata(np.concatenate([positives, negatives]))
    beaten = (ranks[:m] - stats.rankdata(positives)) / n  # share of negatives below each positive
    beating = 1 - (ranks[m:] - stats.rankdata(negatives)) / m
    value = float(beaten.mean())
    unseen = _UNSEEN * max(value, 1 - value) ** 2
    seen = _variance_of_mean(beaten, unseen) + _variance_of_mean(beating, unseen)
    beside = max(0.0, seen - _assumed_variance(value, m, n))
    spread = value * (1 - value)
    z = float(stats.norm.ppf((1 + level) / 2))

    def beyond(true: float) -> float:
        # Towards 0 and 1 nothing is left of either variance, so no bound lies beyond.
        more = beside * min(1.0, true * (1 - true) / spread) if spread else beside
        return (value - true) ** 2 - z**2 * (_assumed_variance(true, m, n) + more)

    inside = min(max(value, _TINY), 1 - _TINY)
    low = float(optimize.brentq(beyond, 0.0, inside)) if beyond(0.0) > 0 else 0.0
    high = float(optimize.brentq(beyond, inside, 1.0)) if beyond(1.0) > 0 else 1.0
    return Estimate(value, low, high)


def _variance_of_mean(values: Float64s, unseen: float) -> float:
    """Returns the variance of a mean, with what an image that was not seen would add to it."""
    n = len(values)
    return float(((values - values.mean()) ** 2).sum() + unseen) / (n * max(n - 1, 1))


def _assumed_variance(true: float, m: int, n: int) -> float:
    """Returns the variance of an AUC if scores were exponential, whichever side has more images.

    Source: Hanley and McNeil 1982, Radiology 143:29, with both sizes replaced by their mean.
    """
    more = (m + n) / 2 - 1
    of_pairs = 1 + more * ((1 - true) / (2 - true) + true / (1 + true))
    return true * (1 - true) * of_pairs / (m * n)


def overstatement(scores: Float64s, positive: npt.NDArray[np.bool_]) -> Estimate:
    """Returns the mean score less the share of positives, of the same images.

    The interval is MOVER of two Wilson intervals with the correlation of score and truth. A sum of
    scores is taken for a count: no score in [0, 1] varies more than an outcome with its mean.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693.
    """
    n = len(scores)
    if not n:
        return UNDEFINED
    said, true = float(scores.mean()), float(positive.mean())
    of_scores, of_truth = wilson(n * said, n), wilson(n * true, n)
    spread = float(scores.std() * positive.std())
    shared = float(np.mean((scores - said) * (positive - true)))
    together = shared / spread if spread > 0 else 0.0
    below = _mover_reach(said - of_scores.low, of_truth.high - true, together)
    above = _mover_reach(of_scores.high - said, true - of_truth.low, together)
    return Estimate(said - true, said - true - below, said - true + above)


def _mover_reach(one: npt.ArrayLike, two: npt.ArrayLike, together: float) -> float:
    one, two = float(np.asarray(one)), float(np.asarray(two))
    return float(np.sqrt(max(0.0, one**2 + two**2 - 2 * together * one * two)))
