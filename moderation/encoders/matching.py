"""How well an encoder pairs images with their own texts, and what chance would make of it.

Images and texts are equally many, n, and each image has one text of its own. An image is a hit
where no other text is as similar to it as its own; a text, where no other image is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Float32s

#: The most pairs: beyond them the number of ways to pair no longer fits 64 bits.
MOST_PAIRS = 20

_NONE = -1
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matching:
    """Similarities of n images (rows) and n texts (columns); own pairs are on the diagonal."""

    similarities: Float32s

    @cached_property
    def nearest_texts(self) -> list[int]:
        """The text nearest to each image; -1 where it has none of its own, as among equals."""
        return [_place_of_highest(row) for row in self.similarities]

    @cached_property
    def nearest_images(self) -> list[int]:
        """The image nearest to each text; -1 where it has none of its own."""
        return [_place_of_highest(column) for column in self.similarities.T]

    @property
    def image_hits(self) -> int:
        """How many images have their own text nearest."""
        return sum(place == i for i, place in enumerate(self.nearest_texts))

    @property
    def text_hits(self) -> int:
        """How many texts have their own image nearest."""
        return sum(place == i for i, place in enumerate(self.nearest_images))

    @property
    def own(self) -> float:
        """The mean similarity of an image and its own text."""
        return float(np.diagonal(self.similarities).mean(dtype=np.float64))

    @property
    def others(self) -> float:
        """The mean similarity of an image and any other text."""
        n = len(self.similarities)
        return float((self.similarities.sum(dtype=np.float64) - n * self.own) / (n * n - n))

    @cached_property
    def p(self) -> float:
        """The share of all n! ways to pair images with texts that have as many hits, or more.

        It is exact. An encoder that knows nothing has one of these ways by chance, even if one text
        is nearest to all images, as is common of random weights.
        """
        ways = _ways_by_hits(self.nearest_texts, self.nearest_images)
        return float(ways[self.image_hits + self.text_hits :].sum() / ways.sum())


def _place_of_highest(row: Float32s) -> int:
    """Returns where a row is highest; -1 where that is at several places, or it has NaN."""
    highest = np.flatnonzero(row == row.max())
    return int(highest[0]) if len(highest) == 1 else _NONE


def _ways_by_hits(nearest_texts: list[int], nearest_images: list[int]) -> _Int64s:
    """Returns how many of the n! ways to pair have 0, 1, ... 2n hits.

    Images take texts one after the other; what counts of those before is which texts are taken.
    """
    n = len(nearest_texts)
    if n > MOST_PAIRS:
        raise ValueError(f"{n} pairs: their ways to pair are counted up to {MOST_PAIRS}")
    hits = [
        [(nearest_texts[i] == j) + (nearest_images[j] == i) for j in range(n)] for i in range(n)
    ]
    ways = np.zeros((1 << n, 2 * n + 1), np.int64)
    ways[0, 0] = 1
    for taken in range(1 << n):
        image = taken.bit_count()
        for text in (text for text in range(n) if not taken >> text & 1):
            more = hits[image][text]
            ways[taken | 1 << text, more:] += ways[taken, : 2 * n + 1 - more]
    every: _Int64s = ways[-1]
    assert every.sum() == math.factorial(n)
    return every
