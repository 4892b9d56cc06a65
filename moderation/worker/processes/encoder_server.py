"""Loaded encoders, for the line processes of a worker that ask over a Unix socket.

Each line asks for one batch at a time. What several lines ask for goes through an encoder together.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from socketserver import StreamRequestHandler, ThreadingMixIn, UnixStreamServer
from typing import Any, NamedTuple

import numpy as np

from moderation.encoders.encoder import Encoder, Float32s, ImageModel
from moderation.encoders.remote import BEGUN, described_model
from moderation.errors import EncoderFailed, ModelError, ModerationError
from moderation.images.decode.channel import Said, receive, send
from moderation.scoring.batching import Batcher, best_batch
from moderation.scoring.pipeline import BatchObserver


class _ServedModel:
    """A model with what batches its images."""

    def __init__(self, network: ImageModel, batcher: Batcher) -> None:
        self.network, self.batcher = network, batcher


class _ServedEncoder(_ServedModel):
    """An encoder, with the texts that it has encoded before."""

    def __init__(self, encoder: Encoder, batcher: Batcher) -> None:
        super().__init__(encoder, batcher)
        self.encoder = encoder
        self._texts: dict[tuple[str, ...], Float32s] = {}
        self._lock = threading.Lock()

    def text_features(self, texts: tuple[str, ...]) -> Float32s:
        """Returns (n, d) rows; every line asks for the same when it starts."""
        with self._lock:
            if texts not in self._texts:
                self._texts[texts] = self.encoder.text_features(texts)
            return self._texts[texts]


class _Turns:
    """Lets images through together, or one with nothing beside it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together, self._is_alone = 0, False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Waits until no image is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until all others have their answers; who comes later waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone)
            self._is_alone = True
            self._changed.wait_for(lambda: not self._together)
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()


class _Answer(NamedTuple):
    header: dict[str, Any]
    body: bytes | memoryview = b""


class _EncoderServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listening: socket.socket,
        models: Mapping[str, _ServedModel],
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__("", _LineHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.models, self.turns, self.on_failure = models, _Turns(), on_failure


class _LineHandler(StreamRequestHandler):
    """Answers one line for as long as it is there."""

    server: _EncoderServer
    request: socket.socket

    def handle(self) -> None:
        """Answers a line's questions, one after the other."""
        with suppress(EOFError, OSError):  # the line has ended
            while True:
                said = receive(self.request)
                self._send(said.number, self._answered(said))

    def _send(self, number: int, answer: _Answer) -> None:
        send(self.request, number, json.dumps(answer.header).encode(), answer.body)

    def _answered(self, said: Said) -> _Answer:
        """Returns the answer to a line's question; an error is one too."""
        try:
            return self._answer(json.loads(said.header), said)
        except ModerationError as error:
            found = error
        except Exception as error:
            found = EncoderFailed(f"the encoder failed: {error}", "", "See the worker's log")
        if isinstance(found, EncoderFailed):
            self.server.on_failure()
        return _Answer({"error": [type(found).__name__, found.what, found.where, found.remedy]})

    def _answer(self, question: dict[str, Any], said: Said) -> _Answer:
        reference, asked = question["model"], question["ask"]
        model = self.server.models.get(reference)
        if model is None:
            raise ModelError(
                "the encoder process has not loaded it", reference, "Start the worker again"
            )
        if asked == "about":
            return _Answer(described_model(model.network))
        if isinstance(model, _ServedEncoder) and asked == "tokens":
            return _Answer({"counts": model.encoder.count_tokens(question["texts"])})
        if isinstance(model, _ServedEncoder) and asked == "texts":
            return _rows_answer(model.text_features(tuple(question["texts"])))
        pixels = said.body.reshape(question["shape"])
        turns, is_alone = self.server.turns, "alone" in question
        with turns.alone() if is_alone else turns.together():
            if is_alone:
                self._send(said.number, _Answer(BEGUN))
            return _rows_answer(model.batcher.put(pixels).result())


@contextmanager
def serve_encoders(
    listening: socket.socket,
    encoders: Mapping[str, Encoder],
    *,
    classifiers: Mapping[str, ImageModel] | None = None,
    batch_size: int | None = None,
    observe: BatchObserver | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Answers every line that connects, inside the block.

    Args:
        listening: a Unix socket that listens; closed afterwards.
        encoders: by the reference that policies name.
        classifiers: by the key of their model.
        batch_size: images that go through an encoder together, at most; None takes what suits its
            device.
        observe: called with a model's id and the number of images of each batch.
        on_failure: called where an encoder fails, before the line is told.
    """
    with ExitStack() as stack:

        def batched(network: ImageModel) -> Batcher:
            batcher = Batcher(
                network.image_features,
                batch_size=batch_size or best_batch(network.stamp),
                observe=partial(observe, network.stamp.id) if observe else None,
            )
            return stack.enter_context(batcher)

        models: dict[str, _ServedModel] = {
            **{name: _ServedEncoder(each, batched(each)) for name, each in encoders.items()},
            **{
                name: _ServedModel(each, batched(each))
                for name, each in (classifiers or {}).items()
            },
        }
        server = stack.enter_context(_EncoderServer(listening, models, on_failure))
        thread = threading.Thread(target=server.serve_forever, name="lines", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _rows_answer(rows: Float32s) -> _Answer:
    rows = np.ascontiguousarray(rows, np.float32)
    return _Answer({"shape": rows.shape}, rows.reshape(-1).view(np.uint8).data)
