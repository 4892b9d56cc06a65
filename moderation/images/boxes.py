"""Boxes of an AVIF or HEIC (ISO/IEC 14496-12) -> the properties of the picture that is shown.

Imports the standard library alone, and copies nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

#: Boxes that are looked at; a photograph's grid has some hundreds.
MOST_BOXES = 2000

_TRACK = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
#: Bytes before the boxes inside a list of samples, and inside a sample of video.
_LIST_HEAD, _VIDEO_HEAD = 8, 78
#: What the handler of a track of pictures says of it, behind so many bytes.
_HANDLERS, _HANDLER_HEAD = (b"pict", b"vide", b"auxv"), 8
#: Bytes before what is in a box that has a version.
VERSION = 4


class Box(NamedTuple):
    """One box: its kind, and where in the file its data begin and end."""

    kind: bytes
    start: int
    end: int


def boxes(content: bytes, start: int, end: int) -> Iterator[Box]:
    """Yields the boxes that stand one after the other in a part of a file."""
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", content, start)
        data = start + 8
        if size == 1 and start + 16 <= end:
            size, data = int.from_bytes(content[start + 8 : start + 16]), start + 16
        stop = start + size if size else end
        if stop < data or stop > end:
            return
        yield Box(kind, data, stop)
        start = stop


def stated_codes(content: bytes) -> tuple[int, int, int, bool] | None:
    """Returns the primaries, transfer and matrix by H.273 that a file states; None if it does not.

    The fourth is whether its values are of full range, with black at 0.
    """
    for kind, start, end in shown_properties(content):
        if kind == b"colr" and content[start : start + 4] == b"nclx" and end - start >= 8:
            primaries, transfer = struct.unpack_from(">HH", content, start + 4)
            rest = content[start + 8 : end].ljust(3, b"\0")
            return primaries, transfer, int.from_bytes(rest[:2]), rest[2] >= 128
    return None


def shown_properties(content: bytes) -> list[Box]:
    """Returns the properties of the picture that is shown, in order.

    Of an animation that is the track, where it has one, and of a still the primary item.
    """
    try:
        return _track_properties(content) or _primary_properties(content)
    except (struct.error, IndexError):
        return []


def item_properties(content: bytes, iprp: Box, item: int) -> Iterator[Box]:
    """Yields the properties that belong to an item.

    Args:
        content: the file.
        iprp: the box of all properties and of who has them.
        item: its number.

    Raises:
        struct.error, IndexError: the file is damaged.
    """
    inner = list(boxes(content, iprp.start, iprp.end))
    ipco = next((each for each in inner if each.kind == b"ipco"), None)
    known = list(boxes(content, ipco.start, ipco.end)) if ipco else []
    for ipma in (each for each in inner if each.kind == b"ipma"):
        for index in _indexes(content, ipma, item):
            if 0 < index <= len(known):
                yield known[index - 1]


def _indexes(content: bytes, ipma: Box, wanted: int) -> Iterator[int]:
    """Yields the numbers, from 1, of the properties that an item has by one list."""
    version, wide = content[ipma.start], content[ipma.start + 3] & 1
    [count] = struct.unpack_from(">I", content, ipma.start + VERSION)
    at, number = ipma.start + VERSION + 4, ">I" if version else ">H"
    for _ in range(min(count, MOST_BOXES)):
        [item] = struct.unpack_from(number, content, at)
        at += struct.calcsize(number)
        length, at = content[at], at + 1
        for _ in range(length):
            index = content[at] & 0x7F
            if wide:
                index = index << 8 | content[at + 1]
            at += 2 if wide else 1
            if item == wanted:
                yield index


def has_track(content: bytes) -> bool:
    """Whether a file says first of all that it is an animation, and has the track of one."""
    is_moving = content[8:12] in (b"avis", b"msf1", b"hevc", b"hevx")
    return is_moving and first_box(content, *_TRACK) is not None


def has_strange_track(content: bytes) -> bool:
    """Whether a track is neither of colours nor of opacity; decoders take it for either."""
    moov = first_box(content, b"moov")
    tracks = boxes(content, moov.start, moov.end) if moov else ()
    for track in (each for each in tracks if each.kind == b"trak"):
        handler = first_box(content, b"mdia", b"hdlr", within=track)
        at = handler.start + _HANDLER_HEAD if handler else 0
        if content[at : at + 4] not in _HANDLERS:
            return True
    return False


def _track_properties(content: bytes) -> list[Box]:
    samples = first_box(content, *_TRACK) if has_track(content) else None
    if samples is None:
        return []
    sample = next(boxes(content, samples.start + _LIST_HEAD, samples.end), None)
    return list(boxes(content, sample.start + _VIDEO_HEAD, sample.end)) if sample else []


def first_box(content: bytes, *path: bytes, within: Box | None = None) -> Box | None:
    """Returns the first box at a path, in the file or in another box."""
    found = within or Box(b"", 0, len(content))
    for kind in path:
        inner = boxes(content, found.start, found.end)
        box = next((each for each in inner if each.kind == kind), None)
        if box is None:
            return None
        found = box
    return found


def meta_boxes(content: bytes) -> dict[bytes, Box]:
    """Returns the boxes that describe a file's items, by kind."""
    meta = first_box(content, b"meta")
    inner = boxes(content, meta.start + VERSION, meta.end) if meta else ()
    return {each.kind: each for each in inner}


def _primary_properties(content: bytes) -> list[Box]:
    inner = meta_boxes(content)
    if b"pitm" not in inner or b"iprp" not in inner:
        return []
    return list(item_properties(content, inner[b"iprp"], primary_item(content, inner[b"pitm"])))


def primary_item(content: bytes, pitm: Box) -> int:
    """Returns the number of the item that is shown."""
    return int.from_bytes(content[pitm.start + VERSION : pitm.end])
