"""The categories and presets of openmoderate, another open moderator, on one's own files.

It is used where it is installed, and not changed: its own code reads the files, trims their borders
and scores them. A preset has a model that its score was calibrated for, which open_clip fetches.
Where another model is given, only that is exchanged, and the calibration is not for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from moderation.encoders.encoder import Encoder, Float32s
from moderation.errors import ModelError
from moderation.images.pixels import preprocess

#: So many files are open at a time, and go through the model together.
AT_ONCE = 32


class PresetLabel(NamedTuple):
    """A category of openmoderate's, which it flags from a threshold on."""

    name: str
    parent: str | None
    threshold: float


class PresetScores(NamedTuple):
    """What a preset says of files: (n, k) scores of its k categories."""

    labels: tuple[PresetLabel, ...]
    scores: npt.NDArray[np.float64]


class EncoderEngine:
    """An encoder of ours as what openmoderate calls an engine."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def encode_images(self, images: list[Image.Image]) -> Float32s:
        """Returns (n, d) rows of unit length for RGB pictures."""
        squares = [preprocess(image, self._encoder.preprocessing) for image in images]
        return self._encoder.image_features(np.stack(squares))

    def encode_texts(self, texts: list[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        return self._encoder.text_features(texts)


def preset_scores(preset: str, files: Sequence[Path], encoder: Encoder | None) -> PresetScores:
    """Returns what a preset says of files.

    Args:
        preset: fast, balanced or accurate.
        files: images.
        encoder: takes the place of the preset's own model; None leaves it that.

    Raises:
        ModelError: openmoderate or open_clip is not installed, or there is no such preset.
    """
    try:
        import openmoderate
        from openmoderate.io import load_image
    except ImportError as error:
        remedy = "Run `pip install openmoderate`; where open_clip cannot be had, with --no-deps"
        raise ModelError("openmoderate is not installed", preset, remedy) from error
    engine = encoder and EncoderEngine(encoder)
    try:
        moderator: Any = openmoderate.Moderator(preset=preset, engine=engine)
        parts = [moderator.score_images([*map(load_image, part)]) for part in _parts(files)]
    except ValueError as error:
        raise ModelError(str(error), f"openmoderate {preset}") from error
    except ImportError as error:
        remedy = "Run `pip install open-clip-torch`, or name a model to put in its place"
        raise ModelError(
            f"the preset's own model cannot be run: {error}", f"openmoderate {preset}", remedy
        ) from error
    labels = tuple(PresetLabel(*spec) for spec in moderator.label_specs)
    return PresetScores(labels, np.concatenate(parts))


def _parts(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), AT_ONCE):
        yield files[start : start + AT_ONCE]
