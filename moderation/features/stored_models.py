"""The models of a pipeline, each loaded only for what the embedding store does not have.

An image is embedded once for each model, whichever command saw it first: what the models make of
images is kept by the sha256 of their files, with the looks of production.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock, RLock
from typing import Self, TypeVar

from moderation.encoders.classifiers.loading import load_classifiers, named_classifiers
from moderation.encoders.encoder import Float32s, ImageModel
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.errors import ModerationError
from moderation.features.space import FeatureSpace
from moderation.features.store import EmbeddingStore, Features
from moderation.features.stored_classifier import StoredClassifier
from moderation.features.stored_encoder import LoadEncoder, StoredEncoder
from moderation.images.looks import Looking
from moderation.policy import Policy

T = TypeVar("T")


class StoredModels:
    """Models over an embedding store, and the features that they make of images; for many threads.

    A context manager: new features are written when the block ends, even by an exception.

    Attributes:
        store: where the features are kept.
        looking: how much of each file is looked at.
        loaded: whether any model itself had to be loaded.
        failure: why a model could not be loaded; it is not tried again.
    """

    def __init__(
        self,
        store: EmbeddingStore,
        options: ModelOptions,
        looking: Looking,
        *,
        classifiers: Path | None = None,
        load: LoadEncoder = load_encoder,
    ) -> None:
        """Opens nothing yet.

        Args:
            store: where features are kept.
            options: how to load the models.
            looking: how much of each file is looked at.
            classifiers: where an operator's own ONNX files lie; None where there are none.
            load: turns a reference into an encoder.
        """
        self.store, self.looking = store, looking
        self.loaded = False
        self.failure: ModerationError | None = None
        self._options, self._classifiers, self._load = options, classifiers, load
        self._opened: dict[str, Features] = {}
        self._closing = ExitStack()
        self._coming: dict[tuple[str, str], Future[Float32s]] = {}
        self._asked: Counter[str] = Counter()
        self._embedded: set[str] = set()
        self._lock, self._loading = Lock(), RLock()

    @property
    def asked(self) -> int:
        """How many images were asked for."""
        return max(self._asked.values(), default=0)

    @property
    def embedded(self) -> int:
        """How many different images went through a model."""
        return len(self._embedded)

    def encoder(self, reference: str) -> StoredEncoder:
        """Returns an encoder whose texts and images are kept.

        Raises:
            ModelError: it cannot be loaded, and is not known yet.
            StoreError: the store is damaged, or cannot be written.
        """
        load: LoadEncoder = lambda *named: self._loaded(partial(self._load, *named))  # noqa: E731
        encoder = self._closing.enter_context(
            StoredEncoder(reference, self._options, self.store, load=load)
        )
        self._open(reference, FeatureSpace.of_images(encoder.stamp, self.looking))
        return encoder

    def classifiers(self, policies: Iterable[Policy]) -> Mapping[str, StoredClassifier]:
        """Returns the classifiers of policies, by their `model_key`, whose outputs are kept.

        Once one is needed, all are loaded, and a PolicyError has what is wrong with any of them.

        Raises:
            StoreError: the store is damaged.
        """
        policies = tuple(policies)
        every: dict[str, ImageModel] = {}

        def loaded(key: str) -> ImageModel:
            with self._loading:
                if not every:
                    self.store.refuse_unwritable()
                    threads = self._options.threads
                    load = partial(load_classifiers, policies, self._classifiers, threads)
                    every.update(self._loaded(load))
            return every[key]

        found = {
            key: StoredClassifier(each, partial(loaded, key))
            for key, each in named_classifiers(policies).items()
        }
        for key, each in found.items():
            self._open(key, FeatureSpace.of_outputs(each.stamp, self.looking))
        return found

    def find(self, reference: str, image_sha256: str, *, exact: bool = False) -> Float32s | None:
        """Returns the (v, d) features of the looks at an image, or None where none are kept.

        Args:
            reference: of an encoder; of a classifier its `model_key`.
            image_sha256: of the image's file.
            exact: takes no features that were kept as float16.

        Raises:
            StoreError: the store is damaged.
        """
        with self._lock:
            return self._find(reference, image_sha256, exact=exact)

    def recall(self, image_sha256: str, references: Iterable[str]) -> dict[str, Float32s] | None:
        """Returns what `find` has of an image by reference; None where one of them has nothing."""
        found = {name: self.find(name, image_sha256) for name in dict.fromkeys(references)}
        known = {name: rows for name, rows in found.items() if rows is not None}
        return known if len(known) == len(found) else None

    def encoded(
        self, reference: str, image_sha256: str, looks: int, encode: Callable[[], Future[Float32s]]
    ) -> Future[Float32s]:
        """Returns at once what will be the (v, d) features of the looks at an image.

        Those that are kept are as they were computed, to the last bit; others are computed, once
        even if several threads ask at the same time, and kept.

        Args:
            reference: of an encoder; of a classifier its `model_key`.
            image_sha256: of the image's file.
            looks: how many there are; features of another number are not used.
            encode: returns what will be the features.

        Raises:
            StoreError: the store is damaged.
        """
        key = (reference, image_sha256)
        with self._lock:
            self._asked[reference] += 1
            if (coming := self._coming.get(key)) is not None:
                return coming
            coming = Future()
            coming.set_running_or_notify_cancel()  # so that nobody can cancel it
            known = self._find(*key, exact=True)
            if known is not None and len(known) == looks:
                coming.set_result(known)
                return coming
            encoding = encode()
            self._coming[key] = coming
        encoding.add_done_callback(partial(self._keep, key, coming))
        return coming

    def close(self) -> None:
        """Writes what was computed to the store.

        Raises:
            StoreError: it cannot be written.
        """
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, reference: str, space: FeatureSpace) -> None:
        self._opened[reference] = self._closing.enter_context(self.store.open(space))

    def _find(self, reference: str, image_sha256: str, *, exact: bool) -> Float32s | None:
        features = self._opened[reference]
        if exact and features.rounded([image_sha256]):
            return None
        rows, _ = features.get([image_sha256])
        return rows if len(rows) else None

    def _keep(
        self, key: tuple[str, str], coming: Future[Float32s], encoded: Future[Float32s]
    ) -> None:
        """Keeps what was computed, then hands it on; on the encoder's thread."""
        reference, image_sha256 = key
        try:
            rows = encoded.result()
            with self._lock:
                self._opened[reference].add([image_sha256], rows, [len(rows)])
                self._embedded.add(image_sha256)
        except BaseException as error:  # otherwise all who wait for it would wait for ever
            coming.set_exception(error)
        else:
            coming.set_result(rows)
        with self._lock:
            del self._coming[key]

    def _loaded(self, load: Callable[[], T]) -> T:
        with self._loading:
            if self.failure is not None:
                raise self.failure
            try:
                found = load()
            except ModerationError as error:
                self.failure = error
                raise
            self.loaded = True
            return found
