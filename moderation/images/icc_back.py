"""The table of an ICC profile that leads back to its own colours, for those who write files.

Browsers do not use it, but ignore a profile in which it is broken.
"""

from __future__ import annotations

import struct

from moderation.images.icc_curves import curves_at, fixed_numbers, values_at

_OLD = {b"mft1": 1, b"mft2": 2}


def check_way_back(data: bytes) -> None:
    """Looks whether a table from three values of XYZ or Lab to three or four colours is whole.

    Raises:
        ValueError, KeyError, IndexError, struct.error: it is not.
    """
    kind, given, made = data[:4], data[8], data[9]
    if given != 3 or made not in (3, 4):
        raise ValueError("a table for other channels")
    if kind == b"mBA ":
        _check_new_table(data, made)
        return
    width = _OLD[kind]
    first, last = (256, 256) if width == 1 else struct.unpack_from(">HH", data, 48)
    steps = data[10]
    if min(first, last, steps) < 2 or max(first, last) > 4096:
        raise ValueError("a table of no size")
    values_at(data, 48 if width == 1 else 52, 3 * first + made * steps**3 + made * last, width)


def _check_new_table(data: bytes, made: int) -> None:
    at_first, at_matrix, at_middle, at_grid, at_last = struct.unpack_from(">5I", data, 12)
    has_grid = bool(at_grid)
    if not at_first or bool(at_matrix) != bool(at_middle) or has_grid != bool(at_last):
        raise ValueError("parts are missing")
    curves_at(data, at_first, 3)
    if at_matrix:
        curves_at(data, at_middle, 3)
        fixed_numbers(data, at_matrix, 12)
    if has_grid:
        curves_at(data, at_last, made)
        steps, width = data[at_grid : at_grid + 3], data[at_grid + 16]
        if min(steps) < 2 or width not in (1, 2):
            raise ValueError("a table of no size")
        values_at(data, at_grid + 20, made * steps[0] * steps[1] * steps[2], width)
    elif made != 3:
        raise ValueError("parts are missing")
