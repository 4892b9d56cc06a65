"""An encoder whose features are random and made beforehand: it costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moderation.encoders.encoder import Float32s, unit
from moderation.images.pixels import Pixels, Preprocessing
from moderation.messages import ModelStamp

WIDTH = 512


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
