"""Untrusted files -> pixels, in separate processes that can be killed.

A file that crashes the decoder, or hangs in it, harms no other: its process ends, and the next
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
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.process import DecoderDied, DecoderProcess, DecoderTooSlow
from moderation.images.looks import Sight
from moderation.images.pixels import Preprocessing
from moderation.images.rendition import RenditionForm
from moderation.messages.queues import FairQueue, QueueName

#: A process may die of something that is not the image's fault, so the image is tried in another.
_TRIES = 2


class DecoderPool:
    """Decodes the images of many threads in a few processes, each started when first needed."""

    def __init__(
        self, processes: int, limits: DecodeLimits, *, on_end: Callable[[], None] | None = None
    ) -> None:
        """Prepares that many processes.

        Args:
            processes: how many images are decoded at the same time; best one for each core.
            limits: for one image.
            on_end: called each time that an image ends a process.
        """
        self._on_end = on_end or (lambda: None)
        self._decoders = [DecoderProcess(limits) for _ in range(processes)]
        self.limits = limits
        self._free = list(self._decoders)
        self._waiting: FairQueue[Future[DecoderProcess]] = FairQueue()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def processes(self) -> int:
        """How many images are decoded at the same time."""
        return len(self._decoders)

    @property
    def is_busy(self) -> bool:
        """Whether an image is being decoded at this moment."""
        return len(self._free) < len(self._decoders)

    def start(self) -> None:
        """Starts all processes now; `wait_until_ready` waits until they have started."""
        for decoder in self._decoders:
            decoder.start()

    def wait_until_ready(self) -> None:
        """Returns when all processes that were started can decode.

        Raises:
            TransientError: a process does not start.
        """
        for decoder in self._decoders:
            decoder.wait_until_ready()

    def sights(
        self,
        content: bytes,
        ways: Sequence[Preprocessing],
        queue: QueueName = "interactive",
        *,
        form: RenditionForm | None = None,
    ) -> list[Sight]:
        """Returns what is seen of a file in each way to preprocess.

        Args:
            content: the file.
            ways: how the encoders want it.
            queue: the one that the image came by, which decides whose turn it is.
            form: of the rendition that comes with each sight; None means that there is none.

        Raises:
            ImageError: the image is refused.
            DecodingFailed: it takes too long, or crashes the decoder.
            TransientError: no decoder starts, or the pool is closed.
        """
        with self._lent(queue) as decoder:
            for _ in range(_TRIES):
                try:
                    return decoder.sights(content, tuple(ways), form)
                except DecoderDied:
                    if self._closed:
                        raise _pool_is_closed() from None
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
        """Lends a process when it is this caller's turn."""
        lent: DecoderProcess | Future[DecoderProcess]
        with self._changed:
            if self._closed:
                raise _pool_is_closed()
            if self._free:
                lent = self._free.pop()
            else:
                lent = Future()
                self._waiting.put(lent, queue)
        try:
            yield lent if isinstance(lent, DecoderProcess) else lent.result()
        finally:
            with self._changed:
                if isinstance(lent, DecoderProcess):
                    self._hand_on(lent)
                elif not lent.cancel():  # which succeeds only where Ctrl-C ended the wait
                    self._hand_on(lent.result())

    def _hand_on(self, decoder: DecoderProcess) -> None:
        """Gives a process to the caller whose turn it is; the lock is held."""
        while self._waiting:
            turn = self._waiting.take()
            if turn.set_running_or_notify_cancel():
                turn.set_result(decoder)
                return
        self._free.append(decoder)
        self._changed.notify_all()

    def close(self) -> None:
        """Finishes the images that were asked for, each within its time, and ends the processes.

        Images that are asked for afterwards are refused.
        """
        with self._changed:
            self._closed = True
            rounds = 1 + math.ceil(len(self._waiting) / len(self._decoders))
            # Whoever asked for an image gives it up in time; this limit is for one who does not.
            all_free = self._changed.wait_for(
                lambda: len(self._free) == len(self._decoders),
                timeout=rounds * _TRIES * self._decoders[0].longest_seconds,
            )
        for decoder in self._decoders:
            if all_free:
                decoder.end()
            else:  # its borrower closes its socket
                decoder.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pool_is_closed() -> TransientError:
    return TransientError("the worker is stopping", "decoders", "Send the request again")
