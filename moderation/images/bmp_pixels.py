"""BMP files that Pillow reads otherwise than browsers do.

Imports the standard library alone.
"""

from __future__ import annotations

import struct

from moderation.errors import ImageError

_OLD_HEADER = 12
#: From the start of a file: bits of a pixel, compression, number of colours in the palette.
_FIELDS = struct.Struct("<28xHI12xI")
#: Bits of a pixel in the oldest header.
_OLD_FIELDS = struct.Struct("<24xH")
_MASKED, _MASK_OF_ALPHA = 3, struct.Struct("<66xI")


def refuse_misread_bmp(content: bytes, mode: str) -> None:
    """Refuses a BMP whose pixels Pillow takes for others.

    It takes numbers of colours for brightness where the palette is a ramp of greys, however short,
    and passes over the opacity of pixels of 16 bits.

    Args:
        content: the file.
        mode: Pillow's mode of it.

    Raises:
        ImageError: it is such a file.
        struct.error: it ends too early.
    """
    [size] = struct.unpack_from("<I", content, 14)
    if size == _OLD_HEADER:
        bits, compression, colours = _OLD_FIELDS.unpack_from(content)[0], 0, 0
    else:
        bits, compression, colours = _FIELDS.unpack_from(content)
    is_short = mode in ("1", "L") and colours not in (0, 1 << bits)
    has_alpha = (
        bits == 16
        and compression == _MASKED
        and size >= 56
        and _MASK_OF_ALPHA.unpack_from(content)[0] > 0
    )
    if is_short or has_alpha:
        what = "the BMP has a short palette of greys, or opacity in 16 bits"
        raise ImageError(what, "image", "Save it again as PNG")
