"""Oddities of a WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from moderation.images.oddities.names import Oddity
from moderation.images.oddities.profile import profile_oddities
from moderation.images.oddities.tail import is_ordinary_tail
from moderation.images.orientation import stated_orientations, xmp_orientations

_MOST_CHUNKS, _LONGEST_XMP = 10_000, 1_000_000


def webp_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about a WebP, in any order and possibly more than once."""
    length = 8 + int.from_bytes(content[4:8], "little")
    if not is_ordinary_tail(content[length + length % 2 :]):
        yield "trailing-data"
    parts = list(_parts(content, min(length, len(content))))
    stills = [part for part in parts if part[0] in (b"VP8 ", b"VP8L")]
    canvas = next((content[start + 4 : end] for kind, start, end in parts if kind == b"VP8X"), None)
    if len(stills) > 1:
        yield "several-pictures"
        yield "trailing-data"
    if stills and any(kind == b"ANMF" for kind, _, _ in parts):
        yield "default-image-apart"
    elif canvas and len(canvas) >= 6 and stills:
        size = (int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:6], "little") + 1)
        if _size(content, *stills[0]) not in (size, None):
            yield "sizes-disagree"
    profiles = [content[start:end] for kind, start, end in parts if kind == b"ICCP"]
    if len(profiles) > 1:
        yield "two-profiles"
    for profile in profiles[:2]:
        yield from profile_oddities(profile, b"RGB ")
    notes = [content[start:end] for kind, start, end in parts if kind == b"EXIF"]
    stated = [stated_orientations(each.removeprefix(b"Exif\0\0")) for each in notes]
    stated += [
        xmp_orientations(content[start : min(end, start + _LONGEST_XMP)])
        for kind, start, end in parts
        if kind == b"XMP "
    ]
    if any(each - {1} for each in stated):
        yield "unread-orientation"


def _parts(content: bytes, length: int) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > length:
            return
        start = at + 8
        end = start + int.from_bytes(content[at + 4 : start], "little")
        yield content[at : at + 4], start, end
        at = end + end % 2


def _size(content: bytes, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    head = content[start : min(end, start + 10)]
    if kind == b"VP8 " and len(head) == 10:
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
