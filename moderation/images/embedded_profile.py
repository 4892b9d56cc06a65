"""An ICC profile as bytes -> the profile that counts: itself, or the codes that it states.

Imports only numpy.
"""

from __future__ import annotations

from dataclasses import replace

from moderation.errors import ImageError
from moderation.images.colour_codes import HDR, TRANSFERS, VIDEO, coded_profile, refuse_hdr
from moderation.images.icc import Profile, profile_codes, read_profile
from moderation.images.profile_length import refuse_long_profile

#: Of codes in a profile: whether values are of 0 to 255, and stand for red, green and blue.
_PLAIN = (0, 1)
_COLOURS = (b"RGB ", b"GRAY")


def embedded_profile(content: bytes) -> Profile | None:
    """Returns what a profile says; None where browsers ignore it.

    Raises:
        ImageError: it is too long, or it is HDR, or states codes that viewers read in several ways.
    """
    refuse_long_profile(content)
    profile, codes = read_profile(content), profile_codes(content)
    if codes and codes[1:2] and codes[1] in HDR:
        refuse_hdr()
    if profile is None or codes is None or codes[2:] != _PLAIN:
        return profile
    primaries, transfer = codes[:2]
    known = profile.space in _COLOURS and transfer in TRANSFERS and transfer not in VIDEO
    if not known or (coded := coded_profile(primaries, transfer)) is None:
        what = "the image's ICC profile states its colours twice (cicp)"
        raise ImageError(what, "image", "Save the image again in sRGB, without a profile")
    return replace(coded, space=profile.space)
