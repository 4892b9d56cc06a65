"""A table of colours -> those between its points, linearly in each channel.

Imports only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moderation.images.icc_curves import Floats

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ColourTable:
    """A table, and where in it each 8-bit value of each channel lies.

    Attributes:
        points: (n, 4): the 3 values of each point, and a fourth that fills 16 bytes: numpy takes
            rows of that length fast.
        below: (channels, 256), what a value adds to the number of the nearest point below.
        share: (channels, 256, 4), how far a value is from there to the next point, 4 times over.
        strides: (channels,), how many points further the next one in each channel is.
    """

    points: Floats
    below: npt.NDArray[np.intp]
    share: Floats
    strides: tuple[int, ...]

    @classmethod
    def of(cls, levels: Floats, grid: Floats) -> ColourTable:
        """Returns the table of a profile's levels and grid."""
        steps = grid.shape[:-1]
        points = np.zeros((grid[..., 0].size, 4), np.float32)
        points[:, :3] = grid.reshape(-1, 3)
        strides = tuple(int(np.prod(steps[at + 1 :])) for at in range(len(steps)))
        place = levels.clip(0, 1) * (np.array(steps, np.float32)[:, np.newaxis] - 1)
        below = np.minimum(place.astype(np.intp), np.array(steps)[:, np.newaxis] - 2)
        share = np.repeat((place - below).astype(np.float32)[..., np.newaxis], 4, axis=-1)
        return cls(points, below * np.array(strides)[:, np.newaxis], share, strides)

    def interpolated(self, values: Bytes) -> Floats:
        """Returns (3, n) values for (n, channels)."""
        columns = list(values.T)
        nearest = sum(
            np.take(each, column) for each, column in zip(self.below, columns, strict=True)
        )
        shares = [
            np.take(each, column, 0) for each, column in zip(self.share, columns, strict=True)
        ]
        return np.ascontiguousarray(self._between(np.asarray(nearest), shares, self.strides).T[:3])

    def _between(
        self, nearest: npt.NDArray[np.intp], shares: list[Floats], strides: tuple[int, ...]
    ) -> Floats:
        if not shares:
            return np.take(self.points, nearest, 0)
        low = self._between(nearest, shares[1:], strides[1:])
        high = self._between(nearest + strides[0], shares[1:], strides[1:])
        high -= low
        high *= shares[0]
        low += high
        return low
