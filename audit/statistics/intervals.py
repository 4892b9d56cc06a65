"""Confidence intervals of rates, their differences and ratios: a thin layer over statsmodels.

Arrays of one shape go in, and the result is elementwise. A rate without images is NaN, and a bound
that no data limit is infinite. docs/audit-method.md gives each formula with its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

Float64s = npt.NDArray[np.float64]

#: Confidence of every interval, unless its text says simultaneous.
LEVEL = 0.95

#: No finite bound of a ratio lies beyond e to plus or minus this power; this many halvings of the
#: span find it to the last digits of float64.
_LOG_END, _HALVINGS = 40.0, 64


class Interval(NamedTuple):
    """Lower and upper bounds."""

    low: Float64s
    high: Float64s


def share(count: npt.ArrayLike, n: npt.ArrayLike) -> Float64s:
    """Returns count / n, which an interval is of; NaN where n is 0, never 0."""
    count, n = np.asarray(count, np.float64), np.asarray(n, np.float64)
    undefined = np.full(np.broadcast(count, n).shape, np.nan)
    rates: Float64s = np.divide(count, n, out=undefined, where=n > 0)
    return rates


def wilson(count: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """Returns Wilson's score interval of count / n.

    Source: Wilson 1927, JASA 22:209; recommended by Brown, Cai and DasGupta 2001.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = proportion_confint(
            np.asarray(count, np.float64), np.asarray(n, np.float64), 1 - level, method="wilson"
        )
    # Rounding must not put a bound of 0 of n, or of n of n, slightly beyond its estimate.
    rate = share(count, n)
    return Interval(np.minimum(low, rate), np.maximum(high, rate))


def exact(count: npt.ArrayLike, n: npt.ArrayLike, level: float | Float64s = LEVEL) -> Interval:
    """Returns the exact interval of count / n, which holds at any n and level; also of many levels.

    Source: Clopper and Pearson 1934, Biometrika 26:404.
    """
    count, n = np.asarray(count, np.float64), np.asarray(n, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = proportion_confint(count, n, 1 - level, method="beta")
    defined = n > 0
    return Interval(np.where(defined, low, np.nan), np.where(defined, high, np.nan))


def difference(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    level: float | Float64s = LEVEL,
) -> Interval:
    """Returns Newcombe's interval of the difference of two independent rates.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.
    """
    arrays = [np.asarray(a, np.float64) for a in (count, n, reference_count, reference_n)]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = confint_proportions_2indep(
            *arrays, compare="diff", method="newcomb", alpha=1 - level
        )
    return Interval(np.asarray(low, np.float64), np.asarray(high, np.float64))


def ratio(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    level: float | Float64s = LEVEL,
) -> Interval:
    """Returns the score interval of the ratio of two independent rates.

    Without a hit in the reference it has no upper bound (infinity); without a hit in either it is
    undefined (NaN). It is solved here, since statsmodels' closed form gives NaN, or the estimate
    itself as a bound, where every image of the reference is a hit, as in the pass ratio to a group
    without a flag.

    Source: Koopman 1984, Biometrics 40:513.
    """
    given = (count, n, reference_count, reference_n)
    cells = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in given))
    hits, images, reference_hits, reference_images = cells
    defined = (images > 0) & (reference_images > 0) & (hits + reference_hits > 0)
    low, high = np.zeros(hits.shape), np.full(hits.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.log((hits / images) / (reference_hits / reference_images))
        below, above = defined & (hits > 0), defined & (reference_hits > 0)
        low[below] = np.exp(_ratio_interval_end(cells, estimate, -_LOG_END, level))[below]
        high[above] = np.exp(_ratio_interval_end(cells, estimate, _LOG_END, level))[above]
    return Interval(np.where(defined, low, np.nan), np.where(defined, high, np.nan))


def _ratio_interval_end(
    cells: tuple[Float64s, ...], estimate: Float64s, end: float, level: float | Float64s
) -> Float64s:
    """Returns the logarithm of the ratio between estimate and `end` that is only just accepted."""
    critical = stats.chi2.ppf(level, 1)
    kept, rejected = np.clip(estimate, -_LOG_END, _LOG_END), np.full(estimate.shape, end)
    for _ in range(_HALVINGS):
        middle = (kept + rejected) / 2
        inside = _ratio_interval_score(cells, np.exp(middle)) <= critical
        kept, rejected = np.where(inside, middle, kept), np.where(inside, rejected, middle)
    return np.asarray(kept)


def _ratio_interval_score(cells: tuple[Float64s, ...], at: Float64s) -> Float64s:
    """Returns the squared score of a ratio, at the most likely rates with that ratio."""
    hits, images, reference_hits, reference_images = cells
    a = at * (images + reference_images)
    b = at * (images + reference_hits) + hits + reference_images
    c = hits + reference_hits
    second = 2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)))
    first = np.minimum(at * second, 1.0)
    variance = first * (1 - first) / images + at**2 * second * (1 - second) / reference_images
    apart = hits / images - at * reference_hits / reference_images
    return np.asarray(apart**2 / variance)


def paired_difference(
    entered: npt.ArrayLike, left: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL
) -> Interval:
    """Returns the interval of (entered - left) / n, the change of a rate on the same n images.

    It has a width even where nothing entered or left: n images cannot prove that none ever would.

    Source: Bonett and Price 2012, J. Educational and Behavioral Statistics 37:479.
    """
    entered, left, n = (np.asarray(a, np.float64) for a in (entered, left, n))
    z = stats.norm.ppf(0.5 + level / 2)
    up, down = (entered + 1) / (n + 2), (left + 1) / (n + 2)
    half = z * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = np.maximum(up - down - half, -1.0), np.minimum(up - down + half, 1.0)
    defined = n > 0
    return Interval(np.where(defined, low, np.nan), np.where(defined, high, np.nan))


def exact_paired_difference(
    entered: npt.ArrayLike,
    left: npt.ArrayLike,
    n: npt.ArrayLike,
    level: float | Float64s = LEVEL,
) -> Interval:
    """Returns the interval of (entered - left) / n from the exact intervals of the two shares.

    Where images can only enter, or only leave, it is the exact interval of that share. No image
    does both, so the shares are correlated.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693 (MOVER).
    """
    up, down = share(entered, n), share(left, n)
    rise, fall = exact(entered, n, level), exact(left, n, level)
    correlation = -np.sqrt(share(up * down, (1 - up) * (1 - down)))
    # Where all images enter, or all leave, one more that does so is one less that does not.
    every = (up == 1) | (down == 1)
    correlation = np.where(every, -1.0, np.maximum(np.nan_to_num(correlation), -1.0))

    def reach(one: Float64s, two: Float64s) -> Float64s:
        return np.asarray(np.sqrt(one**2 + two**2 - 2 * correlation * one * two))

    net = up - down
    return Interval(
        net - reach(up - rise.low, fall.high - down), net + reach(rise.high - up, down - fall.low)
    )


def difference_of(
    first: npt.ArrayLike, first_interval: Interval, second: npt.ArrayLike, second_interval: Interval
) -> Interval:
    """Returns the interval of first - second, two independent estimates with their intervals.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693 (MOVER).
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    gap = first - second
    below = np.hypot(first - first_interval.low, second_interval.high - second)
    above = np.hypot(first_interval.high - first, second - second_interval.low)
    return Interval(gap - below, gap + above)


def simultaneous(level: float, comparisons: int) -> float:
    """Returns the level at which that many intervals hold together with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


@dataclass(frozen=True)
class PairIntervals:
    """The ordered pairs of g groups, g (g - 1) of them, with intervals of what lies between.

    Attributes:
        indices: (pairs, 2) which groups are the first and the second.
        count, n: (pairs,) counts and images of the first.
        other_count, other_n: (pairs,) those of the second.
    """

    indices: npt.NDArray[np.intp]
    count: Float64s
    n: Float64s
    other_count: Float64s
    other_n: Float64s

    @classmethod
    def of(cls, count: Float64s, n: Float64s) -> PairIntervals:
        """Returns the pairs of groups with (g,) counts of (g,) images."""
        indices = np.array(list(permutations(range(len(n)), 2)), np.intp).reshape(-1, 2)
        one, two = indices.T
        return cls(indices, count[one], n[one], count[two], n[two])

    @classmethod
    def together(cls, families: Sequence[PairIntervals]) -> PairIntervals:
        """Returns the pairs of several families of groups, one family after the other."""
        names = ("indices", "count", "n", "other_count", "other_n")
        return cls(*(np.concatenate([getattr(own, name) for own in families]) for name in names))

    def joint(self, level: float) -> float:
        """Returns the level of each pair's interval at which all hold together with `level`.

        Two groups have the same interval in either order, so only half of the pairs count.
        """
        return simultaneous(level, len(self.indices) // 2)

    def differences(self, level: float | Float64s) -> tuple[Float64s, Interval]:
        """Returns (pairs,) how much higher the first rate is, with intervals."""
        apart = share(self.count, self.n) - share(self.other_count, self.other_n)
        return apart, difference(self.count, self.n, self.other_count, self.other_n, level)

    def ratios(self, level: float | Float64s) -> tuple[Float64s, Interval]:
        """Returns (pairs,) the first rate as a multiple of the second, with intervals."""
        times = share(share(self.count, self.n), share(self.other_count, self.other_n))
        return times, ratio(self.count, self.n, self.other_count, self.other_n, level)

    def passing(self) -> PairIntervals:
        """Returns the pairs for intervals of the images that did not count."""
        count, other_count = self.n - self.count, self.other_n - self.other_count
        return PairIntervals(self.indices, count, self.n, other_count, self.other_n)
