"""How browsers turn a picture: by the places that they read, and by no other.

Imports the standard library alone, and takes some microseconds. What is read and what is not was
measured in Chromium, file by file; the tests hold the list.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from moderation.images import jpeg_segments, png_chunks

UPRIGHT = 1

_APP1 = 0xE1
#: What EXIF data begin with in a JPEG; a byte of any value follows.
_EXIF = b"Exif\0"

_ORIENTATION, _EXIF_DIRECTORY = 0x0112, 0x8769
_DENSITIES = (0x011A, 0x011B)
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_FIRST_ENTRY = 2
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\b")


def orientation(content: bytes, exif: bytes | None = None) -> int:
    """Returns how a browser turns the picture, as an orientation of EXIF: 1 to 8, 1 for not at all.

    It is the first EXIF block before the pixels of a JPEG or PNG that counts, whatever it says.
    Browsers read neither XMP nor texts, nor the EXIF data of a WebP. An AVIF is turned by its own
    boxes and not by EXIF data; a HEIC too, but its decoder has done so already.

    Args:
        content: the file, of an accepted format.
        exif: of an AVIF alone, what Pillow gives as its EXIF data: there it states the boxes.
    """
    if content.startswith(jpeg_segments.START):
        return exif_orientation(next(jpeg_exif_blocks(content), b"")) or UPRIGHT
    if content.startswith(png_chunks.START):
        return exif_orientation(next(png_exif_blocks(content), b"")) or UPRIGHT
    return exif_orientation((exif or b"").removeprefix(b"Exif\0\0")) or UPRIGHT


def jpeg_exif_blocks(content: bytes) -> Iterator[bytes]:
    """Yields the EXIF data before the first scan of a JPEG, one block a segment: not joined."""
    for marker, start in jpeg_segments.segments(content):
        end = start - 2 + int.from_bytes(content[start - 2 : start])
        head = start + len(_EXIF) + 1
        if marker == _APP1 and content.startswith(_EXIF, start) and end > head:
            yield content[head:end]


def png_exif_blocks(content: bytes) -> Iterator[bytes]:
    """Yields the data of each whole eXIf chunk before the pixels of a PNG."""
    for chunk in png_chunks.png_chunks(content):
        if chunk.kind == b"IDAT":
            return
        if chunk.kind == b"eXIf" and chunk.is_whole(content):
            yield content[chunk.start : chunk.end]


def exif_orientation(tiff: bytes) -> int | None:
    """Returns the orientation that EXIF data state, without their prefix; None if they state none.

    Entries are gone through in the order of the file, as Chromium does, and the first valid one
    counts: of one SHORT, in 1 to 8, in the first directory or in the EXIF directory that it names.
    """
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    may_go_deeper = True
    for tag, kind, count, value in _entries(tiff, order, tiff[4:8]):
        if _is_orientation(order, tag, kind, count, value):
            return _short(order, value)
        if (tag, kind, count) == (_EXIF_DIRECTORY, _LONG, 1) and may_go_deeper:
            may_go_deeper = False
            for entry in _entries(tiff, order, value):
                if _is_orientation(order, *entry):
                    return _short(order, entry[3])
    return None


def _entries(tiff: bytes, order: str, offset: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yields tag, type, count and value of a directory's entries, as far as they are there."""
    [at] = struct.unpack(f"{order}I", offset)
    [count] = struct.unpack(f"{order}H", tiff[at : at + _FIRST_ENTRY].rjust(2, b"\0"))
    entry = struct.Struct(f"{order}HHI4s")
    at += _FIRST_ENTRY
    there = min(count, max(0, len(tiff) - at) // entry.size)
    yield from entry.iter_unpack(tiff[at : at + there * entry.size])


def _is_orientation(order: str, tag: int, kind: int, count: int, value: bytes) -> bool:
    is_typed = (tag, kind, count) == (_ORIENTATION, _SHORT, 1)
    return is_typed and 1 <= _short(order, value) <= 8


def _short(order: str, value: bytes) -> int:
    return int(struct.unpack(f"{order}H", value[:2])[0])


def stated_orientations(tiff: bytes) -> set[int]:
    """Returns every orientation that any reader might take from EXIF data, of whatever type."""
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return set()
    stated: set[int] = set()
    offsets = [tiff[4:8]]
    for offset in offsets:
        for tag, kind, _, value in _entries(tiff, order, offset):
            if tag == _ORIENTATION:
                whole = int(struct.unpack(f"{order}I", value)[0])
                stated.add(whole if kind == _LONG else _short(order, value))
            elif tag == _EXIF_DIRECTORY and len(offsets) < 2:
                offsets.append(value)
    return stated & set(range(1, 9))


def stated_densities(tiff: bytes) -> list[float]:
    """Returns the densities, across and down, that the first directory of EXIF data states.

    Chromium stretches a JPEG whose two densities differ, where they fit the stated size.
    """
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return []
    return [
        _ratio(tiff, order, value) if kind == _RATIONAL else float(_short(order, value))
        for tag, kind, _, value in _entries(tiff, order, tiff[4:8])
        if tag in _DENSITIES
    ]


def _ratio(tiff: bytes, order: str, offset: bytes) -> float:
    """Returns the value that lies apart from its entry; 0 where its divisor is 0."""
    [at] = struct.unpack(f"{order}I", offset)
    top, bottom = struct.unpack(f"{order}II", tiff[at : at + 8].ljust(8, b"\0"))
    return float(top / bottom) if bottom else 0.0


def xmp_orientations(xmp: bytes) -> set[int]:
    """Returns the orientations that XMP states, which browsers do not read and others do."""
    return {int(each) for each in _XMP_ORIENTATION.findall(xmp)}
