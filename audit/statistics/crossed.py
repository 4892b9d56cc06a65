"""How far two groups lie apart over wordings and over images, where every image has every wording.

Images and wordings are crossed random effects. Sums of squares give their variances in closed form,
without draws. docs/audit-method.md gives each formula with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import stats

from audit.statistics.intervals import LEVEL, Float64s, Interval, share

#: With fewer wordings nothing is said of how far they spread.
FEWEST_WORDINGS = 3

#: Where the standard error of the flag rate over wordings is a larger part of it, a few of many
#: wordings may make most flags, and the tried ones need not have such a one among them.
MOST_UNEVEN = 0.25


@dataclass(frozen=True)
class CrossedCounts:
    """The flags of groups of images under the same w wordings, summed.

    Attributes:
        n: (...) images of each group.
        counts: (..., w) those that are flagged under each wording.
        squares: (...) sum over the images of the square of how many wordings flag it.
    """

    n: Float64s
    counts: Float64s
    squares: Float64s

    @classmethod
    def of(cls, flags: npt.NDArray[np.bool_], codes: npt.NDArray[np.intp], groups: int) -> Self:
        """Returns the sums of (n, w) flags of images by (n,) codes of so many groups."""
        counts = [np.bincount(codes[column], minlength=groups) for column in flags.T]
        squares = np.bincount(codes, flags.sum(axis=1) ** 2, groups).astype(np.float64)
        sizes = np.bincount(codes, minlength=groups)
        return cls(sizes.astype(np.float64), np.stack(counts, axis=1).astype(np.float64), squares)

    def __getitem__(self, groups: npt.NDArray[np.intp]) -> Self:
        return type(self)(self.n[groups], self.counts[groups], self.squares[groups])

    @property
    def w(self) -> int:
        """How many wordings there are."""
        return int(self.counts.shape[-1])

    @property
    def rates(self) -> Float64s:
        """(..., w) the share flagged under each wording."""
        return share(self.counts, self.n[..., np.newaxis])

    def others(self) -> Self:
        """Returns for each of (g,) groups the sums of all other groups."""
        whole = (self.n, self.counts, self.squares)
        return type(self)(*(sums.sum(axis=0) - sums for sums in whole))

    def with_two_more(self) -> Self:
        """Returns the sums with an image that every wording flags, and one that none does.

        So no spread is 0: n images cannot prove that none ever would be flagged.
        """
        return type(self)(self.n + 2, self.counts + 1, self.squares + self.w**2)

    def spread(self) -> tuple[Float64s, Float64s]:
        """Returns the variance over images of the mean rate, and the part of it that is crossed.

        Crossed: of images that some wordings flag and others do not.
        """
        n, w = self.n, self.w
        total = self.counts.sum(axis=-1)
        mean = total**2 / (n * w)
        images = self.squares / w - mean
        wordings = (self.counts**2).sum(axis=-1) / n - mean
        crossed = np.maximum(total - mean - images - wordings, 0.0)
        return images / (w * n * (n - 1)), share(crossed, w * (w - 1) * n * (n - 1))


class CrossedGaps(NamedTuple):
    """Mean gaps over wordings: how much higher one rate is than another.

    Attributes:
        mean: over the wordings.
        lowest, highest: under a single wording.
        over_both: the interval of the mean over wordings like these and images like these.
        over_images: that for exactly these wordings.
        of_wordings: share of the variance of the mean that is the wordings'.
        uneven: whether the rates move too far with wording for an interval over wordings.
    """

    mean: Float64s
    lowest: Float64s
    highest: Float64s
    over_both: Interval
    over_images: Interval
    of_wordings: Float64s
    uneven: npt.NDArray[np.bool_]


def crossed_gaps(one: CrossedCounts, other: CrossedCounts, level: float = LEVEL) -> CrossedGaps:
    """Returns how much higher the rates of `one` are than those of `other`, over all wordings.

    What is said of wordings is undefined with fewer than FEWEST_WORDINGS, and the interval over
    them also where they are uneven.

    Source: Howe 1974, JASA 69:789, of a sum of two means; Johnson 1978, JASA 73:536, of skewness;
    Agresti and Caffo 2000, American Statistician 54:280, of two images more.
    """
    gaps = one.rates - other.rates
    parts = _CrossedParts(one.with_two_more(), other.with_two_more())
    few = one.w < FEWEST_WORDINGS
    unsaid = parts.uneven | few
    over_both = Interval(*(np.where(unsaid, np.nan, end) for end in parts.over_both(level)))
    return CrossedGaps(
        gaps.mean(axis=-1),
        gaps.min(axis=-1),
        gaps.max(axis=-1),
        over_both,
        parts.over_images(level),
        np.where(few, np.nan, parts.of_wordings),
        parts.uneven,
    )


@dataclass(frozen=True)
class _CrossedParts:
    """Two groups under w wordings, and what the variance of their mean gap is made of."""

    one: CrossedCounts
    other: CrossedCounts

    @property
    def w(self) -> int:
        return self.one.w

    @cached_property
    def gaps(self) -> Float64s:
        return self.one.rates - self.other.rates

    @cached_property
    def wordings(self) -> Float64s:
        """Of wordings; the crossed part is in it too."""
        return np.asarray(self.gaps.var(axis=-1, ddof=1) / self.w)

    @cached_property
    def images(self) -> Float64s:
        """Of images; the crossed part is in it too."""
        return self.one.spread()[0] + self.other.spread()[0]

    @cached_property
    def crossed(self) -> Float64s:
        return self.one.spread()[1] + self.other.spread()[1]

    @property
    def of_wordings(self) -> Float64s:
        own = np.maximum(self.wordings - self.crossed, 0.0)
        return own / (own + self.images)

    @property
    def uneven(self) -> npt.NDArray[np.bool_]:
        rates = (self.one.rates + self.other.rates) / 2
        error = rates.std(axis=-1, ddof=1) / np.sqrt(self.w)
        return np.asarray(error > MOST_UNEVEN * rates.mean(axis=-1))

    def over_images(self, level: float) -> Interval:
        return self._around(stats.norm.ppf(0.5 + level / 2) * np.sqrt(self.images))

    def over_both(self, level: float) -> Interval:
        """Returns the interval of Howe, never narrower than over images alone.

        Towards the tail of skewed gaps it reaches as far as Johnson's.
        """
        z, t = stats.norm.ppf(0.5 + level / 2), stats.t.ppf(0.5 + level / 2, self.w - 1)
        alone = np.maximum(self.images - self.crossed, 0.0)
        half = np.sqrt(np.maximum(t**2 * self.wordings + z**2 * alone, z**2 * self.images))
        tail = self._skewness() * np.sqrt(self.wordings / self.w) * (1 + 2 * z**2) / 6
        return self._around(half + np.maximum(-tail, 0.0), half + np.maximum(tail, 0.0))

    def _skewness(self) -> Float64s:
        off = self.gaps - self.gaps.mean(axis=-1, keepdims=True)
        third, second = (off**3).mean(axis=-1), (off**2).mean(axis=-1)
        return np.nan_to_num(share(third, second**1.5))

    def _around(self, below: Float64s, above: Float64s | None = None) -> Interval:
        middle = self.gaps.mean(axis=-1)
        high = middle + (below if above is None else above)
        return Interval(np.maximum(middle - below, -1.0), np.minimum(high, 1.0))
