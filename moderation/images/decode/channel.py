"""What a decoder and its owner say to each other, and an encoder process and a line.

It is a number, a header of JSON, and a body of bytes. Each says all of it at once, so that an image
costs few system calls.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: The number, and how long the header and the body are.
_START = struct.Struct("!QQQ")


class Said(NamedTuple):
    """What one side said."""

    number: int
    header: str
    body: npt.NDArray[np.uint8]


def send(
    channel: socket.socket, number: int, header: bytes, body: bytes | memoryview = b""
) -> None:
    """Says something to the other side; the body is bytes, or a memoryview of them."""
    parts = (_START.pack(number, len(header), len(body)), header, body)
    sent = channel.sendmsg(parts)
    for part in parts:  # what does not fit into the socket's memory
        if sent < len(part):
            channel.sendall(memoryview(part)[sent:])
        sent = max(0, sent - len(part))


def receive(
    channel: socket.socket,
    deadline: float | None = None,
    *,
    most_header: float = math.inf,
    most_body: float = math.inf,
) -> Said:
    """Returns what the other side says next.

    Args:
        channel: where it comes from.
        deadline: monotonic time by which all of it must have come; None waits for ever.
        most_header: how long its header may be, in bytes.
        most_body: how long its body may be.

    Raises:
        EOFError: the other side has closed the socket. TimeoutError: the deadline has passed.
        ValueError: it is longer, or its header is not text.
    """
    start = bytearray(_START.size)
    _fill(channel, [memoryview(start)], deadline)
    number, header_length, body_length = _START.unpack(start)
    if header_length > most_header or body_length > most_body:
        raise ValueError(f"a message of {header_length} and {body_length} bytes")
    header, body = bytearray(header_length), np.empty(body_length, np.uint8)
    _fill(channel, [memoryview(header), body.data], deadline)
    return Said(number, header.decode(), body)


def _fill(channel: socket.socket, parts: list[memoryview], deadline: float | None) -> None:
    """Fills parts of what is said, of which one at least is not empty, with what comes next."""
    while parts:
        if deadline is not None:  # set for each piece: one who drips gets no longer
            channel.settimeout(max(1e-3, deadline - time.monotonic()))
        count = channel.recvmsg_into(parts)[0]
        if count == 0:
            raise EOFError
        while parts and count >= len(parts[0]):
            count -= len(parts.pop(0))
        if count:
            parts[0] = parts[0][count:]
