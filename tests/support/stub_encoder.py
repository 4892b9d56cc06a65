"""A real, tiny encoder: what a text or a square of pixels hashes to is its feature."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from moderation.encoders.encoder import Float32s, unit
from moderation.images.looks import Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

WIDTH = 16


class StubEncoder:
    """Satisfies `moderation.encoders.encoder.Encoder`; counts how often each side is asked."""

    context_length = 20
    preprocessing = Preprocessing(
        resize=8, crop=(8, 8), resample="bilinear", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3
    )

    def __init__(self, logit_scale: float = 10.0, logit_bias: float | None = None) -> None:
        self.logit_scale = logit_scale
        self.logit_bias = logit_bias
        self.images_encoded = 0
        self.texts_encoded = 0
        self.stamp = ModelStamp(
            id="stub",
            revision="1",
            fingerprint="0" * 16,
            preprocessing=self.preprocessing.fingerprint,
            dtype="float32",
            device="cpu",
        )

    def image_features(self, pixels: Pixels) -> Float32s:
        self.images_encoded += len(pixels)
        return unit(np.stack([_hashed_feature(square.tobytes()) for square in pixels]))

    def text_features(self, texts: Sequence[str]) -> Float32s:
        self.texts_encoded += len(texts)
        return unit(np.stack([_hashed_feature(text.encode()) for text in texts]))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def random_features(n: int, seed: int = 0) -> Float32s:
    """Returns (n, WIDTH) features of images that are all different."""
    return unit(np.random.default_rng(seed).standard_normal((n, WIDTH)).astype(np.float32))


def _hashed_feature(content: bytes) -> Float32s:
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
