"""Untrusted files -> pixels, in processes of their own that can be killed.

A file that crashes the decoder, or hangs in it, costs itself alone: its process goes, and the next
image gets a fresh one. Threads could do neither, and a pool of Celery's would hold the model once
a process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Self

import numpy as np

from moderation.decoder import Limits, pack_ways
from moderation.errors import ImageError
from moderation.image import Pixels, Preprocessing
from moderation.lanes import Lane, Lanes

#: A process may die of something that was not the image's fault, so it is tried in another.
_TRIES = 2
#: The decoder's own alarm goes first; this much later it is killed.
_GRACE_SECONDS = 1.0
_HEADER_BYTES = 65_536


class _Died(Exception):
    """The decoder is gone, or makes no sense."""


class _TooSlow(Exception):
    """The decoder took longer than an image may."""


class DecoderPool:
    """Decodes images of many threads in a few processes; a process starts when first needed."""

    def __init__(self, processes: int, limits: Limits) -> None:
        """Prepares that many processes.

        Args:
            processes: images that are decoded at the same time; best as many as cores.
            limits: of one image.
        """
        self._decoders = [_Decoder(limits) for _ in range(processes)]
        self._limits = limits
        self._free = list(self._decoders)
        self._waiting: Lanes[Future[_Decoder]] = Lanes()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts all processes now, so that the first images find them ready."""
        for decoder in self._decoders:
            decoder.start()

    def squares(
        self, content: bytes, ways: Sequence[Preprocessing], lane: Lane = "interactive"
    ) -> list[Pixels]:
        """Returns (f, h, w, 3) pixels for each way to preprocess; f is 1 for a still image.

        Raises:
            ImageError: the image is refused, takes too long, or ends the decoder.
        """
        with self._decoder(lane) as decoder:
            for _ in range(_TRIES):
                try:
                    return decoder.squares(content, list(ways))
                except _Died:
                    continue
                except _TooSlow:
                    raise ImageError(
                        f"decoding it took longer than {self._limits.seconds:g} s",
                        "image",
                        "Send a smaller image, or raise MODERATION_DECODE_TIMEOUT_SECONDS",
                    ) from None
        raise ImageError("decoding it crashes the decoder", "image", "Send a whole image file")

    @contextmanager
    def _decoder(self, lane: Lane) -> Iterator[_Decoder]:
        """Lends a process, once it is this caller's turn."""
        turn: Future[_Decoder] = Future()
        with self._lock:
            if self._free:
                turn.set_result(self._free.pop())
            else:
                self._waiting.put(turn, lane)
        decoder = turn.result()
        try:
            yield decoder
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.take().set_result(decoder)
                else:
                    self._free.append(decoder)

    def close(self) -> None:
        """Ends the processes."""
        for decoder in self._decoders:
            decoder.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Decoder:
    """One process, and the socket to it; starts again after it has ended."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        """Starts the process, unless it runs."""
        if self._connection is not None:
            return
        ours, theirs = socket.socketpair()
        _set_timeout(ours, self._limits.seconds + _GRACE_SECONDS)
        with theirs:
            arguments = [str(theirs.fileno()), *map(str, self._limits)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moderation.decoder", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # It computes on one core; else numpy's library would start threads for matrices.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
            )
        self._connection = Connection(ours.detach())

    def squares(self, content: bytes, ways: list[Preprocessing]) -> list[Pixels]:
        """Returns what the process answers.

        Raises:
            ImageError: its answer. _Died, _TooSlow: it had to be ended.
        """
        self.start()
        assert self._connection is not None
        try:
            return self._ask(self._connection, content, ways)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            timed_out = isinstance(error, BlockingIOError) or self._alarm_rang()
            self.end()
            raise (_TooSlow() if timed_out else _Died()) from error
        except BaseException:
            self.end()
            raise

    def _ask(
        self, connection: Connection, content: bytes, ways: list[Preprocessing]
    ) -> list[Pixels]:
        connection.send_bytes(pack_ways(ways))
        connection.send_bytes(content)
        header = json.loads(connection.recv_bytes(_HEADER_BYTES))
        if "error" in header:
            what, where, remedy = header["error"]
            raise ImageError(str(what), str(where), str(remedy))
        return [_pixels(connection, header["frames"], way) for way in ways]

    def _alarm_rang(self) -> bool:
        """Whether its own alarm ended the process, of which the socket is closed."""
        assert self._process is not None
        try:
            return self._process.wait(_GRACE_SECONDS) == -signal.SIGALRM
        except subprocess.TimeoutExpired:
            return False

    def end(self) -> None:
        """Kills the process, if there is one."""
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


def _set_timeout(ours: socket.socket, seconds: float) -> None:
    """Lets reading and writing fail after that time, also where the other side has stopped."""
    whole = int(seconds)
    timeval = struct.pack("ll", whole, int((seconds - whole) * 1e6))
    for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        ours.setsockopt(socket.SOL_SOCKET, direction, timeval)


def _pixels(connection: Connection, frames: int, way: Preprocessing) -> Pixels:
    """Returns the (f, h, w, 3) pixels that come next; ValueError unless they fill that shape."""
    shape = (frames, *way.crop, 3)
    return np.frombuffer(connection.recv_bytes(int(np.prod(shape))), np.uint8).reshape(shape)
