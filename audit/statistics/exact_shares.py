"""Shares of groups, and what lies between two, with bounds that hold at any size and level.

A bound of Clopper and Pearson is a quantile of a beta distribution. What lies between two groups is
bounded by the quantile of the difference, or ratio, of two of these distributions (melding). For
equal shares this is Fisher's exact test; elsewhere no case is known in which the error exceeds the
one that is stated, and the tests sum it over sizes, shares and levels.

Missing images may all be hits or none (Manski), so a bound is that of the worse. Of some it is
known what they are if they count: each can move one bound only.

Sources: Clopper and Pearson 1934, Biometrika 26:404; Fay, Proschan and Brittain 2015, Biometrics
71:146; Manski 1989, J. of Human Resources 24:343.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Float64s, Interval, exact, share

#: The quantiles over which a distribution is summed, on a logistic scale: both tails count.
_STEPS = np.arange(-24.0, 25.0)
_BELOW, _ABOVE = special.expit(_STEPS), special.expit(-_STEPS)
_WEIGHTS = _BELOW * _ABOVE / (_BELOW * _ABOVE).sum()

#: So many halvings of the span between two safe bounds find a bound to eight digits of the sum,
#: which is itself off by up to a hundredth of a share, or of a ratio, in far tails.
_HALVINGS = 26

_Operation = Callable[[Float64s, Float64s], Float64s]


def melded_margin_p(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    margin: float,
) -> Float64s:
    """Returns (c,) p of two shares that lie the margin apart, or further; NaN without images.

    It is the larger of two p, one for each direction: below 0.05 where the melded interval of 90 %
    lies within the margin.
    """
    cells = zip((count, n), (reference_count, reference_n), strict=True)
    hits, images = (np.concatenate(pair).astype(np.float64) for pair in cells)
    c = len(hits) // 2
    lowest, highest = _Betas(hits, images - hits + 1), _Betas(hits + 1, images - hits)
    one, other = np.arange(c), np.arange(c, 2 * c)
    pairs = np.concatenate([np.stack([one, other], axis=1), np.stack([other, one], axis=1)])
    chance = _chance(lowest, highest, pairs, np.subtract, np.add)
    p = chance(np.full(2 * c, -margin)).reshape(2, c).max(axis=0)
    return np.where(images.reshape(2, c).min(axis=0) > 0, p, np.nan)


class _Betas(NamedTuple):
    """Distributions of c shares: of 0 where `a` is 0, of 1 where `b` is 0, otherwise beta."""

    a: Float64s
    b: Float64s

    def of(self, index: npt.NDArray[np.intp]) -> _Betas:
        return _Betas(self.a[index], self.b[index])

    def quantiles(self, below: Float64s, above: Float64s) -> Float64s:
        """Returns (c, q) quantiles, given by the (q,) probabilities below and above each."""
        a, b = self.a[:, np.newaxis], self.b[:, np.newaxis]
        sure = (a == 0) | (b == 0)
        one, two = np.where(sure, 1.0, a), np.where(sure, 1.0, b)
        left, right = special.betaincinv(one, two, below), special.betainccinv(one, two, above)
        inside = np.where(below < above, left, right)
        return np.where(a == 0, 0.0, np.where(b == 0, 1.0, inside))

    def variances(self) -> Float64s:
        total = self.a + self.b
        return np.asarray(self.a * self.b / (total**2 * (total + 1)))


@dataclass(frozen=True)
class ExactShares:
    """Shares of g groups, of each of which some images may be missing.

    Attributes:
        count: (g,) hits among the images that are there.
        n: (g,) those images.
        missing: (g,) images that are not, each of which may be a hit or not.
        may_hit: (g,) further images, each of which is a hit if it counts.
        may_miss: (g,) further images, none of which is a hit if it counts.
    """

    count: Float64s
    n: Float64s
    missing: Float64s
    may_hit: Float64s = field(default_factory=lambda: np.zeros(1))
    may_miss: Float64s = field(default_factory=lambda: np.zeros(1))

    @property
    def values(self) -> Float64s:
        """(g,) the share of the images that are there."""
        return share(self.count, self.n)

    @property
    def extremes(self) -> Interval:
        """(g,) the share of all images if none of the missing were hits, and if all were."""
        hits, misses = self._more
        low = share(self.count, self.n + misses)
        return Interval(low, share(self.count + hits, self.n + hits))

    def interval(self, level: float) -> Interval:
        """Returns (g,) intervals of Clopper and Pearson, over whatever the missing may be."""
        hits, misses = self._more
        low = exact(self.count, self.n + misses, level).low
        return Interval(low, exact(self.count + hits, self.n + hits, level).high)

    def complement(self) -> ExactShares:
        """Returns the shares of the images without a hit."""
        misses = self.n - self.count
        return ExactShares(misses, self.n, self.missing, self.may_miss, self.may_hit)

    @property
    def _more(self) -> tuple[Float64s, Float64s]:
        """(g,) how many hits there may be besides those that are there, and (g,) others."""
        return self.missing + self.may_hit, self.missing + self.may_miss

    @cached_property
    def pairs(self) -> npt.NDArray[np.intp]:
        """(pairs, 2) the ordered pairs of groups, g (g - 1) of them."""
        return np.array(list(permutations(range(len(self.n)), 2)), np.intp).reshape(-1, 2)

    def differences(self, level: float) -> Interval:
        """Returns (pairs,) intervals of how much higher the first share is."""
        low = self._pair_bounds(level, np.subtract, np.add)
        return Interval(low, -low[self._reversed])

    def ratios(self, level: float) -> Interval:
        """Returns (pairs,) intervals of the first share as a multiple of the second.

        Without a hit in the second there is no upper bound (infinity).
        """
        low = self._pair_bounds(level, np.divide, np.multiply)
        with np.errstate(divide="ignore"):
            return Interval(low, 1 / low[self._reversed])

    @cached_property
    def _reversed(self) -> npt.NDArray[np.intp]:
        """(pairs,) where each pair stands in the other order."""
        g = len(self.n)
        place: npt.NDArray[np.intp] = np.zeros((g, g), np.intp)
        first, second = self.pairs.T
        place[first, second] = np.arange(len(self.pairs))
        return np.asarray(place[second, first])

    def _pair_bounds(self, level: float, apart: _Operation, along: _Operation) -> Float64s:
        """Returns (pairs,) lower bounds of what lies between two shares.

        Args:
            level: of the two-sided interval, a half or more.
            apart: what lies between two shares: their difference or ratio.
            along: the share that lies so far from another.
        """
        first, second = self.pairs.T
        hits, misses = self._more
        lowest = _Betas(self.count, self.n + misses - self.count + 1)
        highest = _Betas(self.count + hits + 1, self.n - self.count)
        error = (1 - level) / 2
        chance = _chance(lowest, highest, self.pairs, apart, along)

        def between(below: float) -> Float64s:
            ends = np.array([below]), np.array([1 - below])
            low = lowest.quantiles(*ends)[first, 0]
            return apart(low, highest.quantiles(*ends[::-1])[second, 0])

        # Both beyond their bounds at half the error have at most `error`; both beyond their
        # medians have a quarter.
        low, high = between(error / 2), between(0.5)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            within = chance(middle) <= error
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        return low


def _chance(
    lowest: _Betas,
    highest: _Betas,
    pairs: npt.NDArray[np.intp],
    apart: _Operation,
    along: _Operation,
) -> Callable[[Float64s], Float64s]:
    """Returns the function that gives the chance that a pair lies at most so far apart.

    It sums one distribution over the quantiles of the other: of the narrower, which the wider is
    smooth beside.
    """
    first, second = pairs.T
    one, other = lowest.of(first), highest.of(second)
    narrow = (one.variances() < other.variances())[:, np.newaxis]
    quantiles = np.where(
        narrow, lowest.quantiles(_BELOW, _ABOVE)[first], highest.quantiles(_BELOW, _ABOVE)[second]
    )
    a, b = (np.where(narrow[:, 0], two, one) for one, two in zip(one, other, strict=True))
    # A sure share is the narrower, except beside another sure one, where the bounds coincide.
    a, b = np.maximum(a, 1.0)[:, np.newaxis], np.maximum(b, 1.0)[:, np.newaxis]

    def chance(at: Float64s) -> Float64s:
        far = at[:, np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(narrow, apart(quantiles, far), along(quantiles, far))
        below = special.betainc(a, b, np.clip(np.nan_to_num(reach, nan=0.0), 0.0, 1.0))
        return np.asarray(np.where(narrow, 1 - below, below) @ _WEIGHTS)

    return chance
