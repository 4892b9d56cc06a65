"""Which profile counts for a file, of all that its format lets it have."""

from __future__ import annotations

import struct

from PIL import Image

from moderation.images.boxes import coded_colours
from moderation.images.colour_codes import coded_profile, refuse_hdr, stated_profile
from moderation.images.icc import Profile, has_cicp_of_hdr, parametric_curve, read_profile
from moderation.images.png_colours import png_profile
from moderation.images.profile_length import refuse_long_profile

#: Where an opened image carries its profile, beside what Pillow found.
PROFILE = "profile that counts"

#: Fields of a BMP's header, from its start: its size, the kind of colours, endpoints of red, green
#: and blue (x, y and z each), exponents, and where a profile lies and how long it is.
_BMP_HEADER = struct.Struct("<14xI52x4s9i3I4xII")
_BMP_VERSION_4, _BMP_VERSION_5 = 108, 124


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
        return coded_profile(*codes)
    return None


def _read(content: bytes) -> Profile | None:
    refuse_long_profile(content)
    if has_cicp_of_hdr(content):
        refuse_hdr()
    return read_profile(content)


def _bmp_profile(content: bytes) -> Profile | None:
    header = content[: _BMP_HEADER.size].ljust(_BMP_HEADER.size, b"\0")
    size, kind, *numbers = _BMP_HEADER.unpack(header)
    *_, start, length = numbers
    if size >= _BMP_VERSION_5 and kind == b"DEBM":  # "MBED", the other way round
        return _read(content[14 + start : 14 + start + length])
    return None
