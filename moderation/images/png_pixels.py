"""The pixels of a PNG, where Pillow gives others than browsers show or says nothing of damage.

Imports only Pillow.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import cast

from PIL import Image

from moderation.images.png_chunks import png_chunks

#: Width, height, bits of a value, colour type, compression, filter, interlacing.
PNG_HEADER = struct.Struct(">IIBBBBB")
_HEADER_START = 16

#: Values of a pixel, by the colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: (first column, first row, columns apart, rows apart) of the passes of an interlaced picture.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_PIECE = 1 << 20


def png_header(content: bytes) -> tuple[int, ...]:
    """Returns the numbers of `PNG_HEADER` of a PNG that Pillow has opened."""
    return PNG_HEADER.unpack_from(content, _HEADER_START)


def spread_colour_key(image: Image.Image, depth: int) -> None:
    """Gives the transparent grey of an opened PNG of 2 or 4 bits the form that its pixels have.

    Pillow spreads them to 8 bits, and leaves the transparent one as it was.
    """
    clear = image.info.get("transparency")
    if image.mode == "L" and depth < 8 and isinstance(clear, int):
        image.info["transparency"] = clear * 255 // ((1 << depth) - 1)


def refuse_damaged_pixels(image: Image.Image, content: bytes) -> None:
    """Refuses a loaded PNG whose file has fewer rows or colours than its pixels need.

    Raises:
        ValueError: so it is.
    """
    if image.mode == "P":
        refuse_missing_colours(image)
    header = png_header(content)
    last = image.crop((0, image.height - 1, image.width, image.height))
    if not any(last.tobytes()):  # as Pillow leaves rows that are not there
        data = memoryview(content)
        refuse_missing_rows(
            (data[start:end] for kind, start, end in png_chunks(content) if kind == b"IDAT"), header
        )


def refuse_missing_colours(image: Image.Image) -> None:
    """Refuses an image with pixels of colours that its palette does not have.

    Raises:
        ValueError: so it is.
    """
    _, highest = cast("tuple[int, int]", image.getextrema())
    palette = image.palette.palette if image.palette else b""
    if 3 * (highest + 1) > len(palette) or len(palette) % 3:
        raise ValueError("colours that the palette does not have")


def refuse_missing_rows(packed: Iterable[bytes | memoryview], header: tuple[int, ...]) -> None:
    """Refuses data of fewer rows than a picture has, which Pillow would take for black ones.

    Args:
        packed: the data of its chunks.
        header: the numbers of `PNG_HEADER`.

    Raises:
        ValueError, zlib.error: rows are missing.
    """
    width, height, depth, colour, _, _, interlaced = header
    bits = depth * _SAMPLES[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for left, top, across, down in passes:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            missing += rows * (1 + (columns * bits + 7) // 8)
    unpack = zlib.decompressobj()
    for piece in packed:
        data: bytes | memoryview = piece
        while missing > 0 and len(data):
            missing -= len(unpack.decompress(data, min(missing, _PIECE)))
            data = unpack.unconsumed_tail
            if unpack.eof:
                break
    if missing > 0:
        raise ValueError("file is truncated")
