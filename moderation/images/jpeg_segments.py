"""A JPEG up to its first scan, read before a decoder reads it: refuses what would cost too much.

Imports the standard library alone, and takes 10 microseconds; 1 ms a MB where scans are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from moderation.errors import ImageError

START = b"\xff\xd8\xff"

#: Segments before the first scan. A photograph has ten or twenty; one holds 64 kB, so 310 fill a
#: file of 20 MB. For each segment of EXIF data Pillow copies all that came before.
MOST_SEGMENTS = 500

#: Bytes between those segments that belong to no segment. Some cameras pad to a full block; Pillow
#: takes a third of a second for a MB of them.
MOST_FILL = 100_000

#: A normal JPEG has up to ten or twenty scans. A scan can be a few bytes long and costs a pass over
#: the whole image, so with thousands of them a small file takes hours.
MOST_SCANS = 100

#: The largest still may have fewer scans, and one in between as many as come to the same number of
#: pixels. The scans of smaller pictures after it in the file are counted too.
MOST_LARGE_SCANS = 40

#: How a scan begins: its marker, then the upper byte of its length, which is always 0.
_SCAN = b"\xff\xda\x00"

_MARKER = re.compile(rb"\xff([\xc0-\xfe])")
#: Markers without a length: restarts, start, end, and the reserved ones.
_ALONE = frozenset((0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))
_START_OF_SCAN = 0xDA
#: Frames whose pixels come in one pass, if the first scan holds all their components.
_SEQUENTIAL = (0xC0, 0xC1)
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ARITHMETIC = range(0xC9, 0xD0)

_REMEDY = "Save the image again in an image editor"


def refuse_costly_jpeg(content: bytes, max_pixels: int) -> None:
    """Refuses a JPEG that takes much longer to decode than its pixels should.

    Args:
        content: begins with `START`; what is not a JPEG after that is left to the decoder.
        max_pixels: width times height of the largest image that is decoded.

    Raises:
        ImageError: it has too many segments or scans, or is coded arithmetically: Pillow reads such
            a file up to 64 kB only, since its decoder cannot wait for more.
    """
    marker, frame = 0, b""
    for kind, start in segments(content):
        if kind in _FRAMES:
            marker, frame = kind, content[start : start + 6]
            if kind in _ARITHMETIC:
                raise ImageError("the JPEG is coded arithmetically", "image", _REMEDY)
        elif kind == _START_OF_SCAN:
            components = content[start : start + 1]
            if marker not in _SEQUENTIAL or components < frame[5:6]:
                _refuse_many_jpeg_scans(content, frame, max_pixels)


def segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yields the marker of each segment up to the first scan, and where its data begin.

    Decoders find the same segments: they too look for the next marker, whatever comes before it.
    """
    at, fill = 2, MOST_FILL
    for _ in range(MOST_SEGMENTS):
        end = at + fill + 2
        found = _MARKER.search(content, at, end)
        if found is None:
            if end < len(content):
                what = f"the JPEG has more than {MOST_FILL} bytes that belong to nothing"
                raise ImageError(what, "image", _REMEDY)
            return
        fill -= found.start() - at
        at, marker = found.end(), found[1][0]
        if marker in _ALONE:
            continue
        yield marker, at + 2
        if marker == _START_OF_SCAN:
            return
        at += max(2, int.from_bytes(content[at : at + 2]))
    what = f"the JPEG has more than {MOST_SEGMENTS} segments before its first scan"
    raise ImageError(what, "image", _REMEDY)


def _refuse_many_jpeg_scans(content: bytes, frame: bytes, max_pixels: int) -> None:
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    most = MOST_LARGE_SCANS * max_pixels // max(1, width * height)
    most = max(MOST_LARGE_SCANS, min(MOST_SCANS, most))
    if content.count(_SCAN) > most:
        what = f"the JPEG has more than {most} scans, the most for its size"
        raise ImageError(what, "image", _REMEDY)
