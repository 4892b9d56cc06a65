"""Oddities of a JPEG."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from moderation.images.oddities.names import Oddity
from moderation.images.oddities.profile import profile_oddities
from moderation.images.oddities.tail import is_ordinary_tail
from moderation.images.orientation import (
    exif_orientation,
    jpeg_exif_blocks,
    stated_densities,
    stated_orientations,
    xmp_orientations,
)

_SOI, _EOI, _SOS, _APP0, _APP1, _APP2, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
#: Where coded pixels end: at a marker that is not a restart.
_NEXT = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_MOST_SEGMENTS = 2000

#: What says how three components are coded: JFIF that they are YCbCr, Adobe's byte 11 that or RGB.
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_PROFILE, _INDEX, _XMP = b"ICC_PROFILE\0", b"MPF\0", b"http://ns.adobe.com/xap/1.0/\0"
#: The tag of an MPF index that lists the pictures, and the length of an entry of its list.
_LIST, _ENTRY = 0xB002, 16
_MOST_LISTED = 100


class JpegPart(NamedTuple):
    """A segment: its marker, and where its data begin and end."""

    marker: int
    start: int
    end: int


def jpeg_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about a JPEG, in any order and possibly more than once."""
    parts, end, is_clean = _parts(content)
    if not is_clean:
        yield "damaged-chunk"
    frames = [each for each in parts if each.marker in _FRAMES]
    if len(frames) > 1:
        yield "sizes-disagree"
    yield from _profile_oddities(content, parts, frames)
    yield from _orientation_oddities(content, parts)
    yield from _tail_oddities(content, parts, end)


def _parts(content: bytes) -> tuple[list[JpegPart], int, bool]:
    """Returns the segments, where the picture ends, and whether all bytes belong to something."""
    parts: list[JpegPart] = []
    at, is_clean = 2, True
    for _ in range(_MOST_SEGMENTS):
        found = _NEXT.search(content, at)
        if found is None:
            return parts, len(content), is_clean
        if not parts or parts[-1].marker != _SOS:  # cameras pad with zeros
            is_clean = is_clean and not content[at : found.start()].strip(b"\0\xff")
        marker, at = content[found.start() + 1], found.end()
        if marker == _EOI:
            return parts, at, is_clean
        if marker in _ALONE:
            continue
        end = at + max(2, int.from_bytes(content[at : at + 2]))
        parts.append(JpegPart(marker, at + 2, end))
        at = end
    return parts, len(content), is_clean


def _profile_oddities(
    content: bytes, parts: list[JpegPart], frames: list[JpegPart]
) -> Iterator[Oddity]:
    pieces = [
        content[each.start + len(_PROFILE) : each.end]
        for each in parts
        if each.marker == _APP2 and content.startswith(_PROFILE, each.start)
    ]
    numbers = [each[0] if each else 0 for each in pieces]
    counts = {each[1] for each in pieces if len(each) > 1}
    if pieces and (counts != {len(pieces)} or sorted(numbers) != list(range(1, len(pieces) + 1))):
        yield "two-profiles"
    channels = content[frames[0].start + 5] if frames and frames[0].end <= len(content) else 0
    codings = {
        content[each.start + 11 : each.start + 12]
        for each in parts
        if content.startswith(_ADOBE, each.start) and each.marker == _APP14
    }
    is_jfif = any(content.startswith(_JFIF, each.start) for each in parts if each.marker == _APP0)
    if channels == 3 and (len(codings) > 1 or (is_jfif and codings - {b"\1"})):
        yield "two-profiles"
    if pieces:
        space = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}.get(channels)
        yield from profile_oddities(pieces[0][2:], space)


def _orientation_oddities(content: bytes, parts: list[JpegPart]) -> Iterator[Oddity]:
    blocks = list(jpeg_exif_blocks(content))
    turn = (exif_orientation(blocks[0]) if blocks else None) or 1
    notes = [
        content[each.start : each.end]
        for each in parts
        if each.marker == _APP1 and content.startswith(_XMP, each.start)
    ]
    if any(each - {turn} for each in map(stated_orientations, blocks)):
        yield "orientation-conflict"
    if any(each - {turn} for each in map(xmp_orientations, notes)):
        yield "unread-orientation"
    if any(_differ(stated_densities(block)) for block in blocks):
        yield "unequal-densities"


def _differ(densities: list[float]) -> bool:
    """Returns whether pixels would be shown a hundredth wider than high, or higher than wide."""
    return bool(densities) and max(densities) > 1.01 * min(densities)


def _tail_oddities(content: bytes, parts: list[JpegPart], end: int) -> Iterator[Oddity]:
    listed = sorted(_listed_pictures(content, parts))
    at = end
    for start, stop in listed:
        if start >= end and not is_ordinary_tail(content[at:start]):
            yield "trailing-data"
        at = max(at, stop)
    rest = content[at:]
    if not is_ordinary_tail(rest):
        yield "trailing-data"
    if any(start >= end for start, _ in listed) or rest.lstrip(b"\0").startswith(b"\xff\xd8\xff"):
        yield "several-pictures"


def _listed_pictures(content: bytes, parts: list[JpegPart]) -> Iterator[tuple[int, int]]:
    """Yields where the pictures that an MPF index lists begin and end, if they are JPEGs."""
    for each in parts:
        if each.marker != _APP2 or not content.startswith(_INDEX, each.start):
            continue
        origin = each.start + len(_INDEX)
        index = content[origin : each.end]
        order = "<" if index.startswith(b"II") else ">"
        try:
            [at] = struct.unpack_from(f"{order}I", index, 4)
            [count] = struct.unpack_from(f"{order}H", index, at)
            for i in range(min(count, 20)):
                tag, _, size, where = struct.unpack_from(f"{order}HHII", index, at + 2 + 12 * i)
                if tag != _LIST:
                    continue
                for j in range(min(size // _ENTRY, _MOST_LISTED)):
                    _, length, start, _ = struct.unpack_from(
                        f"{order}IIII", index, where + j * _ENTRY
                    )
                    start += origin
                    if start > origin and content.startswith(b"\xff\xd8\xff", start):
                        yield start, start + length
        except struct.error:  # an index that ends too early lists what it lists
            return
