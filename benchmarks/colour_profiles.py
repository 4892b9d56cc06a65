"""ICC profiles of colour spaces that cameras and telephones use, made from published numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterable

XYZ = tuple[float, float, float]

#: CIE XYZ of red, green and blue at full strength, adapted to D50, and the exponent. Adobe RGB
#: (1998) 4.3; Display P3 by SMPTE EG 432-1 primaries, with 2.2 in place of sRGB's curve.
SPACES: dict[str, tuple[XYZ, XYZ, XYZ, float]] = {
    "Adobe RGB": (
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
        563 / 256,
    ),
    "Display P3": (
        (0.51512, 0.24120, -0.00105),
        (0.29198, 0.69225, 0.04189),
        (0.15710, 0.06657, 0.78407),
        2.2,
    ),
}
_D50 = (0.9642, 1.0, 0.8249)


def rgb_profile(name: str) -> bytes:
    """Returns the ICC profile (version 2.4, matrix and curves) of one of `SPACES`."""
    red, green, blue, exponent = SPACES[name]
    points = {b"wtpt": _D50, b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags = {key: b"XYZ \0\0\0\0" + _icc_numbers(value) for key, value in points.items()}
    return _icc_file(
        b"RGB ", name, tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _icc_curve(exponent))
    )


def grey_profile(exponent: float) -> bytes:
    """Returns the ICC profile of greys with an exponent."""
    white = b"XYZ \0\0\0\0" + _icc_numbers(_D50)
    return _icc_file(b"GRAY", f"Gray {exponent}", {b"wtpt": white, b"kTRC": _icc_curve(exponent)})


def _icc_curve(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def _icc_numbers(values: Iterable[float]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _icc_file(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    """Returns header, table of tags, and their data, each at a multiple of 4 bytes."""
    text = name.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0none\0", **tags}
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        table += key + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI", start + len(data), 0x02400000) + b"mntr" + space + b"XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + _icc_numbers(_D50) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data
