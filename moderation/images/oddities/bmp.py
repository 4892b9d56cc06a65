"""Oddities of a BMP."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from moderation.images.oddities.names import Oddity

#: A BMP states what its decoder does to a value or what its screen did, 0.45 or 2.2, times 65,536.
_LEAST, _MOST = 0.3, 3.4


def bmp_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about a BMP."""
    head = int.from_bytes(content[14:18], "little")
    if head < 108 or len(content) < 14 + head:
        return
    space = content[70:74]
    if head >= 124 and space in (b"DEBM", b"KNIL"):
        yield "bmp-profile"
    gammas = [each / 65_536 for each in struct.unpack_from("<III", content, 110)]
    if space == bytes(4) and any(each and not _LEAST <= each <= _MOST for each in gammas):
        yield "extreme-gamma"
