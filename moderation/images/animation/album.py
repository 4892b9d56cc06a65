"""The different pictures of an animation, known by their hashes and small copies."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from moderation.images.animation.canvas import Rows
from moderation.images.animation.frame import Rgba

#: A small copy has so many rows and columns, or as many as the picture if that is less.
_SIDE = 16

Means = npt.NDArray[np.float32]


class Album:
    """Learns of each frame in order; `firsts` has the first frame of each different picture."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self._width = width
        self._edges = np.linspace(0, height, min(_SIDE, height) + 1).astype(int)
        columns = np.linspace(0, width, min(_SIDE, width) + 1).astype(int)
        self._columns, self._widths = columns[:-1], np.diff(columns)
        self._hashes = [b""] * (len(self._edges) - 1)
        self._means = np.zeros((len(self._hashes), len(self._columns), 4), np.float32)
        self._numbers: dict[bytes, int] = {}
        self._last = 0
        self._copies: list[Means] = []
        self.firsts: list[int] = []
        self._milliseconds: list[int] = []

    def bands(self, rows: Rows) -> range:
        """Returns the bands of the picture that these rows touch."""
        first = int(np.searchsorted(self._edges, rows[0], "right")) - 1
        return range(first, int(np.searchsorted(self._edges, rows[1], "left")))

    def work(self, rows: Rows) -> int:
        """Returns how many pixels are looked at where these rows have changed."""
        bands = self.bands(rows)
        return int(self._edges[bands.stop] - self._edges[bands.start]) * self._width

    def add(self, index: int, pixels: Rgba, changed: Rows, milliseconds: int) -> bool:
        """Learns of a frame; returns whether none before it showed the same picture."""
        for band in self.bands(changed):
            part = pixels[self._edges[band] : self._edges[band + 1]]
            self._hashes[band] = hashlib.blake2b(part.data, digest_size=32).digest()
            sums = np.add.reduceat(part.sum(axis=0, dtype=np.uint32), self._columns, axis=0)
            self._means[band] = sums / (len(part) * self._widths[:, np.newaxis])
        key = b"".join(self._hashes)
        is_new = key not in self._numbers
        self._last = self._numbers.setdefault(key, len(self.firsts))
        if is_new:
            self.firsts.append(index)
            self._copies.append(self._means.copy())
            self._milliseconds.append(0)
        self._milliseconds[self._last] += milliseconds
        return is_new

    def chosen(self, most: int) -> list[int]:
        """Returns the first frames of up to so many pictures, in order.

        Those of the first and the last frame are among them. Each further one is the one that
        differs most from all that were chosen before it; of equal ones, that shown the longest.
        """
        copies = np.stack(self._copies).reshape(len(self.firsts), -1)
        times = np.array(self._milliseconds)
        picked = list(dict.fromkeys([0, self._last]))[:most]
        nearest = np.min([_distances(copies, number) for number in picked], axis=0)
        nearest[picked] = -1
        while len(picked) < min(most, len(copies)):
            order = np.lexsort((-np.arange(len(copies)), times, nearest))
            number = int(order[-1])
            nearest = np.minimum(nearest, _distances(copies, number))
            nearest[number] = -1
            picked.append(number)
        return sorted(self.firsts[number] for number in picked)


def _distances(copies: Means, number: int) -> Means:
    """Returns how much each small copy differs from one of them."""
    change: Means = copies - copies[number]
    squared: Means = np.einsum("ij,ij->i", change, change)
    return squared
