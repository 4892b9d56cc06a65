"""What an encoder is: a model that embeds images and texts in one space. numpy only.

Shapes: n images or texts, d feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from moderation.images.looks import Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

Float32s = npt.NDArray[np.float32]


class TextEncoder(Protocol):
    """What embeds texts in the space of some model's images, and scales their cosines."""

    stamp: ModelStamp
    context_length: int
    logit_scale: float
    logit_bias: float | None

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        ...


class ImageModel(Protocol):
    """What makes a row of numbers of an image's pixels: an encoder, or a classifier."""

    stamp: ModelStamp
    preprocessing: Preprocessing

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows for (n, h, w, 3) pixels; an encoder's are of unit length."""
        ...


class Encoder(TextEncoder, ImageModel, Protocol):
    """A model that embeds images and texts in one space; a file of this package."""


#: Features as they are stored: float16 or float32.
Rows = npt.NDArray[np.floating[Any]]


def unit(rows: Float32s) -> Float32s:
    """Returns an encoder's (n, d) rows scaled to unit length; a row of zeros becomes NaN."""
    with np.errstate(invalid="ignore"):
        scaled: Float32s = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


def widened(rows: Rows) -> Float32s:
    """Returns stored rows as float32; those kept as float16 are scaled to unit length again."""
    wide: Float32s = np.asarray(rows).astype(np.float32, copy=False)
    return unit(wide) if rows.dtype == np.float16 else wide
