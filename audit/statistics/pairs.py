"""Every ordered pair of groups: differences and ratios, with intervals that hold together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import Float64s, Interval, difference, ratio, share, simultaneous


@dataclass(frozen=True)
class Pairs:
    """The ordered pairs of g groups, g (g - 1) of them.

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
    def of(cls, count: Float64s, n: Float64s) -> Pairs:
        """Returns the pairs of groups with (g,) counts of (g,) images."""
        indices = np.array(list(permutations(range(len(n)), 2)), np.intp).reshape(-1, 2)
        one, two = indices.T
        return cls(indices, count[one], n[one], count[two], n[two])

    def joint(self, level: float) -> float:
        """Returns the level of each pair's interval at which all hold together with `level`.

        An interval of two groups is that of the same two the other way round, so half are counted.
        """
        return simultaneous(level, len(self.indices) // 2)

    def differences(self, level: float) -> tuple[Float64s, Interval]:
        """Returns (pairs,) how much higher the first rate is, and each one's interval."""
        apart = share(self.count, self.n) - share(self.other_count, self.other_n)
        return apart, difference(self.count, self.n, self.other_count, self.other_n, level)

    def ratios(self, level: float) -> tuple[Float64s, Interval]:
        """Returns (pairs,) how many times the second rate the first is, and intervals."""
        times = share(share(self.count, self.n), share(self.other_count, self.other_n))
        return times, ratio(self.count, self.n, self.other_count, self.other_n, level)

    def passing(self) -> Pairs:
        """Returns the same pairs with the images that do not count in place of those that do."""
        count, other_count = self.n - self.count, self.other_n - self.other_count
        return Pairs(self.indices, count, self.n, other_count, self.other_n)
