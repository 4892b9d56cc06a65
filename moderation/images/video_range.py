"""Values of an AVIF as browsers show them: as of video, whose black is 16 and whose white 235.

Chromium takes for such the opacity of every still AVIF, and the colours of every animated one,
whatever the file says. Other viewers heed the file, and show it with less contrast.

Imports only Pillow.
"""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from moderation.images.avif_data import avif_data
from moderation.images.boxes import stated_codes

#: Where an opened AVIF carries what browsers do to its values.
VIDEO_RANGE = "values that are shown as of video"

_BLACK, _LUMA, _CHROMA = 16, 255 / 219, 255 / 224
#: What red and blue add to luma, by ITU-T H.273's codes of matrices; by any other it is BT.601.
_BT601 = (0.299, 0.114)
_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
_IDENTITY = 0

_OPACITIES = [min(255, max(0, round((value - _BLACK) * _LUMA))) for value in range(256)]


class VideoRange(NamedTuple):
    """Which values of an AVIF are stretched; of colours, by a matrix of `Image.convert`."""

    colours: tuple[float, ...] | None = None
    has_opacity: bool = False


def video_range(content: bytes) -> VideoRange:
    """Returns which values of an AVIF browsers stretch and its decoder does not."""
    data = avif_data(content)
    stated = stated_codes(content)
    is_full = stated[3] if stated else data.colours is not None and data.colours.is_full_range
    matrix = stated[2] if stated else data.colours.codes[2] if data.colours else _IDENTITY
    return VideoRange(
        _stretched(matrix) if data.is_moving and is_full else None,
        not data.is_moving and data.opacity is not None and data.opacity.is_full_range,
    )


def _stretched(code: int) -> tuple[float, ...]:
    red, blue = _WEIGHTS.get(code, _BT601)
    weights = (red, 1 - red - blue, blue)
    chroma = _LUMA if code == _IDENTITY else _CHROMA
    rows = []
    for at in range(3):
        rows += [(_LUMA - chroma) * weight + chroma * (at == i) for i, weight in enumerate(weights)]
        rows.append(-_BLACK * _LUMA)
    return tuple(rows)


def in_video_range(
    colours: Image.Image, alpha: Image.Image | None, shown: VideoRange
) -> tuple[Image.Image, Image.Image | None]:
    """Returns the colours, as RGB, and opacity that browsers show."""
    if shown.colours is not None:
        colours = colours.convert("RGB", shown.colours)
    if shown.has_opacity and alpha is not None:
        alpha = alpha.point(_OPACITIES)
    return colours, alpha
