"""Oddities of an AVIF or HEIC: a file of boxes, which describe a picture by properties."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from moderation.images.avif_data import avif_data
from moderation.images.box_items import items, places, references
from moderation.images.boxes import (
    VERSION,
    Box,
    boxes,
    item_properties,
    primary_item,
    stated_codes,
)
from moderation.images.oddities.names import Oddity
from moderation.images.oddities.profile import HDR_TRANSFERS, profile_oddities
from moderation.images.oddities.tail import is_ordinary_tail
from moderation.images.orientation import exif_orientation, xmp_orientations

_PICTURES = (b"av01", b"hvc1", b"grid", b"iden", b"iovl")
#: Primaries and transfers that encoders write beside a profile without meaning to differ from it.
_PLAIN_PRIMARIES, _PLAIN_TRANSFERS = (1, 2, 12), (1, 2, 6, 13, 14, 15)
_UNSPECIFIED = 2
_LONGEST_NOTE = 1_000_000
#: Encoders round sizes up to whole blocks and cut what is too much, up to this many pixels.
_ROUNDED = 16
#: Turned by a quarter so many times against the clock, and mirrored, as an orientation of EXIF.
_TURNS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}


def boxed_oddities(content: bytes) -> Iterator[Oddity]:
    """Yields what is odd about an AVIF or HEIC, in any order and possibly more than once."""
    outer = list(boxes(content, 0, len(content)))
    if outer and not is_ordinary_tail(content[outer[-1].end :]):
        yield "trailing-data"
    metas = [each for each in outer if each.kind == b"meta"]
    if not metas:
        return
    try:
        yield from _meta_oddities(
            content, list(boxes(content, metas[0].start + VERSION, metas[0].end))
        )
    except (struct.error, IndexError):  # damaged, as the decoder will say
        return


def _meta_oddities(content: bytes, meta: list[Box]) -> Iterator[Oddity]:
    of = {each.kind: each for each in meta}
    if b"pitm" not in of or b"iprp" not in of:
        return
    primary = primary_item(content, of[b"pitm"])
    properties = list(item_properties(content, of[b"iprp"], primary))
    yield from _colour_oddities(content, properties)
    yield from _aperture_oddities(content, properties)
    yield from _data_oddities(content, properties)
    turn = _turn(content, properties)
    stated = {exif_orientation(each) or 1 for each in _notes(content, of, b"Exif")}
    stated |= set().union(*map(xmp_orientations, _notes(content, of, b"mime")))
    if stated - {1, turn}:
        yield "unread-orientation"
    if len(_shown_items(content, of) | {primary}) > 1:
        yield "several-pictures"


def _colour_oddities(content: bytes, properties: list[Box]) -> Iterator[Oddity]:
    colours = [content[each.start : each.end] for each in properties if each.kind == b"colr"]
    codes = [struct.unpack(">HH", each[4:8]) for each in colours if each.startswith(b"nclx")]
    profiles = [each[4:] for each in colours if each[:4] in (b"prof", b"rICC")]
    if any(code[1] in HDR_TRANSFERS for code in codes):
        yield "hdr"
    is_plain = all(p in _PLAIN_PRIMARIES and t in _PLAIN_TRANSFERS for p, t in codes)
    if len(profiles) > 1 or len(set(codes)) > 1 or (profiles and not is_plain):
        yield "two-profiles"
    for profile in profiles[:2]:
        yield from profile_oddities(profile, None)


def _aperture_oddities(content: bytes, properties: list[Box]) -> Iterator[Oddity]:
    sizes = [each for each in properties if each.kind == b"ispe"]
    for clap in (each for each in properties if each.kind == b"clap"):
        across, a, down, b = struct.unpack_from(">IIII", content, clap.start)
        for ispe in sizes:
            width, height = struct.unpack_from(">II", content, ispe.start + 4)
            if width - across / max(1, a) > _ROUNDED or height - down / max(1, b) > _ROUNDED:
                yield "clean-aperture"


def _data_oddities(content: bytes, properties: list[Box]) -> Iterator[Oddity]:
    """Yields where the coded data of an AVIF say otherwise than its boxes."""
    data = avif_data(content)
    coded = data.colours
    if coded is None:
        return
    sizes = {
        struct.unpack_from(">II", content, each.start + VERSION)
        for each in properties
        if each.kind == b"ispe"
    }
    if sizes - {coded.size} and not data.is_grid:
        yield "sizes-disagree"
    stated = stated_codes(content)
    pairs = zip(coded.codes, stated, strict=False) if stated else ()
    if any(own != given and _UNSPECIFIED not in (own, given) for own, given in pairs):
        yield "two-profiles"


def _turn(content: bytes, properties: list[Box]) -> int:
    turns = [content[each.start] & 3 for each in properties if each.kind == b"irot"]
    mirrors = [content[each.start] & 1 for each in properties if each.kind == b"imir"]
    return _TURNS[mirrors[0] if mirrors else None][turns[0] if turns else 0]


def _notes(content: bytes, of: dict[bytes, Box], kind: bytes) -> Iterator[bytes]:
    """Yields the data of the file's items of a kind; of EXIF data without their prefix."""
    wanted = {number for number, each, _ in items(content, of) if each == kind}
    if not wanted or b"iloc" not in of:
        return
    for number, start, length in places(content, of):
        if number in wanted:
            data = content[start : start + min(length, _LONGEST_NOTE)]
            if kind == b"Exif":
                data = data[4 + int.from_bytes(data[:4]) :].removeprefix(b"Exif\0\0")
            yield data


def _shown_items(content: bytes, of: dict[bytes, Box]) -> set[int]:
    """Returns the pictures that are not hidden, no part of another and no note to it."""
    found = items(content, of)
    shown = {number for number, kind, hidden in found if kind in _PICTURES and not hidden}
    for kind, origin, targets in references(content, of):
        if kind in (b"thmb", b"auxl"):
            shown.discard(origin)
        elif kind == b"dimg":
            shown -= set(targets)
    return shown
