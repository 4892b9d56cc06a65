"""HEIC files with properties as one wishes, around what `heif-enc` codes."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from moderation.images.box_items import places
from moderation.images.boxes import boxes, first_box, meta_boxes


def box(kind: bytes, *data: bytes) -> bytes:
    """Returns a box."""
    content = b"".join(data)
    return struct.pack(">I", 8 + len(content)) + kind + content


def _full_box(kind: bytes, *data: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *data)


def nclx(primaries: int, transfer: int, matrix: int, *, full: bool) -> bytes:
    """Returns the property that states codes of H.273."""
    codes = struct.pack(">3HB", primaries, transfer, matrix, 128 * full)
    return box(b"colr", b"nclx", codes)


def profile(icc: bytes) -> bytes:
    """Returns the property that has a profile."""
    return box(b"colr", b"prof", icc)


def turn(quarters: int) -> bytes:
    """Returns the property that turns a picture against the clock."""
    return box(b"irot", bytes([quarters]))


def mirror(axis: int) -> bytes:
    """Returns the property that mirrors a picture."""
    return box(b"imir", bytes([axis]))


def crop(width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """Returns the property that shows a part of a picture, so far from its middle."""
    return box(b"clap", struct.pack(">4IiIiI", width, 1, height, 1, right, 1, down, 1))


def coded(image: Image.Image, folder: Path) -> tuple[bytes, bytes]:
    """Returns the hvcC box and the data of an image that heif-enc codes without subsampling."""
    source, made = folder / "source.png", folder / "made.heic"
    image.save(source)
    command = ["heif-enc", "-q", "95", "-p", "chroma=444", str(source), "-o", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    content = made.read_bytes()
    of = meta_boxes(content)
    ipco = first_box(content, b"ipco", within=of[b"iprp"])
    assert ipco is not None
    hvcc = next(each for each in boxes(content, ipco.start, ipco.end) if each.kind == b"hvcC")
    _, start, length = next(places(content, of))
    return box(b"hvcC", content[hvcc.start : hvcc.end]), content[start : start + length]


def heic(
    tiles: Sequence[tuple[bytes, bytes]],
    size: tuple[int, int],
    *properties: bytes,
    columns: int = 1,
) -> bytes:
    """Returns a HEIC of tiles of one size, in rows of so many columns, with properties.

    Args:
        tiles: what `coded` returns. One alone is the picture; more are a grid.
        size: of a tile.
        properties: of the picture.
        columns: of the grid.
    """
    rows = len(tiles) // columns
    whole = (size[0] * columns, size[1] * rows)
    count, is_grid = len(tiles), len(tiles) > 1
    sizes = [_full_box(b"ispe", struct.pack(">II", *each)) for each in (size, whole)]
    known = [*(head for head, _ in tiles), *sizes, *properties]
    of_whole = [count + 2, *range(count + 3, len(known) + 1)]
    owned = [[at, count + 1] for at in range(1, count + 1)]
    pieces = [data for _, data in tiles]
    if is_grid:
        owned.append(of_whole)
        pieces.append(struct.pack(">4BHH", 0, 0, rows - 1, columns - 1, *whole))
    else:
        owned = [[1, *of_whole]]
    described = [
        _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", struct.pack(">H", len(pieces))),
        _items(len(pieces), is_grid),
        box(b"iprp", box(b"ipco", *known), _owners(owned)),
        _tiles_of(count) if is_grid else b"",
    ]
    kind = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    at = len(kind) + len(_full_box(b"meta", *described, _places(pieces, 0))) + 8
    return kind + _full_box(b"meta", *described, _places(pieces, at)) + box(b"mdat", *pieces)


def _items(count: int, is_grid: bool) -> bytes:
    """Returns the list of the items; the last one is the picture, and those of its grid hidden."""
    kinds = [b"hvc1"] * count
    if is_grid:
        kinds[-1] = b"grid"
    entries = [
        _full_box(b"infe", struct.pack(">HH", at, 0), kind, b"\0", version=2, flags=int(at < count))
        for at, kind in enumerate(kinds, 1)
    ]
    return _full_box(b"iinf", struct.pack(">H", count), *entries)


def _owners(owned: list[list[int]]) -> bytes:
    """Returns which properties each item has, all of them essential."""
    entries = [
        struct.pack(">HB", at, len(each)) + bytes(128 | number for number in each)
        for at, each in enumerate(owned, 1)
    ]
    return _full_box(b"ipma", struct.pack(">I", len(owned)), *entries)


def _tiles_of(count: int) -> bytes:
    parts = struct.pack(f">HH{count}H", count + 1, count, *range(1, count + 1))
    return _full_box(b"iref", box(b"dimg", parts))


def _places(pieces: list[bytes], at: int) -> bytes:
    """Returns where the data of each item lie, if the first ones begin there."""
    extents = b""
    for number, piece in enumerate(pieces, 1):
        extents += struct.pack(">HHHII", number, 0, 1, at, len(piece))
        at += len(piece)
    return _full_box(b"iloc", b"\x44\0", struct.pack(">H", len(pieces)), extents)
