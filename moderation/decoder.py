"""The process that decodes: `python -m moderation.decoder N` answers on the socket at descriptor N.

It imports Pillow and numpy and no more, so it starts in a fifth of a second and stays small. What
it gets is untrusted, so what it says is taken as data: JSON and raw pixels, never pickle.

For each image it gets the ways to preprocess as JSON, then the file. It answers with a JSON header,
then with the pixels for each way; where the image is refused the header holds the error.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from moderation.errors import ImageError
from moderation.image import Pixels, Preprocessing, read_squares


class Limits(NamedTuple):
    """What decoding one image may cost.

    Attributes:
        max_pixels: width times height, at most.
        frames: frames of an animation that are looked at, at most.
        seconds: how long it may take; then the process ends.
    """

    max_pixels: int
    frames: int
    seconds: float


def pack_ways(ways: list[Preprocessing]) -> bytes:
    """Returns ways to preprocess as JSON; `_unpack_ways` is its inverse."""
    return json.dumps([asdict(way) for way in ways]).encode()


def _unpack_ways(packed: bytes) -> list[Preprocessing]:
    return [Preprocessing(**{name: _tuple(v) for name, v in w.items()}) for w in json.loads(packed)]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def serve(connection: Connection, limits: Limits) -> None:
    """Answers until the other side closes the connection."""
    while True:
        try:
            ways = _unpack_ways(connection.recv_bytes())
            content = connection.recv_bytes()
        except EOFError:
            return
        # The alarm ends the process even inside a C decoder that hangs, and even if nobody is left
        # to kill it.
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        header, squares = _read(content, ways, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(header).encode())
        for square in squares:
            connection.send_bytes(square.tobytes())


def _read(
    content: bytes, ways: list[Preprocessing], limits: Limits
) -> tuple[dict[str, Any], list[Pixels]]:
    try:
        squares = read_squares(content, ways, max_pixels=limits.max_pixels, frames=limits.frames)
    except ImageError as error:
        return {"error": [error.what, error.where, error.remedy]}, []
    return {"frames": len(squares[0])}, squares


def main() -> None:
    """Serves the socket whose number is the first argument, within the limits that follow."""
    descriptor, max_pixels, frames, seconds = sys.argv[1:]
    limits = Limits(int(max_pixels), int(frames), float(seconds))
    serve(Connection(int(descriptor)), limits)


if __name__ == "__main__":
    main()
