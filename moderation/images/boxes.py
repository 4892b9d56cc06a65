"""Boxes of an AVIF or HEIC (ISO/IEC 14496-12) -> the properties of the picture that is shown."""

from __future__ import annotations

import struct
from collections.abc import Iterator

#: Boxes that are looked at; a photograph's grid has some hundreds.
MOST_BOXES = 10_000

_TRACK = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
#: Bytes before the boxes inside a list of samples, and inside a sample of video.
_LIST_HEAD, _VIDEO_HEAD = 8, 78


def coded_colours(content: bytes) -> tuple[int, int] | None:
    """Returns the primaries and transfer by H.273 that a file states; None where it states none."""
    for kind, data in shown_properties(content):
        if kind == b"colr" and data[:4] == b"nclx" and len(data) >= 8:
            primaries, transfer = struct.unpack_from(">HH", data, 4)
            return primaries, transfer
    return None


def shown_properties(content: bytes) -> list[tuple[bytes, bytes]]:
    """Returns kind and data of each property of the picture that is shown, in order.

    Of an animation that is the track, where it has one, and of a still the primary item.
    """
    try:
        return _track_properties(content) or _item_properties(content)
    except (struct.error, IndexError):
        return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields kind and content of the boxes that stand one after the other."""
    at = 0
    for _ in range(MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            [size], head = struct.unpack_from(">Q", data, at + 8), 16
        end = at + size if size else len(data)
        if end < at + head or end > len(data):
            return
        yield kind, data[at + head : end]
        at = end


def _first(data: bytes, *path: bytes) -> bytes:
    """Returns the content of the first box at a path; nothing where there is none."""
    for wanted in path:
        data = next((inner for kind, inner in _boxes(data) if kind == wanted), b"")
    return data


def _track_properties(content: bytes) -> list[tuple[bytes, bytes]]:
    if content[8:12] not in (b"avis", b"msf1", b"hevc", b"hevx"):
        return []
    samples = list(_boxes(_first(content, *_TRACK)[_LIST_HEAD:]))
    return list(_boxes(samples[0][1][_VIDEO_HEAD:])) if samples else []


def _item_properties(content: bytes) -> list[tuple[bytes, bytes]]:
    meta = _first(content, b"meta")[4:]
    primary = _first(meta, b"pitm")
    wanted = int.from_bytes(primary[4:8] if primary[:1] != b"\0" else primary[4:6])
    properties = list(_boxes(_first(meta, b"iprp", b"ipco")))
    indexes = _associations(_first(meta, b"iprp", b"ipma"), wanted)
    return [properties[index - 1] for index in indexes if 0 < index <= len(properties)]


def _associations(data: bytes, wanted: int) -> list[int]:
    """Returns the indexes, from 1, of the properties of an item."""
    version, is_wide = data[0], data[3] & 1
    [count], at = struct.unpack_from(">I", data, 4), 8
    for _ in range(min(count, MOST_BOXES)):
        item = int.from_bytes(data[at : at + (4 if version else 2)])
        at += 4 if version else 2
        number, at = data[at], at + 1
        width = 2 if is_wide else 1
        entries = [
            int.from_bytes(data[at + width * n : at + width * (n + 1)]) for n in range(number)
        ]
        if item == wanted:
            return [entry & (0x7FFF if is_wide else 0x7F) for entry in entries]
        at += width * number
    return []
