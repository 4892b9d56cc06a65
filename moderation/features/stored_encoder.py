"""A model that is loaded only for what the embedding store does not have.

As long as the model's files do not change, a command on stored features needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Self

from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.errors import ModelError
from moderation.features.model_description import (
    ModelDescription,
    description_path,
    read_description,
    write_description,
)
from moderation.features.space import FeatureSpace
from moderation.features.store import EmbeddingStore, Features, text_key
from moderation.images.looks import Pixels

LoadEncoder = Callable[[str, ModelOptions], Encoder]


class StoredEncoder:
    """An encoder (`moderation.encoders.encoder.Encoder`) that embeds each text only once, ever.

    Text features come from the store; images go to the model: whoever embeds them stores theirs.
    A context manager: new features are written when the block ends, even by an exception.
    """

    def __init__(
        self,
        reference: str,
        options: ModelOptions,
        store: EmbeddingStore,
        *,
        load: LoadEncoder = load_encoder,
    ) -> None:
        """Reads the description of the model; loads the model where there is none that still holds.

        Args:
            reference: starter, a folder, or hub-id[@revision].
            options: how to load it.
            store: where features are stored.
            load: turns a reference into an encoder.

        Raises:
            ModelError: the model cannot be loaded.
            StoreError: a file of the store is damaged; or the model is needed, and its features
                could not be stored, which is said before it is loaded.
        """
        self.store = store
        self._reference, self._options, self._load = reference, options, load
        self._path = description_path(store.root, reference, options)
        self._loaded: Encoder | None = None
        self._loading = Lock()
        known = read_description(self._path, reference)
        self._description = known if known and known.holds else self._describe_encoder()
        self.stamp = self._description.stamp
        self.preprocessing = self._description.preprocessing
        self.context_length = self._description.context_length
        self.logit_scale = self._description.logit_scale
        self.logit_bias = self._description.logit_bias
        self._texts: Features = store.open(FeatureSpace.of_texts(self.stamp))
        self._counts = dict(self._description.token_counts)

    @property
    def loaded(self) -> bool:
        """Whether the model itself had to be loaded."""
        return self._loaded is not None

    def load(self) -> None:
        """Loads the model now, so that the first text that is new does not wait for it.

        Raises:
            ModelError: it cannot be loaded. StoreError: the store cannot be written.
        """
        self._loaded_encoder()

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows of unit length for (n, h, w, 3) pixels."""
        return self._loaded_encoder().image_features(pixels)

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length; only new texts go to the model."""
        keys = [text_key(text) for text in texts]
        rows, found = self._texts.get(keys)
        new = dict.fromkeys(text for text, known in zip(texts, found, strict=True) if not known)
        if new:
            embedded = self._loaded_encoder().text_features(list(new))
            self._texts.add([text_key(text) for text in new], embedded)
            rows, _ = self._texts.get(keys)
        return rows

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        new = [text for text in dict.fromkeys(texts) if text not in self._counts]
        if new:
            self._counts |= dict(zip(new, self._loaded_encoder().count_tokens(new), strict=True))
        return [self._counts[text] for text in texts]

    def close(self) -> None:
        """Writes new features and counts to the store.

        Raises:
            StoreError: it cannot be written.
        """
        self._texts.flush()
        if self._counts != self._description.token_counts:
            counts = {"token_counts": dict(self._counts)}
            self._description = self._description.model_copy(update=counts)
            write_description(self._path, self._description)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _loaded_encoder(self) -> Encoder:
        with self._loading:  # texts and images may need it at the same time
            if self._loaded is None:
                encoder = self._load_encoder()
                if not self._description.describes(encoder):
                    self._path.unlink(missing_ok=True)
                    raise ModelError(
                        "the model is not the one that its features were made with",
                        f"model {self._reference}",
                        "Run the command again: it starts from the model as it is now",
                    )
                self._loaded = encoder
            return self._loaded

    def _load_encoder(self) -> Encoder:
        # First, since loading takes long, and the features must be stored.
        self.store.refuse_unwritable()
        return self._load(self._reference, self._options)

    def _describe_encoder(self) -> ModelDescription:
        self._loaded = self._load_encoder()
        description = ModelDescription.of(self._reference, self._loaded)
        write_description(self._path, description)
        return description
