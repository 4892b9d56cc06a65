"""Changes that chance makes: for each image a coin decides which of two label sets is the first.

Images that are alike turn together: w of them by one binomial number of w.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit.statistics.random_tables import Codes, Counts, Partition

Floats = npt.NDArray[np.floating]
Float = type[np.float32] | type[np.float64]

#: About so many numbers are held at once; draws are made in as many turns as that needs.
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class RandomSwaps:
    """Sets of images that are alike, which are swapped.

    Attributes:
        sizes: (c,) how many images each set has.
        turns: (c, m) whether they enter, 1, or leave, -1, what each of m things counts.
        kinds: (c,) of which kind, such as the groups that an image is in, each set is; in order.
        partitions: groups of the kinds.
    """

    sizes: Counts
    turns: npt.NDArray[np.int8]
    kinds: Codes
    partitions: Sequence[Partition]

    def drawn(self, draws: int, seed: int) -> Iterator[list[Floats]]:
        """Yields (some draws, g, m) how many more enter than leave, until all are drawn."""
        generator = np.random.default_rng(seed)
        # Sums of float32 are exact up to 2**24.
        kind: Float = np.float32 if self.sizes.sum() < 2**24 else np.float64
        turns: Floats = np.asarray(self.turns, kind)
        sets, m = self.turns.shape
        kinds, groups = len(np.unique(self.kinds)), sum(part.groups for part in self.partitions)
        is_few = 0 < kinds * groups <= sets * len(self.partitions)  # then they are summed only once
        at_once = max(1, _AT_ONCE // (sets + m * (groups + kinds * is_few) + 1))
        for start in range(0, draws, at_once):
            stayed = self._stayed(generator, min(at_once, draws - start), kind)
            if is_few:
                of_kinds = _summed(stayed, turns, Partition(self.kinds, kinds))
                yield [part.sums(of_kinds) for part in self.partitions]
            else:
                sets_in = (Partition(p.codes[self.kinds], p.groups) for p in self.partitions)
                yield [_summed(stayed, turns, part) for part in sets_in]

    def _stayed(self, generator: np.random.Generator, draws: int, kind: Float) -> Floats:
        """Returns (draws, c) how many more images of each set stay as they are than turn round."""
        stay: Floats = np.empty((draws, len(self.sizes)), kind)
        single = self.sizes == 1
        stay[:, single] = generator.integers(0, 2, (draws, int(single.sum())), np.int8)
        several = self.sizes[~single]
        stay[:, ~single] = generator.binomial(several, 0.5, (draws, len(several)))
        return np.asarray(2 * stay - self.sizes.astype(kind))


def _summed(stayed: Floats, turns: Floats, part: Partition) -> Floats:
    """Returns (draws, g, m) sums over the sets of each group."""
    order = np.argsort(part.codes, kind="stable")
    ends = np.cumsum(np.bincount(part.codes, minlength=part.groups))[:-1]
    found = np.empty((len(stayed), part.groups, turns.shape[1]), turns.dtype)
    for group, own in enumerate(np.split(order, ends)):
        found[:, group] = stayed[:, own] @ turns[own]
    return found
