"""Does an ONNX file take weights from outside of itself? Read from its bytes alone.

A tensor can name another file, by any path, or an address in the memory of the process that loads
it. Neither is part of the file's hash, so such a file is refused. An ONNX file is a message of
Protocol Buffers: https://protobuf.dev/programming-guides/encoding, and onnx.proto for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: For each kind of message that can hold a tensor at some depth, its fields that lead there.
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
#: Fields of a tensor: where its numbers are, and whether they are there.
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

#: A field's number and wire type are less, together.
_TOO_LARGE = 1 << 32

#: Wire types.
_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Field(NamedTuple):
    number: int
    value: int | memoryview


def has_outside_data(content: bytes) -> bool:
    """Returns whether a tensor of an ONNX file has its numbers elsewhere.

    Raises:
        ValueError: it is not an ONNX file.
    """
    waiting = [("model", memoryview(content))]
    graphs = 0
    while waiting:
        kind, message = waiting.pop()
        graphs += kind == "graph"
        for number, value in _message_fields(message):
            if kind == "tensor" and number == _EXTERNAL_DATA:
                return True
            if kind == "tensor" and number == _DATA_LOCATION and value != 0:
                return True
            inner = _INNER[kind].get(number)
            if inner and isinstance(value, memoryview):
                waiting.append((inner, value))
    if not graphs:
        raise ValueError("it has no graph")
    return False


def _message_fields(message: memoryview) -> Iterator[_Field]:
    """Yields the fields of a message."""
    at = 0
    while at < len(message):
        tag, at = _read_number(message, at)
        if tag >= _TOO_LARGE:  # parsers drop the bits above, and would read another field
            raise ValueError("it has a field of too large a number")
        kind = tag & 7
        if kind == _NUMBER:
            value, at = _read_number(message, at)
            yield _Field(tag >> 3, value)
            continue
        if kind == _BYTES:
            size, at = _read_number(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"it has a field of type {kind}")
        if size > len(message) - at:
            raise ValueError("it is cut off")
        yield _Field(tag >> 3, message[at : at + size])
        at += size


def _read_number(message: memoryview, at: int) -> tuple[int, int]:
    """Returns the number of variable length at a place, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it is cut off")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("it has a number that is too long")
