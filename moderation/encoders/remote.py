"""A model that another process of the worker has loaded: asked for features over a Unix socket.

Imports no torch. The encoder process may die, of an image or for lack of memory, and a new one then
answers at the same address.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from moderation import errors
from moderation.encoders.encoder import Float32s, ImageModel
from moderation.errors import EncoderFailed, ModelError, ModerationError, TransientError
from moderation.images.decode.channel import Said, receive, send
from moderation.images.looks import Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

#: How often encoder processes may die of the same question. A batch is not asked again: each of its
#: images is.
_MOST_DEATHS = 3
#: What the encoder process says first of an image that it encodes alone.
BEGUN: dict[str, Any] = {"begun": True}

log = logging.getLogger(__name__)


class RemoteModel:
    """A model of another process, as this process sees it; safe to use from many threads."""

    def __init__(
        self,
        address: Path,
        reference: str,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_hang: Callable[[], None] = lambda: None,
        longest_seconds: float = 300.0,
    ) -> None:
        """Waits until the encoder process has loaded the model.

        Args:
            address: the Unix socket of the encoder process.
            reference: of the model.
            on_change: called if a new encoder process has other weights, or another number format,
                under that name: what was computed with the former ones is worth nothing then.
            on_hang: called if the encoder process does not answer in time; whoever can should end
                it, since the question then waits for the next one.
            longest_seconds: the time for an answer, once the model is loaded.

        Raises:
            ModelError: the encoder process does not have the model.
            TransientError: nothing listens at the address.
        """
        self._address, self._reference = address, reference
        self._on_change, self._on_hang = on_change, on_hang
        self._longest_seconds = longest_seconds
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._number = 0
        self._has_begun = False
        #: How many images that an encoder process died with are still to come, each by itself.
        self._suspects = 0
        self._about: dict[str, Any] | None = None
        with self._lock:
            about = self._reconnect()
        self.stamp = ModelStamp.model_validate(about["stamp"])
        self.preprocessing = _read_preprocessing(about["preprocessing"])
        self._texts = about["texts"]

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows for (n, h, w, 3) pixels.

        Raises:
            ModelError: a feature is not finite, or encoder processes die of this image.
            EncoderFailed: the encoder fails, or its process dies with these images.
        """
        question = {"ask": "images", "shape": pixels.shape}
        body = np.ascontiguousarray(pixels).reshape(-1).data
        with self._lock:
            is_suspect = len(pixels) == 1 and self._suspects > 0
            self._suspects = max(0, self._suspects - 1)
            said = None if is_suspect else self._try(question, body)
            if said is None and len(pixels) > 1:
                self._suspects = len(pixels)
                raise EncoderFailed("the encoder process ended", self._reference, "See its log")
            return _read_rows(said or self._ask_alone(question, body))

    def close(self) -> None:
        """Leaves the encoder process; a later question would connect again."""
        with self._lock:
            self._disconnect()

    def _ask(self, question: dict[str, Any]) -> Said:
        """Returns the answer to a question, of a new encoder process if one dies of it."""
        with self._lock:
            for _ in range(_MOST_DEATHS):
                if (said := self._try(question)) is not None:
                    return said
        raise self._deadly()

    def _ask_alone(self, question: dict[str, Any], body: memoryview) -> Said:
        """Returns the answer to an image that an encoder process died with; the lock is held.

        It may have been another line's image that ended it. This one is now encoded with nothing
        beside it, and a death counts only once that has begun.
        """
        deaths = 1
        while deaths < _MOST_DEATHS:
            if (said := self._try({**question, "alone": True}, body)) is not None:
                return said
            deaths += self._has_begun
        raise self._deadly()

    def _deadly(self) -> ModelError:
        text = f"{_MOST_DEATHS} encoder processes ended while they encoded it"
        return ModelError(text, self._reference, "See what ended them in the worker's log")

    def _try(self, question: dict[str, Any], body: bytes | memoryview = b"") -> Said | None:
        """Returns the answer to a question, None if the encoder process dies; the lock is held."""
        header = json.dumps({"model": self._reference, **question}).encode()
        if self._channel is None:
            self._reconnect()
        with suppress(OSError, EOFError):
            try:
                return self._exchange(header, body, time.monotonic() + self._longest_seconds)
            except TimeoutError:
                self._on_hang()
        self._disconnect()
        return None

    def _reconnect(self) -> dict[str, Any]:
        """Returns what an encoder process says of the model, once it listens; the lock is held."""
        question = json.dumps({"model": self._reference, "ask": "about"}).encode()
        while True:
            self._channel = self._connected()
            try:
                about: dict[str, Any] = json.loads(self._exchange(question).header)
                break
            except (OSError, EOFError):  # it ended while it loaded the model; the next one loads it
                self._disconnect()
            except BaseException:
                self._disconnect()
                raise
        if self._about not in (None, about):
            self._disconnect()
            self._on_change()
            raise TransientError("the model has changed", self._reference, "Start again")
        self._about = about
        return about

    def _connected(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.connect(str(self._address))
        except OSError as error:
            channel.close()
            what = f"no encoder process is there ({error})"
            raise TransientError(what, self._reference, "Start the worker again") from error
        return channel

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def _exchange(
        self, header: bytes, body: bytes | memoryview = b"", deadline: float | None = None
    ) -> Said:
        """Returns what the encoder process answers; raises the error that it answers with."""
        assert self._channel is not None
        self._number += 1
        self._has_begun = False
        send(self._channel, self._number, header, body)
        while True:
            said = receive(self._channel, deadline)
            if said.number != self._number:
                raise EOFError
            told = json.loads(said.header)
            if (found := told.get("error")) is not None:
                raise _read_error(*found)
            if told != BEGUN:
                return said
            self._has_begun = True


class RemoteEncoder(RemoteModel):
    """An encoder of another process: a model that takes texts too.

    Raises:
        ModelError: it takes no texts.
    """

    def __init__(self, address: Path, reference: str, **rest: Any) -> None:
        """Waits until the encoder process has loaded it; the arguments are those of its parent."""
        super().__init__(address, reference, **rest)
        if self._texts is None:
            self.close()
            raise ModelError("it takes no texts", reference, "Name an encoder, such as CLIP")
        self.context_length = int(self._texts["context_length"])
        self.logit_scale = float(self._texts["logit_scale"])
        self.logit_bias: float | None = self._texts["logit_bias"]

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        return _read_rows(self._ask({"ask": "texts", "texts": list(texts)}))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        said = self._ask({"ask": "tokens", "texts": list(texts)})
        counts: list[int] = json.loads(said.header)["counts"]
        return counts


def described_model(model: ImageModel) -> dict[str, Any]:
    """Returns what a `RemoteModel` must know of a model, as JSON values."""
    way = model.preprocessing
    fields = ("resize", "crop", "resample", "scale", "mean", "std")
    of_texts = ("context_length", "logit_scale", "logit_bias")
    takes_texts = hasattr(model, "text_features")
    return {
        "stamp": model.stamp.model_dump(mode="json"),
        "preprocessing": {name: getattr(way, name) for name in fields},
        "texts": {name: getattr(model, name) for name in of_texts} if takes_texts else None,
    }


def _read_preprocessing(given: dict[str, Any]) -> Preprocessing:
    tuples = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return Preprocessing(**{**given, **tuples})


def _read_rows(said: Said) -> Float32s:
    shape = json.loads(said.header)["shape"]
    return said.body.view(np.float32).reshape(shape)


def _read_error(name: str, what: str, where: str, remedy: str) -> ModerationError:
    kind: type[ModerationError] = getattr(errors, name)
    return kind(what, where, remedy)
