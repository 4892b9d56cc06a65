"""Concurrent requests -> encoder batches.

One thread encodes. Requests gather while it does; when it is free it takes what is waiting, up to
the batch size, interactive before bulk. So a lone image never waits for company, and a full queue
fills batches by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Self

import numpy as np

from moderation.encoders.encoder import Float32s
from moderation.errors import EncoderFailed, ModelError, ModerationError, TransientError
from moderation.images.looks import Pixels
from moderation.messages import ModelStamp
from moderation.messages.queues import FairQueue, QueueName

Encode = Callable[[Pixels], Float32s]

log = logging.getLogger(__name__)


def best_batch(stamp: ModelStamp) -> int:
    """Returns how many images a model should be given at once, by where it runs.

    On a CPU an image costs no less in larger batches. The size for a GPU is not measured.
    """
    return 256 if stamp.device.startswith("cuda") else 16


class _WaitingImage(NamedTuple):
    pixels: Pixels
    features: Future[Float32s]


class Batcher:
    """Encodes single images from many threads in batches.

    The callers bound the memory: each thread has one request here at a time.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        batch_size: int,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        """Starts the thread that encodes.

        Args:
            encode: pixels of several images -> a row of features for each.
            batch_size: how many images go through the encoder together, at most.
            observe: called with the number of images of each batch, before it runs.
        """
        self._encode = encode
        self._observe = observe
        self._batch_size = batch_size
        self._waiting: FairQueue[_WaitingImage] = FairQueue()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def features(self, squares: Pixels, queue: QueueName = "interactive") -> Float32s:
        """Returns the (f, d) features of (f, h, w, 3) pixels, once batches with them have run.

        Raises:
            ModelError: the feature is not finite. EncoderFailed: the encoder failed on this image.
            TransientError: the batcher is closed.
        """
        waiting = [_WaitingImage(pixels, Future()) for pixels in squares]
        with self._changed:
            if self._closed:
                remedy = "Send the request again"
                raise TransientError("the worker is stopping", "encoder", remedy)
            for one in waiting:
                self._waiting.put(one, queue)
            self._changed.notify()
        return np.stack([one.features.result() for one in waiting])

    @property
    def waiting(self) -> int:
        """How many images no batch has taken yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Encodes all that wait, then stops; returns when that is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                if self._observe is not None:
                    self._observe(len(batch))
            except Exception:  # an observer's failure must not end this thread
                log.exception("a batch of %s could not be observed", len(batch))
            self._answer(batch)

    def _next_batch(self) -> list[_WaitingImage]:
        """Returns at least one waiting image, or nothing once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            size = min(len(self._waiting), self._batch_size)
            return [self._waiting.take() for _ in range(size)]

    def _answer(self, batch: list[_WaitingImage]) -> None:
        """Gives each image its own row; a batch that fails is tried image by image.

        So no image pays for what is wrong with another, or for a batch too large for memory.
        """
        try:
            rows = self._encode(np.stack([waiting.pixels for waiting in batch]))
            if len(rows) != len(batch):
                raise ModelError(f"the encoder gave {len(rows)} rows for {len(batch)} images")
        except BaseException as error:  # otherwise this thread would end, and all wait for ever
            if len(batch) > 1:
                for waiting in batch:
                    self._answer([waiting])
            else:
                batch[0].features.set_exception(_batch_failure(error))
            return
        for waiting, row in zip(batch, rows, strict=True):
            if np.isfinite(row).all():
                waiting.features.set_result(row)
            else:
                waiting.features.set_exception(ModelError("an image feature is not finite"))


def _batch_failure(error: BaseException) -> ModerationError:
    if isinstance(error, ModerationError):
        return error
    failure = EncoderFailed(f"the encoder failed: {error}", "", "See the worker's log")
    failure.__cause__ = error
    return failure
