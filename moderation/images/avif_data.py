"""Where the coded data of an AVIF lie, and what they say of the picture that is shown.

Imports the standard library alone.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from moderation.images.av1 import Av1Head, av1_head
from moderation.images.box_items import items, places, references
from moderation.images.boxes import Box, boxes, first_box, has_track, meta_boxes, primary_item

#: Bytes of coded data in which their head is looked for.
_HEAD = 200
_PICTURE, _OPACITY = b"pict", b"auxv"


class AvifData(NamedTuple):
    """What is coded: the colours, the opacity if there is one, and whether they move.

    `is_multiplied`: the colours are multiplied by the opacity already. `is_grid`: the picture is
    put together of tiles, and what is coded is the first of them.
    """

    colours: Av1Head | None = None
    opacity: Av1Head | None = None
    is_moving: bool = False
    is_multiplied: bool = False
    is_grid: bool = False


def avif_data(content: bytes) -> AvifData:
    """Returns what the coded data of an AVIF say; nothing of what cannot be found."""
    try:
        return _of_tracks(content) if has_track(content) else _of_items(content)
    except (struct.error, IndexError):
        return AvifData()


def _of_items(content: bytes) -> AvifData:
    of = meta_boxes(content)
    if b"pitm" not in of or b"iloc" not in of:
        return AvifData()
    primary = primary_item(content, of[b"pitm"])
    kinds = {number: kind for number, kind, _ in items(content, of)}
    starts = {number: start for number, start, _ in places(content, of)}
    known = list(references(content, of))

    def head(item: int) -> Av1Head | None:
        if kinds.get(item) == b"grid":
            item = next(
                (to[0] for kind, number, to in known if (kind, number) == (b"dimg", item)), 0
            )
        return _head(content, starts.get(item))

    opacities = [number for kind, number, to in known if kind == b"auxl" and primary in to]
    is_multiplied = any(kind == b"prem" and number == primary for kind, number, _ in known)
    opacity = next(filter(None, map(head, opacities)), None)
    is_grid = kinds.get(primary) == b"grid"
    return AvifData(head(primary), opacity, False, is_multiplied, is_grid)


def _of_tracks(content: bytes) -> AvifData:
    heads: dict[bytes, Av1Head | None] = {}
    is_multiplied = False
    moov = first_box(content, b"moov")
    for track in boxes(content, moov.start, moov.end) if moov else ():
        handler = first_box(content, b"mdia", b"hdlr", within=track)
        table = first_box(content, b"mdia", b"minf", b"stbl", within=track)
        if track.kind != b"trak" or handler is None or table is None:
            continue
        kind = content[handler.start + 8 : handler.start + 12]
        heads.setdefault(kind, _head(content, _first_sample(content, table)))
        is_multiplied |= first_box(content, b"tref", b"prem", within=track) is not None
    return AvifData(heads.get(_PICTURE), heads.get(_OPACITY), True, is_multiplied)


def _first_sample(content: bytes, table: Box) -> int | None:
    for kind, number in ((b"stco", ">I"), (b"co64", ">Q")):
        if offsets := first_box(content, kind, within=table):
            return int(struct.unpack_from(number, content, offsets.start + 8)[0])
    return None


def _head(content: bytes, start: int | None) -> Av1Head | None:
    try:
        return None if start is None else av1_head(content[start : start + _HEAD])
    except (ValueError, IndexError):
        return None
