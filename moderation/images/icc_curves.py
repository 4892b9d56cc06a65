"""Curves of an ICC profile as bytes -> what they do to values, as browsers read them.

Imports only numpy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Curve = Callable[[Floats], Floats]

#: How many numbers each type of parametric curve has, and what they are: g, a, b, c, d, e, f.
_PARAMETERS = ("g", "gab", "gabc", "gabcd", "gabcdef")


def curve_levels(curve: Curve) -> Floats:
    """Returns what a curve makes of each 8-bit value."""
    return curve(np.linspace(0, 1, 256, dtype=np.float32))


def parametric_curve(g: float, **others: float) -> Curve:
    """Returns the curve (a x + b)^g + e from d on, and c x + f below it.

    Raises:
        ValueError: browsers refuse its numbers.
    """
    a, b, c, d, e, f = (others.get(name, float(name == "a")) for name in "abcdef")
    if min(a, c, d, g) < 0 or a * d + b < 0:
        raise ValueError("a curve turns back")

    def value(x: Floats) -> Floats:
        size = abs(x)
        with np.errstate(over="ignore", invalid="ignore"):
            high = np.maximum(a * size + b, 0) ** np.float32(g) + e
        found = np.where(size < d, c * size + f, high) * np.sign(x + (x == 0))
        return np.asarray(np.nan_to_num(found, nan=0, posinf=1e4, neginf=-1e4), np.float32)

    return value


def fixed_numbers(data: bytes, at: int, count: int) -> Floats:
    """Returns numbers with 16 bits after the point."""
    numbers = struct.unpack_from(f">{count}i", data, at)
    return np.array([number / 65536 for number in numbers], np.float32)


def curve_at(data: bytes, at: int = 0) -> tuple[Curve, int]:
    """Returns the curve at an offset and where the next one begins."""
    kind, [count] = data[at : at + 4], struct.unpack_from(">I", data, at + 8)
    if kind == b"para":
        names = _PARAMETERS[count >> 16]
        numbers = [float(number) for number in fixed_numbers(data, at + 12, len(names))]
        given = dict(zip(names, numbers, strict=True))
        if names == "gab" and given["a"]:
            given["d"] = -given["b"] / given["a"]
        if names == "gabc":
            given |= {"d": -given["b"] / given["a"], "e": given["c"], "f": given["c"], "c": 0.0}
        return parametric_curve(**given), at + 12 + 4 * len(names)
    if kind != b"curv" or at + 12 + 2 * count > len(data):
        raise ValueError("not a curve")
    end = at + 12 + (2 * count + 3) // 4 * 4
    if count <= 1:
        exponent = struct.unpack_from(">H", data, at + 12)[0] / 256 if count else 1.0
        return parametric_curve(exponent), end
    return sampled_curve(values_at(data, at + 12, count, 2)), end


def sampled_curve(values: Floats) -> Curve:
    """Returns the curve through values that lie at the same distance from 0 to 1."""
    last = len(values) - 1
    rises = np.append(np.diff(values), np.float32(0))

    def value(x: Floats) -> Floats:
        place = np.fmin(np.fmax(x, 0), 1) * np.float32(last)  # NaN becomes 0
        below = place.astype(np.intp)
        return np.asarray(
            np.take(values, below) + (place - below) * np.take(rises, below), np.float32
        )

    return value


def values_at(data: bytes, at: int, count: int, width: int) -> Floats:
    """Returns so many numbers of 0 to 1, stored in one byte each or in two."""
    found = np.frombuffer(data, ">u1" if width == 1 else ">u2", count, at)
    return np.asarray(found / (256**width - 1), np.float32)


def curves_at(data: bytes, at: int, count: int) -> list[Curve]:
    """Returns so many curves that stand one after the other."""
    found: list[Any] = []
    for _ in range(count):
        curve, at = curve_at(data, at)
        found.append(curve)
    return found
