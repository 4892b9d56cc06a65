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
#: Run-length codings, with the pixels in a byte. Each of their codes is two bytes: a number of
#: pixels of one colour, or 0 and what else is to be done.
_RLE = {1: 1, 2: 2}
_END_OF_ROW, _END, _JUMP = 0, 1, 2
#: Where the pixels begin; and the width and height.
_START, _SIZE = struct.Struct("<10xI"), struct.Struct("<18xii")


def refuse_misread_bmp(content: bytes, mode: str) -> None:
    """Refuses a BMP whose pixels Pillow takes for others.

    It takes numbers of colours for brightness where the palette is a ramp of greys, however short,
    and passes over opacity but for pixels of 32 bits whose colours are masked. Pixels that a
    run-length coding leaves out have the first colour, and are black or clear in browsers.

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
    [start] = _START.unpack_from(content)
    palette = 4 * (colours or 1 << bits) if bits <= 8 and size != _OLD_HEADER else 0
    if start < 14 + size + palette:
        what = "the BMP says that its pixels begin before its colours end"
        raise ImageError(what, "image", "Save it again as PNG")
    is_short = mode in ("1", "L") and colours not in (0, 1 << bits)
    # Some programs write a mask for opacity above pixels of 24 bits, which have no room for any.
    has_alpha = bits in (16, 32) and size >= 56 and _MASK_OF_ALPHA.unpack_from(content)[0] > 0
    is_heeded = bits == 32 and compression == _MASKED
    if is_short or (has_alpha and not is_heeded):
        what = "the BMP has a short palette of greys, or opacity where few programs look for it"
        raise ImageError(what, "image", "Save it again as PNG")
    if compression in _RLE and not _has_all_rows(content, _RLE[compression]):
        what = "the BMP leaves out pixels, which programs show in different colours"
        raise ImageError(what, "image", "Save it again as PNG")


def _has_all_rows(content: bytes, pixels_a_byte: int) -> bool:
    """Returns whether each row of a run-length coded BMP has its pixels, no more and no less."""
    width, height = _SIZE.unpack_from(content)
    [at] = _START.unpack_from(content)
    across, rows = 0, 0
    while rows < height and at + 1 < len(content):
        count, value = content[at], content[at + 1]
        at += 2
        if count:
            across += count
        elif value == _END_OF_ROW:
            if across != width:
                return False
            across, rows = 0, rows + 1
        elif value in (_END, _JUMP):
            break
        else:
            across += value
            length = -(-value // pixels_a_byte)
            at += length + length % 2
        if across > width:
            return False
    return rows == height or (rows, across) == (height - 1, width)
