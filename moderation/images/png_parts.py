"""A PNG as its chunks, for those who look at more than a decoder does.

Imports the standard library alone, and copies nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

START = b"\x89PNG\r\n\x1a\n"

_HEAD = struct.Struct(">I4s")
#: A chunk's head, and the checksum after its data.
_AROUND = 12

#: Chunks that are looked at; `png_chunks` refuses a file that has more.
_MOST_CHUNKS = 200_000


class PngChunk(NamedTuple):
    """One chunk: its kind, and where in the file its data begin and end."""

    kind: bytes
    start: int
    end: int

    def is_whole(self, content: bytes) -> bool:
        """Whether its checksum is right."""
        found = zlib.crc32(memoryview(content)[self.start - 4 : self.end])
        return found == int.from_bytes(content[self.end : self.end + 4])


def png_parts(content: bytes) -> Iterator[PngChunk]:
    """Yields the chunks of a PNG that do not end beyond the file, up to and with its IEND."""
    at = len(START)
    for _ in range(_MOST_CHUNKS):
        if at + _AROUND > len(content):
            return
        length, kind = _HEAD.unpack_from(content, at)
        start = at + _HEAD.size
        at += _AROUND + length
        if at > len(content):
            return
        yield PngChunk(kind, start, start + length)
        if kind == b"IEND":
            return
