"""A GIF -> its frames, each as it lies in the file.

Where GIF89a leaves a choice, what Chromium does is done: of two control blocks the later counts,
disposal 4 is 3, and colours that no table has are black.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from moderation.images.animation.frame import Decoded, Disposal, Frame, refuse_outside

_SCREEN = struct.Struct("<6sHHBBB")
_PLACE = struct.Struct("<HHHHB")
_CONTROL = struct.Struct("<BHB")

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_IS_CONTROL = 0xF9
_HAS_TABLE, _IS_INTERLACED = 0x80, 0x40

_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE, 4: Disposal.RESTORE}

#: Grey i is colour i, so Pillow gives the indexes themselves.
_INDEXES = bytes(index for index in range(256) for _ in range(3))

#: The first byte of a frame's data: bits of its codes, fewer than of a colour's number.
_CODE_SIZES = frozenset(bytes((bits,)) for bits in range(1, 9))

_CUT_OFF = "file is truncated"


class _Control(NamedTuple):
    """What a control block says about the frame after it."""

    disposal: Disposal = Disposal.KEEP
    milliseconds: int = 0
    transparent: int | None = None


def gif_frames(content: bytes) -> Iterator[Frame]:
    """Yields the frames of a GIF; a file that ends after a whole frame needs no trailer.

    Raises:
        ValueError: it is damaged, or a frame is empty or outside the canvas.
    """
    _, width, height, flags, _, _ = _SCREEN.unpack_from(content)
    table, at = _table(content, _SCREEN.size, flags)
    control, found = _Control(), 0
    while at < len(content) and content[at] != _TRAILER:
        if content[at] == _EXTENSION:
            start, at = at + 2, _after_blocks(content, at + 2)
            if content[start - 1] == _IS_CONTROL:
                control = _control(content[start:at])
        elif content[at] == _IMAGE:
            frame, at = _frame(content, at + 1, table, control)
            refuse_outside(frame, (width, height))
            yield frame
            control, found = _Control(), found + 1
        else:
            raise ValueError("a block of an unknown kind")
    if not found:
        raise ValueError("a GIF without a frame")


def _table(content: bytes, at: int, flags: int) -> tuple[bytes, int]:
    """Returns the colours of a table, if the flags say that there is one, and where it ends."""
    end = at + (3 << (flags & 7) + 1 if flags & _HAS_TABLE else 0)
    if end > len(content):
        raise ValueError(_CUT_OFF)
    return content[at:end], end


def _after_blocks(content: bytes, at: int) -> int:
    """Returns where the blocks of data that begin there end, with the empty one after them."""
    while at < len(content):
        length = content[at]
        at += 1 + length
        if not length:
            return at
    raise ValueError(_CUT_OFF)


def _control(blocks: bytes) -> _Control:
    if blocks[0] != _CONTROL.size:
        raise ValueError("a control block of another size")
    flags, hundredths, transparent = _CONTROL.unpack_from(blocks, 1)
    disposal = _DISPOSALS.get(flags >> 2 & 7, Disposal.KEEP)
    return _Control(disposal, 10 * hundredths, transparent if flags & 1 else None)


def _frame(content: bytes, at: int, table: bytes, control: _Control) -> tuple[Frame, int]:
    """Returns the frame whose place stands there, and where its data end."""
    if at + _PLACE.size > len(content):
        raise ValueError(_CUT_OFF)
    left, top, width, height, flags = _PLACE.unpack_from(content, at)
    own, at = _table(content, at + _PLACE.size, flags)
    if content[at : at + 1] not in _CODE_SIZES:  # browsers pass over such a frame
        raise ValueError("codes of a size that no GIF has")
    end = _after_blocks(content, at + 1)
    alone = b"".join(
        (
            _SCREEN.pack(b"GIF87a", width, height, 0xF7, 0, 0) + _INDEXES,
            b"," + _PLACE.pack(0, 0, width, height, flags & _IS_INTERLACED),
            content[at:end],
            b";",
        )
    )
    decode = partial(_decoded, alone, own or table, control)
    return Frame(left, top, width, height, control.disposal, True, decode), end


def _decoded(alone: bytes, table: bytes, control: _Control) -> Decoded:
    """Returns the pixels of a GIF of one frame, whose colours are indexes into the table."""
    colours = np.zeros((256, 4), np.uint8)
    colours[: len(table) // 3, :3] = np.frombuffer(table, np.uint8).reshape(-1, 3)
    colours[:, 3] = 255
    if control.transparent is not None:
        colours[control.transparent] = 0
    with Image.open(io.BytesIO(alone), formats=["GIF"]) as image:
        image.load()
        return Decoded(colours[np.asarray(image)], control.milliseconds)
