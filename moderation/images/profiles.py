"""Which profile counts for a file, of all that its format lets it have."""

from __future__ import annotations

import struct

from PIL import Image

from moderation.images.avif_data import avif_data
from moderation.images.boxes import stated_codes
from moderation.images.colour_codes import coded_profile
from moderation.images.embedded_profile import embedded_profile
from moderation.images.icc import Profile
from moderation.images.jpeg_segments import segments
from moderation.images.png_colours import png_profile

#: Where an opened image carries its profile, beside what Pillow found.
PROFILE = "profile that counts"

#: Among the flags of a WebP.
_ANIMATION = 2

#: How a segment of a JPEG begins that holds a part of a profile; its number and their count follow.
_APP2, _IN_PARTS = 0xE2, b"ICC_PROFILE\0"

#: Of the header of a BMP, from the start of the file: its length, what its colours are, where a
#: profile lies after the first 14 bytes, and how long it is. The numbers that describe colours
#: otherwise, and linked profiles, are not heeded by browsers.
_BMP_HEADER = struct.Struct("<14xI52x4s52xII")
_BMP_WITH_PROFILE, _EMBEDDED = 124, b"MBED"[::-1]


def counting_profile(content: bytes, image: Image.Image) -> Profile | None:
    """Returns the profile of an opened image's values; None where they are sRGB.

    Raises:
        ImageError: it is HDR, or as `embedded_profile`.
    """
    if image.format == "PNG":
        return png_profile(content)
    if image.format == "BMP":
        return _bmp_profile(content)
    if image.format in ("JPEG", "MPO"):
        return embedded_profile(_jpeg_profile(content))
    if image.format == "WEBP" and _is_animated_webp(content):
        return None
    if image.info.get("icc_profile"):
        return embedded_profile(image.info["icc_profile"])
    if image.format in ("AVIF", "HEIF"):
        return _coded(content)
    return None


def _is_animated_webp(content: bytes) -> bool:
    """Whether a WebP says that it is an animation, of which browsers ignore the profile."""
    return content[12:16] == b"VP8X" and bool(content[20] & _ANIMATION)


def _coded(content: bytes) -> Profile | None:
    """Returns what an AVIF or HEIC states by codes: in its boxes, or else an AVIF in its data."""
    if codes := stated_codes(content):
        return coded_profile(*codes[:2], of_video=True)
    colours = avif_data(content).colours
    return coded_profile(*colours.codes[:2], of_video=True) if colours else None


def _jpeg_profile(content: bytes) -> bytes:
    """Returns the profile that segments of a JPEG hold in parts; nothing where they do not agree.

    Browsers stop at the last part that is missing: of two profiles the first counts.
    """
    parts: dict[int, bytes] = {}
    expected = 0
    for marker, start in segments(content):
        end = start - 2 + int.from_bytes(content[start - 2 : start])
        head = start + len(_IN_PARTS)
        if marker != _APP2 or not content.startswith(_IN_PARTS, start) or end <= head + 2:
            continue
        number, count = content[head], content[head + 1]
        if not 1 <= number <= count or count != (expected or count) or number in parts:
            return b""
        expected, parts[number] = count, content[head + 2 : end]
        if len(parts) == expected:
            return b"".join(parts[number] for number in sorted(parts))
    return b""


def _bmp_profile(content: bytes) -> Profile | None:
    if len(content) < _BMP_HEADER.size:
        return None
    size, kind, start, length = _BMP_HEADER.unpack_from(content)
    if size < _BMP_WITH_PROFILE or kind != _EMBEDDED:
        return None
    return embedded_profile(content[14 + start : 14 + start + length])
