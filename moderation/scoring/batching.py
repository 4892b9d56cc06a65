"""Images of many threads -> encoder batches.

One thread encodes. Looks at images gather while it does; when it is free it takes what is waiting,
up to the batch size, interactive before bulk. So a lone image never waits for company, a full queue
fills batches by itself, and a bulk picture of a thousand looks does not hold up an interactive one.

A forward costs something however small its batch. So where more images are on their way, decoded at
this moment, the encoder waits for them, but never longer than ten milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
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

#: How long a batch waits for images that are being decoded, and how long it sleeps between looks at
#: that, in seconds.
_GATHER_SECONDS, _STEP_SECONDS = 0.010, 0.002

log = logging.getLogger(__name__)


def best_batch(stamp: ModelStamp) -> int:
    """Returns how many images a model should be given at once, by where it runs.

    On a CPU an image costs no less in larger batches. A GPU takes the second half of a batch while
    it computes the first (`moderation/encoders/transfer.py`); its size is not measured.
    """
    return 256 if stamp.device.startswith("cuda") else 16


class _WaitingImage:
    """An image of which looks wait, and the rows that its looks have got so far."""

    def __init__(self, squares: Pixels) -> None:
        self.squares = squares
        self.features: Future[Float32s] = Future()
        self.features.set_running_or_notify_cancel()  # so that nobody can cancel it
        self._rows: dict[int, Float32s] = {}

    @property
    def is_answered(self) -> bool:
        """Whether it has its answer: all rows, or a failure, after which no look at it matters."""
        return self.features.done()

    def add_row(self, look: int, row: Float32s) -> None:
        """Notes the feature of a look; the last one completes the image."""
        self._rows[look] = row
        count = len(self.squares)
        if len(self._rows) == count and not self.is_answered:
            self.features.set_result(np.array([self._rows[look] for look in range(count)]))

    def fail(self, error: ModerationError) -> None:
        """Makes this the image's answer, unless another look at it has failed before."""
        if not self.is_answered:
            self.features.set_exception(error)


class _WaitingLook(NamedTuple):
    image: _WaitingImage
    number: int

    @property
    def pixels(self) -> Pixels:
        pixels: Pixels = self.image.squares[self.number]
        return pixels


class Batcher:
    """Encodes images from many threads in batches of looks; its callers bound the memory."""

    def __init__(
        self,
        encode: Encode,
        *,
        batch_size: int,
        observe: Callable[[int], None] | None = None,
        more_to_come: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts the thread that encodes.

        Args:
            encode: pixels of several looks -> a row of features for each.
            batch_size: how many looks go through the encoder together, at most.
            observe: called with the number of looks of each batch, before it runs.
            more_to_come: whether other images will be here in a moment.
        """
        self._encode = encode
        self._observe = observe
        self._batch_size, self._more_to_come = batch_size, more_to_come
        self._waiting: FairQueue[_WaitingLook] = FairQueue()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def put(self, squares: Pixels, queue: QueueName = "interactive") -> Future[Float32s]:
        """Returns at once what will be the (v, d) features of the (v, h, w, 3) looks at an image.

        It becomes a ModelError if a feature is not finite, and an EncoderFailed if the encoder
        fails on a look. Whatever waits for it is called on the encoder's thread, so must be short.

        Raises:
            TransientError: the batcher is closed.
        """
        image = _WaitingImage(squares)
        with self._changed:
            if self._closed:
                remedy = "Send the request again"
                raise TransientError("the worker is stopping", "encoder", remedy)
            for number in range(len(squares)):
                self._waiting.put(_WaitingLook(image, number), queue)
            self._changed.notify()
        return image.features

    @property
    def waiting(self) -> int:
        """How many looks no batch has taken yet."""
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

    def _next_batch(self) -> list[_WaitingLook]:
        """Returns at least one waiting look, or nothing once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
        self._gather_company()
        batch: list[_WaitingLook] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                while self._waiting and len(batch) < self._batch_size:
                    look = self._waiting.take()
                    if not look.image.is_answered:
                        batch.append(look)
                if self._closed and not self._waiting:
                    break
        return batch

    def _gather_company(self) -> None:
        """Waits a moment for images that will soon be here, while there is room in the batch."""
        until = time.monotonic() + _GATHER_SECONDS
        while (
            len(self._waiting) < self._batch_size
            and self._more_to_come()
            and time.monotonic() < until
        ):
            time.sleep(_STEP_SECONDS)

    def _answer(self, batch: list[_WaitingLook]) -> None:
        """Gives each look its own row; a batch that fails is tried look by look.

        So no image pays for what is wrong with another, or for a batch too large for memory.
        """
        try:
            rows = self._encode(np.stack([look.pixels for look in batch]))
            if len(rows) != len(batch):
                raise ModelError(f"the encoder gave {len(rows)} rows for {len(batch)} images")
            finite = np.logical_and.reduce(np.isfinite(rows), axis=1)
        except BaseException as error:  # otherwise this thread would end, and all wait for ever
            if len(batch) > 1:
                for look in batch:
                    if not look.image.is_answered:
                        self._answer([look])
            else:
                batch[0].image.fail(_batch_failure(error))
            return
        for look, row, is_finite in zip(batch, rows, finite, strict=True):
            if is_finite:
                look.image.add_row(look.number, row)
            else:
                look.image.fail(ModelError("an image feature is not finite"))


def _batch_failure(error: BaseException) -> ModerationError:
    if isinstance(error, ModerationError):
        return error
    failure = EncoderFailed(f"the encoder failed: {error}", "", "See the worker's log")
    failure.__cause__ = error
    return failure
