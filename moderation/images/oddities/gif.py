"""Oddities of a GIF."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from moderation.images.oddities.names import Oddity
from moderation.images.oddities.tail import is_ordinary_tail
from moderation.images.orientation import xmp_orientations

_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B
#: How an extension goes on that holds XMP, which ends in bytes that lead any reader of blocks out.
_XMP, _LONGEST_XMP = b"\x0bXMP DataXMP", 1_000_000
#: Blocks of 255 bytes that are passed over: 50 MB of them.
_MOST_BLOCKS = 200_000


def gif_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about a GIF, in any order and possibly more than once."""
    if len(content) < 13:
        return
    width, height = struct.unpack_from("<HH", content, 6)
    at, left = 13 + _table_length(content[10]), _MOST_BLOCKS
    while at < len(content) and left > 0:
        kind = content[at]
        if kind == _END:
            if not is_ordinary_tail(content[at + 1 :]):
                yield "trailing-data"
            return
        if kind == _EXTENSION:
            if content.startswith(_XMP, at + 2) and _turns(content[at : at + _LONGEST_XMP]):
                yield "unread-orientation"
            at += 2
        elif kind == _FRAME and at + 10 <= len(content):
            x, y, across, down = struct.unpack_from("<HHHH", content, at + 1)
            if x + across > width or y + down > height:
                yield "sizes-disagree"
            at += 11 + _table_length(content[at + 9])
        else:  # neither: decoders stop here, and others search on
            yield "damaged-chunk"
            return
        while at < len(content) and content[at] and left > 0:
            at, left = at + 1 + content[at], left - 1
        at, left = at + 1, left - 1


def _turns(xmp: bytes) -> bool:
    return bool(xmp_orientations(xmp) - {1})


def _table_length(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
