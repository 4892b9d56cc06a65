"""An encoder whose features are random and made beforehand: it costs next to nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from moderation.encoders.encoder import Float32s, unit
from moderation.features import EmbeddingStore, FeatureSpace, Storage
from moderation.images.looks import DEFAULT_LOOKING, Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

WIDTH, AT_A_TIME = 512, 1000


def random_features(n: int, seed: int = 0) -> Float32s:
    """Returns (n, 512) rows of unit length."""
    return unit(np.random.default_rng(seed).standard_normal((n, WIDTH), dtype=np.float32))


class RandomEncoder:
    """An encoder for at most so many images or texts at a time."""

    context_length = 77
    logit_scale = 100.0
    logit_bias: float | None = None
    preprocessing = Preprocessing(224, (224, 224), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    stamp = ModelStamp(
        id="random",
        revision="1",
        fingerprint="0" * 16,
        preprocessing=preprocessing.fingerprint,
        dtype="float32",
        device="cpu",
    )

    def __init__(self, most: int, seed: int = 0) -> None:
        self._rows = random_features(most, seed)

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, 512) rows of unit length."""
        return self._rows[: len(pixels)]

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, 512) rows of unit length."""
        return self._rows[: len(texts)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of words, and two marks."""
        return [len(text.split()) + 2 for text in texts]


SPACE = FeatureSpace.of_images(RandomEncoder.stamp, DEFAULT_LOOKING)


def fill_store(folder: Path, n: int, storage: Storage) -> None:
    """Writes n random features into a store."""
    rng = np.random.default_rng(0)
    with EmbeddingStore(folder).open(SPACE, storage) as features:
        for start in range(0, n, AT_A_TIME):
            keys = image_keys(range(start, min(start + AT_A_TIME, n)))
            rows = rng.standard_normal((len(keys), WIDTH), dtype=np.float32)
            features.add(keys, unit(rows))


def image_keys(numbers: Iterable[int]) -> list[str]:
    """Returns the keys under which a store has the features of these images."""
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in numbers]
