"""Untrusted files -> pixels, in processes of their own that can be killed.

A file that crashes the decoder, or hangs in it, costs itself alone: its process goes, and the next
image gets a fresh one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Self

from moderation.errors import DecodingFailed, TransientError
from moderation.images.decode.child import Limits
from moderation.images.decode.process import DecoderDied, DecoderProcess, DecoderTooSlow
from moderation.images.pixels import Pixels, Preprocessing
from moderation.messages.queues import FairQueue, QueueName

#: A process may die of something that was not the image's fault, so it is tried in another.
_TRIES = 2


class DecoderPool:
    """Decodes images of many threads in a few processes; a process starts when first needed."""

    def __init__(
        self, processes: int, limits: Limits, *, on_end: Callable[[], None] | None = None
    ) -> None:
        """Prepares that many processes.

        Args:
            processes: images that are decoded at the same time; best as many as cores.
            limits: of one image.
            on_end: called each time that an image ends a process.
        """
        self._on_end = on_end or _tell_nobody
        self._decoders = [DecoderProcess(limits) for _ in range(processes)]
        self.limits = limits
        self._free = list(self._decoders)
        self._waiting: FairQueue[Future[DecoderProcess]] = FairQueue()
        self._changed = threading.Condition()
        self._closed = False

    def start(self) -> None:
        """Starts all processes now; `wait_until_ready` tells whether they do."""
        for decoder in self._decoders:
            decoder.start()

    def wait_until_ready(self) -> None:
        """Returns when all processes that were started can decode.

        Raises:
            TransientError: one does not start.
        """
        for decoder in self._decoders:
            decoder.wait_until_ready()

    def squares(
        self,
        content: bytes,
        ways: Sequence[Preprocessing],
        queue: QueueName = "interactive",
        *,
        frames: int | None = None,
    ) -> list[Pixels]:
        """Returns (f, h, w, 3) pixels for each way to preprocess; f is 1 for a still image.

        Args:
            content: the file.
            ways: how the encoders want it.
            queue: whose turn it is, where others wait.
            frames: frames of an animation, at most; None takes the limit.

        Raises:
            ImageError: the image is refused.
            DecodingFailed: it takes too long, or ends the decoder.
            TransientError: no decoder starts, or the pool is closed.
        """
        with self._lent(queue) as decoder:
            for _ in range(_TRIES):
                try:
                    return decoder.squares(content, list(ways), frames or self.limits.frames)
                except DecoderDied:
                    if self._closed:
                        raise _stopping() from None
                    self._on_end()
                except DecoderTooSlow:
                    self._on_end()
                    raise DecodingFailed(
                        f"decoding it took longer than {self.limits.seconds:g} s",
                        "image",
                        "Send a smaller image, or raise MODERATION_DECODE_TIMEOUT_SECONDS",
                    ) from None
        raise DecodingFailed("decoding it crashes the decoder", "image", "Send a whole image file")

    @contextmanager
    def _lent(self, queue: QueueName) -> Iterator[DecoderProcess]:
        """Lends a process, once it is this caller's turn."""
        turn: Future[DecoderProcess] = Future()
        with self._changed:
            if self._closed:
                raise _stopping()
            if self._free:
                turn.set_result(self._free.pop())
            else:
                self._waiting.put(turn, queue)
        try:
            yield turn.result()
        finally:
            with self._changed:
                if not turn.cancel():  # it can be where Ctrl-C ended the waiting
                    self._hand_on(turn.result())

    def _hand_on(self, decoder: DecoderProcess) -> None:
        """Gives a process to whose turn it is; the lock is held."""
        while self._waiting:
            turn = self._waiting.take()
            if turn.set_running_or_notify_cancel():
                turn.set_result(decoder)
                return
        self._free.append(decoder)
        self._changed.notify_all()

    def close(self) -> None:
        """Finishes the images that were asked for, each within its time, and ends the processes.

        Images that are asked for later are refused.
        """
        with self._changed:
            self._closed = True
            rounds = 1 + math.ceil(len(self._waiting) / len(self._decoders))
            # Each image is given up in time by whoever asked for it; this is for who never does.
            all_free = self._changed.wait_for(
                lambda: len(self._free) == len(self._decoders),
                timeout=rounds * _TRIES * self._decoders[0].longest_seconds,
            )
        for decoder in self._decoders:
            if all_free:
                decoder.end()
            else:  # whoever has it borrowed closes its socket
                decoder.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tell_nobody() -> None:
    """Does nothing."""


def _stopping() -> TransientError:
    return TransientError("the worker is stopping", "decoders", "Send the request again")
