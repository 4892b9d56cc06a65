"""The canvas that the frames of an animation are drawn on, one after the other."""

from __future__ import annotations

import numpy as np
from PIL import Image

from moderation.images.animation.frame import Disposal, Frame, Rgba

#: (first row, row after the last one).
Rows = tuple[int, int]


class Canvas:
    """Shows what a viewer shows at each frame; transparent at first."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self.pixels: Rgba = np.zeros((height, width, 4), np.uint8)
        self._before: Frame | None = None
        self._saved: Rgba | None = None

    def rows(self, frame: Frame) -> Rows:
        """Returns the rows that drawing this frame next can change."""
        drawn = [frame]
        if self._before is None:
            return 0, len(self.pixels)
        if self._before.disposal is not Disposal.KEEP:
            drawn.append(self._before)
        return min(one.top for one in drawn), max(one.top + one.height for one in drawn)

    def draw(self, frame: Frame) -> int:
        """Draws the frame over those before it; returns for how many milliseconds it is shown."""
        if self._before is not None:
            self._dispose(self._before)
        pixels, milliseconds = frame.decode()
        part = self._part(frame)
        if pixels.shape != part.shape:
            raise ValueError("a frame of another size than it says")
        self._saved = part.copy() if frame.disposal is Disposal.RESTORE else None
        if frame.blends:
            _blend(part, pixels)
        else:
            part[:] = pixels
        self._before = frame
        return milliseconds

    def _dispose(self, frame: Frame) -> None:
        if frame.disposal is Disposal.CLEAR:
            self._part(frame)[:] = 0
        elif self._saved is not None:
            self._part(frame)[:] = self._saved
        self._saved = None

    def _part(self, frame: Frame) -> Rgba:
        right, bottom = frame.left + frame.width, frame.top + frame.height
        return self.pixels[frame.top : bottom, frame.left : right]


def _blend(below: Rgba, above: Rgba) -> None:
    """Draws pixels over those of the same place."""
    opacity = above[..., 3]
    is_opaque, is_clear = opacity == 255, opacity == 0
    if is_opaque.all():
        below[:] = above
    elif (is_opaque | is_clear).all():
        np.copyto(below, above, where=is_opaque[..., np.newaxis])
    else:
        images = (Image.fromarray(np.ascontiguousarray(pixels)) for pixels in (below, above))
        below[:] = np.asarray(Image.alpha_composite(*images))
