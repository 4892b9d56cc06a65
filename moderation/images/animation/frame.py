"""One frame of an animation, as it lies in the file."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: (height, width, 4): red, green, blue and opacity.
Rgba = npt.NDArray[np.uint8]


class Disposal(Enum):
    """What becomes of a frame's part of the canvas before the next frame is drawn."""

    KEEP = "keep"
    CLEAR = "clear"
    RESTORE = "restore"


class Decoded(NamedTuple):
    """The pixels of a frame, and for how many milliseconds it is shown."""

    pixels: Rgba
    milliseconds: int


class Frame(NamedTuple):
    """Where a frame is drawn and how; `decode` gives its pixels, in the order of the frames.

    `blends`: its transparent pixels show what was there before; otherwise they replace it.
    """

    left: int
    top: int
    width: int
    height: int
    disposal: Disposal
    blends: bool
    decode: Callable[[], Decoded]


def refuse_outside(frame: Frame, size: tuple[int, int]) -> None:
    """Raises ValueError where a frame is empty or reaches beyond a canvas of that size."""
    width, height = size
    is_inside = frame.left + frame.width <= width and frame.top + frame.height <= height
    if not (frame.width and frame.height and is_inside):
        raise ValueError("a frame is empty or outside the canvas")
