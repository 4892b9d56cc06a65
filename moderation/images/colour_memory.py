"""What the colours of a profile are in sRGB, kept, so that each colour is converted once.

A photograph has some hundred thousand colours in millions of pixels, and the next one has most of
them again. Looking one up takes a tenth of the time of computing it.

Imports only Pillow and numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from moderation.images.colour_table import Bytes

#: Pixels that are looked up at a time, about: few enough that they stay in the processor's cache.
_AT_ONCE = 1 << 16

#: The lower three bytes of a pixel of 32 bits are its colour. The upper one marks a known colour.
_COLOUR = np.uint32(0xFFFFFF)

Colours = npt.NDArray[np.uint32]


class ColourMemory:
    """The sRGB values of colours of three bytes. It takes up to 64 MB, as more of them are met."""

    def __init__(self, convert: Callable[[Bytes], Bytes]) -> None:
        """Keeps what `convert` makes of (n, 3) values: (n, 3) values."""
        self._convert = convert
        self._known = np.zeros(1 << 24, "<u4")

    def converted(self, image: Image.Image) -> Image.Image:
        """Returns an RGB image with each pixel as `convert` converts it."""
        done = Image.new("RGB", image.size)
        rows = max(1, _AT_ONCE // image.width)
        for top in range(0, image.height, rows):
            part = image.crop((0, top, image.width, min(image.height, top + rows)))
            colours = np.frombuffer(part.tobytes("raw", "RGBX"), "<u4") & _COLOUR
            done.paste(
                Image.frombytes("RGB", part.size, self._found(colours), "raw", "RGBX"), (0, top)
            )
        return done

    def _found(self, colours: Colours) -> bytes:
        found = self._known.take(colours)
        if not found.all():
            self._learn(colours[found == 0])
            found = self._known.take(colours)
        return found.tobytes()

    def _learn(self, colours: Colours) -> None:
        values = self._convert(colours.view(np.uint8).reshape(-1, 4)[:, :3])
        shown = np.full((len(values), 4), 0xFF, np.uint8)
        shown[:, :3] = values
        self._known[colours] = shown.view("<u4")[:, 0]
