"""An ICC profile as bytes -> what it does to colours, as browsers read it.

Browsers take few parts of a profile: the table A2B0, or A2B1, or else curves and a matrix. They
ignore the intent, the class, programs (D2B) and black points, and interpolate linearly in tables.
LittleCMS reads profiles in other ways, and a file can show one picture by each of them.

Imports only numpy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from moderation.images.icc_back import check_way_back
from moderation.images.icc_curves import (
    Curve,
    Floats,
    curve_at,
    curve_levels,
    curves_at,
    fixed_numbers,
    parametric_curve,
    sampled_curve,
    values_at,
)

#: XYZ of the white that profiles are relative to.
D50 = (0.9642, 1.0, 0.8249)

#: XYZ of sRGB's red, green and blue in columns, adapted to D50 (IEC 61966-2-1, ICC's numbers).
SRGB_TO_XYZ = np.array(
    [[0.436065, 0.385147, 0.143066], [0.222488, 0.716873, 0.060608], [0.013916, 0.097076, 0.714096]]
)

#: Bytes of a profile that is kept once read: a camera or phone writes the same into each picture.
_SHORT = 10_000

_HEADER, _ENTRY = struct.Struct(">I4xI4x4s4s12x4s28x3i48xI"), struct.Struct(">4sII")
_CODES = b"cicp"
_CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}


@dataclass(frozen=True, eq=False)
class Profile:
    """What leads from 8-bit values of a colour space to XYZ, relative to D50.

    Two of the same numbers are not equal, so that one can be a key of a cache.

    Attributes:
        levels: (channels, 256) what the first curves make of each value.
        grid: a table of 3 values for each combination of levels, or None.
        middle: curves of 3 channels, applied before the matrix.
        matrix: (3, 4), the last column being added.
        last: curves of 3 channels, applied after the matrix.
        is_lab: whether the result is Lab, and not XYZ.
        space: ICC's name of the colour space.
    """

    levels: Floats
    matrix: Floats
    grid: Floats | None = None
    middle: tuple[Curve, ...] = ()
    last: tuple[Curve, ...] = ()
    is_lab: bool = False
    space: bytes = b"RGB "

    @property
    def has_tables(self) -> bool:
        """Whether there is more to it than a curve for each channel and a matrix."""
        return self.grid is not None or bool(self.middle or self.last)


def read_profile(content: bytes) -> Profile | None:
    """Returns what a profile does; None where browsers would find it broken, and ignore it."""
    return _read_often(content) if len(content) <= _SHORT else _read(content)


@lru_cache(maxsize=16)
def _read_often(content: bytes) -> Profile | None:
    return _read(content)


def _read(content: bytes) -> Profile | None:
    try:
        tags, space, is_lab = _tags(content)
        if table := tags.get(b"A2B0") or tags.get(b"A2B1"):
            profile = _table(table, _CHANNELS.get(space, 3), is_lab)
        else:
            profile = _curves_and_matrix(tags, space, is_lab)
        _check_rest(tags)
        return replace(profile, space=space)
    except (ValueError, ArithmeticError, KeyError, IndexError, struct.error):
        return None


def profile_codes(content: bytes) -> tuple[int, ...] | None:
    """Returns the four numbers of ITU-T H.273 that a profile states beside the rest, if it does."""
    try:
        tags, _, _ = _tags(content)
    except (ValueError, KeyError, struct.error):
        return None
    return tuple(tags[_CODES][8:12]) if _CODES in tags else None


def _tags(content: bytes) -> tuple[dict[bytes, bytes], bytes, bool]:
    """Returns the first tag of each name, the colour space, and whether colours become Lab."""
    size, version, space, target, magic, *white, count = _HEADER.unpack_from(content)
    start = _HEADER.size + _ENTRY.size * count
    is_d50 = all(abs(v / 65536 - w) <= 0.01 for v, w in zip(white, D50, strict=True))
    known = magic == b"acsp" and version >> 24 <= 4 and target in (b"XYZ ", b"Lab ")
    if not known or not is_d50 or not start <= size <= len(content):
        raise ValueError("not a profile")
    tags: dict[bytes, bytes] = {}
    for name, at, length in _ENTRY.iter_unpack(content[_HEADER.size : start]):
        if at < start or length < 4 or at + length > size:
            raise ValueError("a tag lies outside")
        tags.setdefault(name, content[at : at + length])
    return tags, space, target == b"Lab "


def _check_rest(tags: dict[bytes, bytes]) -> None:
    """Looks at what browsers do not use of a profile and ignore it for, where it is broken."""
    if back := tags.get(b"B2A0") or tags.get(b"B2A1"):
        check_way_back(back)
    codes = tags.get(_CODES, _CODES + bytes(8))
    if not codes.startswith(_CODES) or len(codes) < 12:
        raise ValueError("broken codes")


def _curves_and_matrix(tags: dict[bytes, bytes], space: bytes, is_lab: bool) -> Profile:
    if is_lab or space == b"CMYK":
        raise ValueError("it needs a table")
    matrix = np.zeros((3, 4), np.float32)
    if b"kTRC" in tags and space == b"GRAY":
        levels = curve_levels(curve_at(tags[b"kTRC"])[0])
        matrix[:, :3] = np.diag(D50)
        return Profile(np.stack([levels] * _CHANNELS.get(space, 3)), matrix)
    channels = b"rgb"
    curves = [curve_at(tags[bytes([name]) + b"TRC"])[0] for name in channels]
    for column, name in enumerate(channels):
        matrix[:, column] = fixed_numbers(tags[bytes([name]) + b"XYZ"], 8, 3)
    return Profile(np.stack([curve_levels(curve) for curve in curves]), matrix)


def _table(data: bytes, channels: int, is_lab: bool) -> Profile:
    kind, given, made = data[:4], data[8], data[9]
    if given != channels or made != 3:
        raise ValueError("a table for other channels")
    if kind == b"mAB ":
        return _table_of_version_4(data, channels, is_lab)
    width = {b"mft1": 1, b"mft2": 2}[kind]
    first, last = (256, 256) if width == 1 else struct.unpack_from(">HH", data, 48)
    at, steps = 48 if width == 1 else 52, data[10]
    if min(first, last, steps) < 2 or max(first, last) > 4096:
        raise ValueError("a table of no size")
    places = [at + width * sum(parts) for parts in _lengths(first, steps, channels)]
    starts = [
        sampled_curve(values_at(data, at + width * first * n, first, width))
        for n in range(channels)
    ]
    grid = values_at(data, places[0], 3 * steps**channels, width)
    ends = [
        sampled_curve(values_at(data, places[1] + width * last * n, last, width)) for n in range(3)
    ]
    return Profile(
        np.stack([curve_levels(curve) for curve in starts]),
        np.eye(3, 4, dtype=np.float32),
        grid.reshape(*[steps] * channels, 3),
        tuple(ends),
        is_lab=is_lab,
    )


def _lengths(first: int, steps: int, channels: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (first * channels,), (first * channels, 3 * steps**channels)


def _table_of_version_4(data: bytes, channels: int, is_lab: bool) -> Profile:
    at_last, at_matrix, at_middle, at_grid, at_first = struct.unpack_from(">5I", data, 12)
    if not at_last or bool(at_matrix) != bool(at_middle) or bool(at_grid) != bool(at_first):
        raise ValueError("parts are missing")
    scale = 1.0 if is_lab else 65535 / 32768
    matrix, grid = np.eye(3, 4, dtype=np.float32), None
    if at_matrix:
        numbers = fixed_numbers(data, at_matrix, 12)
        matrix = np.column_stack([numbers[:9].reshape(3, 3), numbers[9:]]) * np.float32(scale)
    if at_grid:
        steps = tuple(data[at_grid : at_grid + channels])
        if min(steps) < 2 or data[at_grid + 16] not in (1, 2):
            raise ValueError("a table of no size")
        total = 3 * int(np.prod(steps, dtype=object))
        grid = values_at(data, at_grid + 20, total, data[at_grid + 16]).reshape(*steps, 3)
    elif channels != 3:
        raise ValueError("parts are missing")
    starts = curves_at(data, at_first, channels) if at_grid else [parametric_curve(1.0)] * channels
    middle = tuple(curves_at(data, at_middle, 3)) if at_middle else ()
    levels = np.stack([curve_levels(curve) for curve in starts])
    return Profile(levels, matrix, grid, middle, tuple(curves_at(data, at_last, 3)), is_lab)
