"""An animated PNG -> its frames, each as it lies in the file, by the third edition of PNG.

A picture that is not part of its own animation is not among them: no viewer shows it. What browsers
read in different ways is damage: an animation that is announced twice, or announces another number
of frames than it has.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from moderation.images.animation.frame import Decoded, Disposal, Frame, Rgba, refuse_outside
from moderation.images.png_chunks import HEAD, START, png_chunks, png_without_notes
from moderation.images.png_pixels import PNG_HEADER, refuse_missing_rows, spread_colour_key

_NUMBER = struct.Struct(">I")
_CONTROL = struct.Struct(">IIIIIHHBB")
_ANNOUNCED = struct.Struct(">II")

#: The kinds that make the frames.
_ANIMATION = (b"acTL", b"fcTL", b"fdAT", b"IDAT")
#: What a frame's pixels need; colour profiles are the whole file's.
_SHARED = (b"PLTE", b"tRNS")
_DISPOSALS = (Disposal.KEEP, Disposal.CLEAR, Disposal.RESTORE)


class _Chunk(NamedTuple):
    kind: bytes
    data: memoryview
    #: Another chunk of its kind comes right before it.
    goes_on: bool


def apng_frames(content: bytes) -> list[Frame] | None:
    """Returns the frames of an animated PNG; None for a PNG that does not say it is animated.

    Args:
        content: begins as a PNG.

    Raises:
        ValueError: the animation is damaged.
    """
    if b"acTL" not in content:
        return None
    chunks = list(_chunks(png_without_notes(content)))
    kinds = [chunk.kind for chunk in chunks]
    if b"acTL" not in kinds:
        return None
    if kinds.count(b"acTL") > 1 or b"IDAT" in kinds[: kinds.index(b"acTL")]:
        raise ValueError("an animation is announced twice or too late")
    announced, _ = _ANNOUNCED.unpack(chunks[kinds.index(b"acTL")].data)
    frames = list(_frames(chunks))
    if not announced == len(frames) > 0:
        raise ValueError("an animation of another number of frames than announced")
    return frames


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Yields the chunks that make the pictures; those of the animation have right checksums."""
    view, before = memoryview(content), b""
    for chunk in png_chunks(content):
        kind = chunk.kind
        if kind == b"IEND":
            return
        if kind in _ANIMATION or kind in _SHARED or kind == b"IHDR":
            if not chunk.is_whole(content):
                raise ValueError("a wrong checksum")
            yield _Chunk(kind, view[chunk.start : chunk.end], kind == before)
        before = kind
    raise ValueError("file is truncated")


def _frames(chunks: list[_Chunk]) -> Iterator[Frame]:
    """Yields the frames, each with its whole data."""
    shared = [(chunk.kind, bytes(chunk.data)) for chunk in chunks if chunk.kind in _SHARED]
    header = PNG_HEADER.unpack(next(chunk.data for chunk in chunks if chunk.kind == b"IHDR"))
    control: memoryview | None = None
    pieces: list[memoryview] = []
    number = 0
    for kind, data, goes_on in chunks:
        if kind in (b"fcTL", b"fdAT"):
            if _NUMBER.unpack_from(data)[0] != number:
                raise ValueError("a gap in the sequence")
            number += 1
        if kind == b"fcTL":
            if control is not None:
                yield _frame(control, pieces, header, shared)
            control, pieces = data, []
        elif kind in (b"fdAT", b"IDAT") and (control is not None or kind == b"fdAT"):
            if control is None or (pieces and not goes_on):
                raise ValueError("data that belong to no frame")
            if kind == b"IDAT" and _box(control) != (0, 0, *header[:2]):
                raise ValueError("the first frame is not the whole picture")
            pieces.append(data if kind == b"IDAT" else data[_NUMBER.size :])
    if control is not None:
        yield _frame(control, pieces, header, shared)


def _box(control: memoryview) -> tuple[int, int, int, int]:
    """Returns the left, top, width and height in the data of an fcTL chunk."""
    _, width, height, left, top, *_ = _CONTROL.unpack(control)
    return left, top, width, height


def _frame(
    control: memoryview,
    pieces: list[memoryview],
    header: tuple[int, ...],
    shared: list[tuple[bytes, bytes]],
) -> Frame:
    *_, delay, parts, dispose, blend = _CONTROL.unpack(control)
    left, top, width, height = _box(control)
    if not pieces or dispose >= len(_DISPOSALS) or blend > 1:
        raise ValueError("a frame without data, or with an unknown way to draw it")
    milliseconds = 1000 * delay // (parts or 100)
    decode = partial(_decoded, (width, height, *header[2:]), pieces, shared, milliseconds)
    frame = Frame(left, top, width, height, _DISPOSALS[dispose], blend == 1, decode)
    refuse_outside(frame, (header[0], header[1]))
    return frame


def _decoded(
    header: tuple[int, ...],
    pieces: list[memoryview],
    shared: list[tuple[bytes, bytes]],
    milliseconds: int,
) -> Decoded:
    """Returns the pixels of a frame, decoded as a PNG of its own."""
    data = b"".join(pieces)
    refuse_missing_rows([data], header)
    chunks = [(b"IHDR", PNG_HEADER.pack(*header)), *shared, (b"IDAT", data), (b"IEND", b"")]
    alone = START + b"".join(
        HEAD.pack(len(data), kind) + data + _NUMBER.pack(zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )
    with Image.open(io.BytesIO(alone), formats=["PNG"]) as image:
        image.load()
        return Decoded(_rgba(image, header[2]), milliseconds)


def _rgba(image: Image.Image, depth: int) -> Rgba:
    """Returns the pixels in 8 bits, transparent where they have the transparent colour."""
    spread_colour_key(image, depth)
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        clear = image.info.get("transparency")
        values = np.asarray(image).astype(np.uint16)
        grey = values >> 8 if depth == 16 else values * 255 if image.mode == "1" else values
        compared = values if depth == 16 else grey
        opaque = compared != clear if isinstance(clear, int) else np.ones(values.shape, bool)
        return np.dstack([grey, grey, grey, 255 * opaque]).astype(np.uint8)
    return np.array(image.convert("RGBA"))
