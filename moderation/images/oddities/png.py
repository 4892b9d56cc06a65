"""Oddities of a PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from moderation.images.oddities.names import Oddity
from moderation.images.oddities.profile import HDR_TRANSFERS, profile_oddities
from moderation.images.oddities.tail import is_ordinary_tail
from moderation.images.orientation import exif_orientation, stated_orientations, xmp_orientations
from moderation.images.png_chunks import PngChunk, png_chunks

_COLOURS = (b"iCCP", b"cICP", b"gAMA", b"cHRM", b"sRGB")
#: Whose checksums are compared: what a picture is made of, and what changes it.
_CHECKED = (*_COLOURS, b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf")
#: Of a profile, enough for its list of tags.
_PROFILE_HEAD = 4096
_LONGEST_XMP = 1_000_000

#: Bytes of an animation that are unpacked to see whether its frames are whole; 3 ms a MB.
_MOST_FRAMES_UNPACKED, _AT_ONCE = 64_000_000, 1_000_000

#: Least and most of x and y of white, red, green and blue. ProPhoto RGB has green at 0.16, 0.84 and
#: blue at 0.04, 0.0001; white is between D75 and the light of a bulb.
_REAL = (
    *((0.27, 0.46), (0.27, 0.43), (0.55, 0.75), (0.25, 0.4)),
    *((0.1, 0.4), (0.5, 0.86), (0.0, 0.2), (0.0, 0.2)),
)

#: The code of sRGB in cICP: primaries, transfer, matrix, full range.
_SRGB = bytes((1, 13, 0, 1))


def png_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about a PNG, in any order and possibly more than once."""
    chunks = list(png_chunks(content))
    first = next((i for i, each in enumerate(chunks) if each.kind == b"IDAT"), len(chunks))
    before, after = chunks[:first], chunks[first:]
    if any(each.kind in _CHECKED and not each.is_whole(content) for each in chunks):
        yield "damaged-chunk"
    if any(each.kind in _COLOURS for each in after):
        yield "late-chunk"
    yield from _colour_oddities(content, before)
    yield from _orientation_oddities(content, before, after)
    yield from _animation_oddities(before, after)
    if any(each.kind == b"acTL" for each in before) and not _frames_are_whole(content, after):
        yield "damaged-frame"
    if (
        chunks
        and chunks[-1].kind == b"IEND"
        and not is_ordinary_tail(content[chunks[-1].end + 4 :])
    ):
        yield "trailing-data"


def _data(content: bytes, chunks: list[PngChunk], kind: bytes) -> list[bytes]:
    return [content[each.start : each.end] for each in chunks if each.kind == kind]


def _colour_oddities(content: bytes, before: list[PngChunk]) -> Iterator[Oddity]:
    codes, profiles = _data(content, before, b"cICP"), _data(content, before, b"iCCP")
    beside = profiles or (codes != [_SRGB] and _data(content, before, b"sRGB"))
    if len(profiles) > 1 or len(set(codes)) > 1 or (codes and beside):
        yield "two-profiles"
    if any(code[1:2] and code[1] in HDR_TRANSFERS for code in codes):
        yield "hdr"
    gammas = [int.from_bytes(each) for each in _data(content, before, b"gAMA")]
    if any(not 30_000 <= gamma <= 110_000 for gamma in gammas):
        yield "extreme-gamma"
    if any(map(_are_extreme, _data(content, before, b"cHRM"))):
        yield "extreme-primaries"
    space = b"GRAY" if content[25:26] in (b"\0", b"\4") else b"RGB "
    for profile in profiles[:2]:
        yield from profile_oddities(_unpacked(profile), space)


def _are_extreme(chromaticities: bytes) -> bool:
    """Whether white, red, green or blue is one that no display or camera has."""
    if len(chromaticities) != 32:
        return False
    values = [value / 100_000 for value in struct.unpack(">8I", chromaticities)]
    return not all(
        least <= value <= most for value, (least, most) in zip(values, _REAL, strict=True)
    )


def _unpacked(profile: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(profile[profile.find(b"\0") + 2 :], _PROFILE_HEAD)
    except zlib.error:  # no viewer can use it
        return b""


def _orientation_oddities(
    content: bytes, before: list[PngChunk], after: list[PngChunk]
) -> Iterator[Oddity]:
    blocks, late = _data(content, before, b"eXIf"), _data(content, after, b"eXIf")
    turn = (exif_orientation(blocks[0]) if blocks else None) or 1
    notes = [each[:_LONGEST_XMP] for each in _data(content, before + after, b"iTXt")]
    if any(each - {turn} for each in map(stated_orientations, blocks)):
        yield "orientation-conflict"
    unread = [*map(stated_orientations, late), *map(xmp_orientations, notes)]
    if any(each - {turn} for each in unread):
        yield "unread-orientation"


def _animation_oddities(before: list[PngChunk], after: list[PngChunk]) -> Iterator[Oddity]:
    heads = [each for each in before if each.kind == b"acTL"]
    late = [each for each in after if each.kind == b"acTL"]
    if len(heads) + len(late) > 1 or late:
        yield "two-animation-headers"
    if heads and all(each.kind != b"fcTL" for each in before):
        yield "default-image-apart"


def _frames_are_whole(content: bytes, after: list[PngChunk]) -> bool:
    """Whether each frame after the first picture can be unpacked, as far as that is tried."""
    left = _MOST_FRAMES_UNPACKED
    unpacked: zlib._Decompress | None = None
    for chunk in after:
        if chunk.kind in (b"fcTL", b"IEND"):
            if unpacked is not None and not unpacked.eof:
                return False
            unpacked = zlib.decompressobj() if chunk.kind == b"fcTL" else None
        elif chunk.kind == b"fdAT" and unpacked is not None:
            packed = content[chunk.start + 4 : chunk.end]
            while packed:
                try:
                    left -= max(1, len(unpacked.decompress(packed, _AT_ONCE)))
                except zlib.error:
                    return False
                packed = unpacked.unconsumed_tail
                if left <= 0:
                    return True
    return True
