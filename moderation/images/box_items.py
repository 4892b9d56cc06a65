"""The items of an AVIF or HEIC: what they are, where they lie, and what they are to others.

Imports the standard library alone. What it raises on a damaged file is struct.error or IndexError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from moderation.images.boxes import MOST_BOXES, Box, boxes


def items(content: bytes, of: dict[bytes, Box]) -> Iterator[tuple[int, bytes, bool]]:
    """Yields the number of each item, its kind, and whether it is hidden."""
    iinf = of.get(b"iinf")
    if iinf is None:
        return
    entries = iinf.start + (6 if content[iinf.start] == 0 else 8)
    for each in boxes(content, entries, iinf.end):
        version, hidden = content[each.start], content[each.start + 3] & 1
        number, at = (">H", 6) if version < 3 else (">I", 8)
        kind = content[each.start + at + 2 : each.start + at + 6]
        yield struct.unpack_from(number, content, each.start + 4)[0], kind, bool(hidden)


def places(content: bytes, of: dict[bytes, Box]) -> Iterator[tuple[int, int, int]]:
    """Yields the number of each item, and where its first piece begins and how long it is."""
    at = of[b"iloc"].start
    version = content[at]
    of_offset, of_length = content[at + 4] >> 4, content[at + 4] & 15
    of_origin, of_index = content[at + 5] >> 4, content[at + 5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    origin = of[b"idat"].start if b"idat" in of else 0

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(content[at - size : at])

    at += 6
    for _ in range(min(number(wide), MOST_BOXES)):
        item = number(wide)
        is_inside = version > 0 and number(2) & 15 == 1
        number(2)
        begin = number(of_origin) + (origin if is_inside else 0)
        for piece in range(min(number(2), MOST_BOXES)):
            number(of_index)
            offset, length = number(of_offset), number(of_length)
            if piece == 0:
                yield item, begin + offset, length


def references(content: bytes, of: dict[bytes, Box]) -> Iterator[tuple[bytes, int, list[int]]]:
    """Yields what an item is to others, as the name of a kind, its number, and theirs."""
    if b"iref" not in of:
        return
    iref = of[b"iref"]
    number = ">I" if content[iref.start] else ">H"
    size = struct.calcsize(number)
    for each in boxes(content, iref.start + 4, iref.end):
        [origin] = struct.unpack_from(number, content, each.start)
        rest = content[each.start + size + 2 : each.end]
        yield each.kind, origin, [found[0] for found in struct.iter_unpack(number, rest)]
