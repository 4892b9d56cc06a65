"""An image on its way through a pipeline: decoded for its policies' models, then encoded."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock
from typing import NamedTuple, Self

import numpy as np

from moderation.encoders.encoder import Float32s
from moderation.images.looks import Looking, Sight
from moderation.images.rendition import RenditionFile
from moderation.messages import ModelStamp
from moderation.scoring.served import ServedPolicy


class Sighted(NamedTuple):
    """A decoded image.

    Attributes:
        image_sha256: of its file.
        policies: what decides on it, in the order of the verdicts.
        sights: what each model sees of it, by the model's reference.
    """

    image_sha256: str
    policies: tuple[ServedPolicy, ...]
    sights: dict[str, Sight]

    @property
    def rendition(self) -> RenditionFile | None:
        """What was looked at as a file of its own, if one was made."""
        return next((sight.rendition for sight in self.sights.values()), None)

    @property
    def pixel_bytes(self) -> int:
        """How many bytes the decoded squares take."""
        return sum(sight.squares.nbytes for sight in self.sights.values())

    @property
    def rendition_bytes(self) -> int:
        """How many bytes the file of the decoded image takes; 0 if none was made."""
        return len(self.rendition.content) if self.rendition else 0

    def without_pixels(self) -> Self:
        """Returns the same without squares: many images can wait for their verdicts to be kept."""
        none = np.empty((0, 0, 0, 3), np.uint8)
        sights = {model: replace(sight, squares=none) for model, sight in self.sights.items()}
        return self._replace(sights=sights)


class SeenImages(NamedTuple):
    """An image as its models see it: the (v, d) features of its looks, by model reference."""

    sighted: Sighted
    features: dict[str, Float32s]


class Embedding(NamedTuple):
    """What a pipeline embeds: (v, d) features of the looks at an image, and how they were made."""

    image_sha256: str
    model: ModelStamp
    looking: Looking
    features: Float32s


def future_features(
    sighted: Sighted, encoding: Mapping[str, Future[Float32s]]
) -> Future[SeenImages]:
    """Returns what will be a sighted image as its models see it, once all of them have encoded it.

    It fails as the first of the models that fails, in their order.

    Args:
        sighted: the image.
        encoding: what will be its features, by model reference.
    """
    seen: Future[SeenImages] = Future()
    seen.set_running_or_notify_cancel()  # so that nobody can cancel it
    lock, kept, missing = Lock(), sighted.without_pixels(), list(encoding)

    def note(_: Future[Float32s]) -> None:
        with lock:  # models encode in threads of their own
            missing.pop()
            is_last = not missing
        if is_last:
            _resolve(seen, kept, encoding)

    for each in encoding.values():
        each.add_done_callback(note)
    if not encoding:
        _resolve(seen, kept, encoding)
    return seen


def _resolve(
    seen: Future[SeenImages], sighted: Sighted, encoded: Mapping[str, Future[Float32s]]
) -> None:
    """Gives an image the features that its models have made, or the first failure of them."""
    for each in encoded.values():
        if (error := each.exception()) is not None:
            seen.set_exception(error)
            return
    seen.set_result(SeenImages(sighted, {model: each.result() for model, each in encoded.items()}))
