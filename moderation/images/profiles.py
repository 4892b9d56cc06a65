"""Which profile counts for a file, of all that its format lets it have."""

from __future__ import annotations

import struct

from PIL import Image

from moderation.images.boxes import coded_colours
from moderation.images.colour_codes import coded_profile, refuse_hdr
from moderation.images.icc import Profile, has_cicp_of_hdr, read_profile
from moderation.images.png_colours import png_profile
from moderation.images.profile_length import refuse_long_profile

#: Where an opened image carries its profile, beside what Pillow found.
PROFILE = "profile that counts"

#: Of the header of a BMP, from the start of the file: its length, what its colours are, where a
#: profile lies after the first 14 bytes, and how long it is. The numbers that describe colours
#: otherwise, and linked profiles, are not heeded by browsers.
_BMP_HEADER = struct.Struct("<14xI52x4s52xII")
_BMP_WITH_PROFILE, _EMBEDDED = 124, b"MBED"[::-1]


def counting_profile(content: bytes, image: Image.Image) -> Profile | None:
    """Returns the profile of an opened image's values; None where they are sRGB.

    Raises:
        ImageError: its profile is too long, or it is HDR.
    """
    if image.format == "PNG":
        return png_profile(content)
    if image.format == "BMP":
        return _bmp_profile(content)
    if image.info.get("icc_profile"):
        return _read(image.info["icc_profile"])
    if image.format in ("AVIF", "HEIF") and (codes := coded_colours(content)):
        return coded_profile(*codes, of_video=True)
    return None


def _read(content: bytes) -> Profile | None:
    refuse_long_profile(content)
    if has_cicp_of_hdr(content):
        refuse_hdr()
    return read_profile(content)


def _bmp_profile(content: bytes) -> Profile | None:
    if len(content) < _BMP_HEADER.size:
        return None
    size, kind, start, length = _BMP_HEADER.unpack_from(content)
    if size < _BMP_WITH_PROFILE or kind != _EMBEDDED:
        return None
    return _read(content[14 + start : 14 + start + length])
