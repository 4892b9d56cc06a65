"""The head of AV1 data (AV1 bitstream specification, 5.5): what a picture's size and colours are.

Imports the standard library alone.
"""

from __future__ import annotations

from typing import NamedTuple

#: The kind of a unit of data that holds the head, and units that are looked at.
_SEQUENCE_HEADER, _MOST_UNITS = 1, 10
_SRGB = (1, 13, 0)
_UNSPECIFIED = (2, 2, 2)


class Av1Head(NamedTuple):
    """What the head says.

    Attributes:
        size: (width, height) that no picture exceeds.
        codes: primaries, transfer and matrix by ITU-T H.273.
        is_full_range: whether black is 0 and not 16.
    """

    size: tuple[int, int]
    codes: tuple[int, int, int]
    is_full_range: bool


class _Bits:
    """The bits of some bytes, one number after the other."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def __call__(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the head of AV1 data ends too early")
        return self._value >> self._left & (1 << count) - 1


def av1_head(data: bytes) -> Av1Head:
    """Returns the head that data begin with.

    Raises:
        ValueError, IndexError: there is none, or it is damaged.
    """
    at = 0
    for _ in range(_MOST_UNITS):
        first, at = data[at], at + 1
        at += first >> 2 & 1
        length = len(data) - at
        if first & 2:
            length, at = _length(data, at)
        if first >> 3 & 15 == _SEQUENCE_HEADER:
            return _head(_Bits(data[at : at + length]))
        at += length
    raise ValueError("AV1 data without a head")


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Returns a number of 7 bits a byte, the lower ones first, and where it ends."""
    value = 0
    for place in range(8):
        value |= (data[at + place] & 127) << 7 * place
        if data[at + place] < 128:
            return value, at + place + 1
    raise ValueError("a length without end")


def _head(bits: _Bits) -> Av1Head:
    profile = bits(3)
    bits(1)
    is_reduced = bits(1)
    if is_reduced:
        bits(5)
    else:
        _pass_over_operating_points(bits)
    wide, high = bits(4) + 1, bits(4) + 1
    size = (bits(wide) + 1, bits(high) + 1)
    if not is_reduced and bits(1):
        bits(7)
    bits(3)
    if not is_reduced:
        _pass_over_tools(bits)
    bits(3)
    return Av1Head(size, *_colours(bits, profile))


def _pass_over_operating_points(bits: _Bits) -> None:
    if bits(1):
        raise ValueError("timing, which still pictures and their like do not have")
    bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)


def _pass_over_tools(bits: _Bits) -> None:
    bits(4)
    has_order = bits(1)
    if has_order:
        bits(2)
    forced = 2 if bits(1) else bits(1)
    if forced and not bits(1):
        bits(1)
    if has_order:
        bits(3)


def _colours(bits: _Bits, profile: int) -> tuple[tuple[int, int, int], bool]:
    if bits(1) and profile == 2:
        bits(1)
    is_grey = profile != 1 and bits(1)
    codes = (bits(8), bits(8), bits(8)) if bits(1) else _UNSPECIFIED
    return codes, bool(codes == _SRGB and not is_grey) or bool(bits(1))
