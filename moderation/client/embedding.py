"""Images embedded by the workers of a queue: the one door through which the audit reaches it.

Requests go to the bulk queue, a bounded number at a time, so that people who wait for a verdict
are not held up. No torch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from moderation.client.client import collect_pauses, find_response
from moderation.client.given_images import reference_to
from moderation.encoders.encoder import Float32s
from moderation.errors import (
    BrokerUnavailable,
    ImageError,
    ModerationError,
    SettingsError,
    VerdictTimeout,
)
from moderation.messages import (
    EMBED_TASK_NAME,
    QUEUES,
    EmbeddingRequest,
    EmbeddingResponse,
)
from moderation.queue.celery_app import broker_errors, connect, create_app
from moderation.queue.packed_message import pack_message
from moderation.settings import Settings, load_settings

#: A key with the answer to its image, or with what is wrong with it.
Embedded = tuple[str, EmbeddingResponse | ImageError]

#: How long to wait for what workers have in hand, when leaving early.
_LEAVE_SECONDS = 10.0
#: How deep to look into the queue for our requests, and how many at a time, as they hold images.
_DEEPEST, _AT_A_TIME = 2000, 16


def embed_on_workers(
    images: Iterable[tuple[str, bytes]],
    *,
    model: str,
    broker_url: str | None = None,
    in_flight: int = 64,
    patience_seconds: float = 60.0,
) -> Generator[Embedded, None, None]:
    """Returns an iterator for clients over the answers of workers, as they come, in any order.

    An image that is refused comes with its ImageError. Any other error ends the iterator, after the
    answers that are there. Close it to leave early (`contextlib.closing`): requests that no worker
    has begun are taken off the queue, and no answer is left in Redis.

    Args:
        images: (key, content of the file), read as there is room for them.
        model: a reference as the workers were given it.
        broker_url: Redis of the queue; None takes that of the environment.
        in_flight: requests that are under way at a time, at most.
        patience_seconds: how long to wait without any answer.

    Raises:
        SettingsError: the environment is wrong. While iterating - RequestError: the workers have
            not loaded the model. VerdictTimeout: no worker answers. BrokerUnavailable: Redis does
            not. ModelError, WorkerError: a worker failed.
    """
    if in_flight < 1:
        raise ValueError(f"{in_flight} requests in flight")
    window = _Window(load_settings(broker_url=broker_url), model)
    return _embed_in_window(window, iter(images), in_flight, patience_seconds)


def feature_rows(response: EmbeddingResponse) -> Float32s:
    """Returns the (v, d) features in a response to an embedding request, one row for each look."""
    numbers = np.frombuffer(response.features, dtype="<f4").astype(np.float32)
    return numbers.reshape(response.looks, response.width)


def _embed_in_window(
    window: _Window, images: Iterator[tuple[str, bytes]], in_flight: int, patience_seconds: float
) -> Generator[Embedded, None, None]:
    waits = collect_pauses(patience_seconds)
    try:
        while True:
            moved = False
            for key, content in islice(images, in_flight - len(window)):
                moved = True
                if refusal := window.send_image(key, content):
                    yield key, refusal
            for answer in window.embedded_answers():
                moved = True
                yield answer
            if moved:
                waits = collect_pauses(patience_seconds)
            elif not len(window):
                return
            elif (pause := next(waits, None)) is not None:
                time.sleep(pause)
            else:
                raise window.embedding_timed_out(patience_seconds)
    finally:
        window.withdraw_images()


class _Window:
    """The embedding requests that are under way; its `len` is their number."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings = settings
        self._model = model
        self._app = create_app(settings)
        self._redis = connect(settings)
        self._keys: dict[str, str] = {}  # by request id, oldest first

    def __len__(self) -> int:
        return len(self._keys)

    def send_image(self, key: str, content: bytes) -> ImageError | None:
        """Puts an image on the queue; returns what is wrong with it, if that is clear already."""
        try:
            image = reference_to(content)
        except ImageError as error:
            return error
        request = EmbeddingRequest(image=image, model=self._model)
        self._keys[request.request_id] = key  # first, so that Ctrl-C loses track of none
        try:
            asked = request.model_dump(mode="json", exclude_none=True)
            message = pack_message(EMBED_TASK_NAME, request.request_id, asked, QUEUES["bulk"])
            with broker_errors(self._settings):
                self._redis.lpush(QUEUES["bulk"], message)
        except ModerationError:
            del self._keys[request.request_id]
            raise
        return None

    def embedded_answers(self) -> Iterator[Embedded]:
        """Yields what has come, and removes it from Redis.

        Raises:
            ModerationError: a worker's error that is not about one image, after all the rest.
        """
        failure: ModerationError | None = None
        for request_id, key in list(self._keys.items()):
            answer = self._take_embedding(request_id)
            if isinstance(answer, EmbeddingResponse | ImageError):
                yield key, answer
            elif answer is not None:
                failure = failure or answer
        if failure:
            raise failure

    def _take_embedding(self, request_id: str) -> EmbeddingResponse | ModerationError | None:
        """Returns the answer to a request, if it is there, and leaves nothing of it in Redis."""
        answer: EmbeddingResponse | ModerationError | None
        try:
            answer = find_response(self._app, self._settings, request_id, EmbeddingResponse)
        except (BrokerUnavailable, SettingsError):  # about Redis itself, so not an answer
            raise
        except ModerationError as error:
            answer = error
        if answer is not None:
            with broker_errors(self._settings):
                self._app.backend.forget(request_id)
            del self._keys[request_id]
        return answer

    def embedding_timed_out(self, seconds: float) -> VerdictTimeout:
        """Returns the error for workers that do not answer."""
        return VerdictTimeout(
            f"no worker has embedded an image for {seconds:g} s",
            f"queue {QUEUES['bulk']}",
            f"Start one with `moderation worker --model {self._model}`; `moderation doctor` says "
            "whether one runs. The features that have come are kept",
        )

    def withdraw_images(self) -> None:
        """Takes back what no worker has begun, and waits for the rest, so that nothing is left.

        An answer that cannot be reached any more expires by itself.
        """
        with suppress(ModerationError), broker_errors(self._settings), self._redis:
            if self._keys:
                self._unsend_images()
            for pause in collect_pauses(_LEAVE_SECONDS):
                for request_id in list(self._keys):
                    self._take_embedding(request_id)
                if not self._keys:
                    break
                time.sleep(pause)
            self._app.backend.client.connection_pool.disconnect()

    def _unsend_images(self) -> None:
        """Removes our requests from the queue; the newest lie at its head."""
        start = 0
        while self._keys and start < _DEEPEST:
            messages: Any = self._redis.lrange(QUEUES["bulk"], start, start + _AT_A_TIME - 1)
            if not messages:
                return
            start += len(messages)
            for message in messages:
                request_id = _embedding_request_id(message)
                if request_id in self._keys and self._redis.lrem(QUEUES["bulk"], 1, message):
                    del self._keys[request_id]
                    start -= 1


def _embedding_request_id(message: bytes) -> str | None:
    """Returns the id in a message as it lies in Redis; None if it is not a message of ours."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return None
