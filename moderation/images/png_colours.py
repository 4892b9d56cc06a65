"""The chunks of a PNG that say what its colours are -> the profile that counts, as browsers count.

The order is that of the specification: cICP, iCCP, sRGB, then gAMA with cHRM. Each counts at its
first place, where it is whole and stands before the pixels, and cICP before the palette.
"""

from __future__ import annotations

import struct
import zlib

from moderation.images.colour_codes import SRGB, SRGB_CURVE, coded_profile, stated_profile
from moderation.images.embedded_profile import embedded_profile
from moderation.images.icc import Profile
from moderation.images.icc_curves import parametric_curve
from moderation.images.png_chunks import png_chunks
from moderation.images.profile_length import LONGEST_PROFILE

_KINDS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")

#: Bytes of each chunk whose length is fixed; at another length it is not read.
_LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}

#: gAMA of sRGB's nearest exponent. Within 5 % of it, it counts as sRGB, unless cHRM stands by it.
_GAMMA_OF_SRGB, _NEAR = 1 / 2.2, 0.05

_PERCEPTUAL_TO_ABSOLUTE = (0, 1, 2, 3)


def png_profile(content: bytes) -> Profile | None:
    """Returns the profile of a PNG's values; None where they are sRGB.

    Raises:
        ImageError: it has too many chunks, is HDR, or as `embedded_profile`.
    """
    chunks = _colour_chunks(content)
    if cicp := chunks.get(b"cICP"):
        primaries, transfer, matrix, full = cicp
        coded = coded_profile(primaries, transfer) if (matrix, full) == (0, 1) else None
        if coded:
            return coded
    if b"iCCP" in chunks and (profile := embedded_profile(_unpacked_profile(chunks[b"iCCP"]))):
        return profile
    if chunks.get(b"sRGB", b"\xff")[0] in _PERCEPTUAL_TO_ABSOLUTE:
        return None
    return _gamma_profile(chunks)


def _colour_chunks(content: bytes) -> dict[bytes, bytes]:
    """Returns the data of the first of each kind that stands where it counts."""
    found: dict[bytes, bytes] = {}
    has_palette = False
    for chunk in png_chunks(content):
        kind = chunk.kind
        if kind == b"IDAT":
            break
        has_palette = has_palette or kind == b"PLTE"
        if kind not in _KINDS or kind in found or (kind == b"cICP" and has_palette):
            continue
        data = content[chunk.start : chunk.end]
        if chunk.is_whole(content) and len(data) == _LENGTHS.get(kind, len(data)):
            found[kind] = data
    return found


def _unpacked_profile(data: bytes) -> bytes:
    """Returns the profile of an iCCP chunk; nothing where it has no name or cannot be unpacked."""
    name_end = data.find(b"\0", 0, 80)
    if name_end < 1 or data[name_end + 1 : name_end + 2] != b"\0":
        return b""
    try:
        return zlib.decompressobj().decompress(data[name_end + 2 :], LONGEST_PROFILE + 1)
    except zlib.error:
        return b""


def _gamma_profile(chunks: dict[bytes, bytes]) -> Profile | None:
    """Returns what gAMA and cHRM say; cHRM alone says nothing."""
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")) / 100_000
    if not gamma:
        return None
    curve = parametric_curve(1 / gamma)
    if b"cHRM" in chunks:
        white_x, white_y, *others = (v / 100_000 for v in struct.unpack(">8I", chunks[b"cHRM"]))
        return stated_profile((white_x, white_y, *others), curve)
    if abs(gamma / _GAMMA_OF_SRGB - 1) < _NEAR:
        curve = SRGB_CURVE
    return stated_profile(SRGB, curve)
