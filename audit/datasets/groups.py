"""Who is in which group: partitions of images, and counts of those that are marked.

A row is an image, or stands for as many images as its weight says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from audit.datasets.coded_values import crossed_codes

#: Stands between the sensitive features, and between the values, of an intersection.
CROSS = " × "

#: The whole dataset, as a sensitive feature with one group.
OVERALL = "overall"

#: (n,) which of n images, or (n, c) the same for each of c things.
Marks = npt.NDArray[np.bool_]

#: (g,) numbers of images of g groups, or (g, c) the same of c things.
Counts = npt.NDArray[np.int64]

#: (n,) how many images each of n rows stands for; None where it is one each.
Weights = npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Groups:
    """A partition of n rows, each an image or several, into g groups.

    Attributes:
        by: the sensitive feature, or several joined by CROSS.
        names: the g groups that have an image, even if each was left out, in natural order.
        codes: (n,) index into `names`.
        left_out: (g,) images of each group that the dataset has and that were left out; () where
            none was.
        unplaced: images that were left out and whose group is not known.
        weights: (n,) how many images each row stands for; None where it is one each.
    """

    by: str
    names: tuple[str, ...]
    codes: npt.NDArray[np.intp]
    left_out: tuple[int, ...] = ()
    unplaced: int = 0
    weights: Weights = None

    def without_empty(self) -> Groups:
        """Returns the groups that have an image which was not left out."""
        kept = np.flatnonzero(self.sizes)
        codes = np.searchsorted(kept, self.codes)
        left_out = tuple(self.left_out[i] for i in kept) if self.left_out else ()
        names = tuple(self.names[i] for i in kept)
        return replace(self, names=names, codes=codes, left_out=left_out)

    @cached_property
    def sizes(self) -> Counts:
        """(g,) how many images each group has."""
        return self.sums(self.codes, len(self.names))

    def count(self, marks: Marks) -> Counts:
        """Returns (g,) or, for (n, c) marks, (g, c) counts of the marked images of each group."""
        if marks.ndim == 1:
            return self._count(marks)
        counts = [self._count(column) for column in marks.T]
        return np.stack(counts, axis=1) if counts else np.zeros((len(self.names), 0), np.int64)

    def images(self, marks: Marks) -> int:
        """Returns how many images are marked, of all groups."""
        return images_of(marks, self.weights)

    def _count(self, marks: Marks) -> Counts:
        return self.sums(self.codes[marks], len(self.names), marks)

    def sums(self, codes: npt.NDArray[np.intp], size: int, marks: Marks | None = None) -> Counts:
        """Returns (size,) how many images have each code, of the rows that are marked, or of all.

        Args:
            codes: of these rows.
            size: a code is below it.
            marks: (n,) which rows these are; None for all.
        """
        if self.weights is None:
            return np.bincount(codes, minlength=size).astype(np.int64)
        weights = self.weights if marks is None else self.weights[marks]
        # Sums of float64 are exact up to 2**53.
        return np.bincount(codes, weights, minlength=size).astype(np.int64)

    def summed(self, coarser: Groups, counts: Counts) -> Counts:
        """Returns the (g, c) counts of a coarser partition, from (groups, c) those of this one."""
        into = np.zeros(len(self.names), np.intp)
        into[self.codes] = coarser.codes
        sums = [np.bincount(into, column, len(coarser.names)) for column in counts.T]
        return np.stack(sums, axis=1).astype(np.int64)

    def refuse_weights(self, what: str) -> None:
        """Refuses rows that stand for several images, where each image has to be one.

        Raises:
            ValueError: there are such rows.
        """
        if self.weights is not None:
            raise ValueError(f"{what} needs single images, and each row stands for several")


def crossed_groups(parts: Sequence[Groups]) -> Groups:
    """Returns the groups that images have in common in all parts, named by numbers alone.

    With many features nearly each image is a group, and to name these takes minutes.
    """
    codes, first = crossed_codes([part.codes for part in parts])
    by, names = CROSS.join(part.by for part in parts), map(str, range(len(first)))
    return Groups(by, tuple(names), codes, weights=parts[0].weights)


def images_of(marks: Marks, weights: Weights) -> int:
    """Returns how many images the marked rows are."""
    return int(marks.sum() if weights is None else weights[marks].sum())


def overall_group(n: int, left_out: int = 0, weights: Weights = None) -> Groups:
    """Returns the partition of n rows, besides the images that were left out, into one group."""
    lost = (left_out,) if left_out else ()
    return Groups(OVERALL, (OVERALL,), np.zeros(n, np.intp), lost, weights=weights)
