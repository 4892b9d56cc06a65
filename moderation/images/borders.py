"""Where the content of a picture is, within borders of one colour or of blur."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from moderation.images.views import Box

#: Detail is looked for in a copy whose longer side has at most so many pixels.
_SIDE = 160
#: Where a grey value is off by more than this from the middle between its neighbours (of 255,
#: doubled) there is detail. In blur and gradients it is not; at 8, smooth skies count as borders.
_DETAIL = 4
#: Borders matter where the content takes no more than this share of the picture.
_MOST_CONTENT = 0.5
#: A content with a shorter side than this, in pixels, would be shown as little but blur.
_LEAST_SIDE = 16


def content_box(image: Image.Image, box: Box) -> Box | None:
    """Returns the part of a picture that is not border; None where borders take less than half.

    Args:
        image: RGB.
        box: the part of it that is the picture.
    """
    wide, high = box[2] - box[0], box[3] - box[1]
    ratio = min(1.0, _SIDE / max(wide, high))
    size = (round(wide * ratio), round(high * ratio))
    if min(size) < 3:
        return None
    small = image.resize(size, Image.Resampling.BOX, box, reducing_gap=1.0).convert("L")
    found = _detail(np.asarray(small, np.int16))
    rows, columns = (np.flatnonzero(found.any(axis)) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    across, down = wide / size[0], high / size[1]
    left, right = columns[0] * across, (columns[-1] + 1) * across
    top, bottom = rows[0] * down, (rows[-1] + 1) * down
    inner = (right - left, bottom - top)
    if min(inner) < _LEAST_SIDE or inner[0] * inner[1] > _MOST_CONTENT * wide * high:
        return None
    return box[0] + left, box[1] + top, box[0] + right, box[1] + bottom


def _detail(grey: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Returns (h, w) where a grey value is not the middle between its neighbours."""
    found = np.zeros(grey.shape, np.bool_)
    found[1:-1] = np.abs(2 * grey[1:-1] - grey[:-2] - grey[2:]) > _DETAIL
    found[:, 1:-1] |= np.abs(2 * grey[:, 1:-1] - grey[:, :-2] - grey[:, 2:]) > _DETAIL
    return found
