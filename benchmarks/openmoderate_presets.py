"""The categories and presets of openmoderate, another open moderator, on one's own files.

It is used where it is installed, and not changed: its own code reads the files, trims their borders
and scores them. A preset has a model that its scores were calibrated for, which open_clip fetches.
Where another model is given, that alone is exchanged, and the calibration is not for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.datasets.image_references import Reference, read_reference
from audit.metrics.predictions import Predictions
from audit.metrics.truth import SystemLabel, meant_labels
from moderation.encoders.encoder import Encoder, Float32s
from moderation.errors import ModelError
from moderation.images.pixels import preprocess
from moderation.scoring.verdict import ACTIONS

PRESETS = ("fast", "balanced", "accurate")

#: So many files are open at a time, and go through the model together.
AT_ONCE = 32

#: What its categories are called here, where that is another name.
CATEGORIES = {
    "nudity": "sexual/nudity",
    "sexual_activity": "sexual/activity",
    "suggestive": "sexual/suggestive",
    "gore": "violence/gore",
    "hate_symbols": "hate",
    "self_harm": "self-harm",
    "alcohol": "regulated/alcohol",
    "tobacco": "regulated/tobacco",
}


@dataclass(frozen=True, kw_only=True)
class PresetPredictions(Predictions):
    """What a preset says of n images.

    Attributes:
        categories_said: its k categories, each with its threshold; all of them flag.
        scores: (n, k) in [0, 1).
    """

    categories_said: tuple[SystemLabel, ...]
    scores: npt.NDArray[np.float64]

    @property
    def labels(self) -> tuple[SystemLabel, ...]:
        """Its categories."""
        return self.categories_said

    @property
    def y_pred(self) -> npt.NDArray[np.intp]:
        """(n,) the category that scores highest, even where it says none."""
        highest: npt.NDArray[np.intp] = self.scores.argmax(axis=1)
        return highest


class EncoderEngine:
    """An encoder of ours as what openmoderate calls an engine; it encodes no square twice."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[bytes, Float32s] = {}

    def encode_images(self, images: list[Image.Image]) -> Float32s:
        """Returns (n, d) rows of unit length for RGB pictures."""
        squares = [preprocess(image, self._encoder.preprocessing) for image in images]
        keys = [hashlib.sha256(square.tobytes()).digest() for square in squares]
        new = {key: s for key, s in zip(keys, squares, strict=True) if key not in self._known}
        if new:
            rows = self._encoder.image_features(np.stack([*new.values()]))
            self._known |= zip(new, rows, strict=True)
        return np.stack([self._known[key] for key in keys])

    def encode_texts(self, texts: list[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        return self._encoder.text_features(texts)


def preset_predictions(
    preset: str,
    images: Sequence[Reference],
    *,
    engine: EncoderEngine | None = None,
    categories: Sequence[str] | None = None,
) -> PresetPredictions:
    """Returns what a preset says of images.

    Args:
        preset: fast, balanced or accurate.
        images: where they are.
        engine: takes the place of the preset's own model; without it, open_clip fetches that.
        categories: those that are looked for; None looks for all.

    Raises:
        ModelError: openmoderate or open_clip is not installed, or the preset refuses something.
    """
    where = f"openmoderate {preset}"
    try:
        import openmoderate
        from openmoderate.io import load_image
    except ImportError as error:
        remedy = "Run `pip install openmoderate`; where open_clip cannot be had, with --no-deps"
        raise ModelError("openmoderate is not installed", where, remedy) from error
    try:
        moderator: Any = openmoderate.Moderator(
            preset=preset, engine=engine, categories=categories and list(categories)
        )
        pictures = ([load_image(read_reference(each)) for each in part] for part in _parts(images))
        scores = np.concatenate([moderator.score_images(part) for part in pictures])
    except (KeyError, ValueError) as error:
        raise ModelError(str(error), where, "Correct what is asked of it") from error
    except ImportError as error:
        remedy = "Run `pip install open-clip-torch`, or put a model of ours in its place"
        what = f"the preset's own model cannot be run: {error}"
        raise ModelError(what, where, remedy) from error
    labels = tuple(
        SystemLabel(spec.name, "review", CATEGORIES.get(spec.name), spec.threshold)
        for spec in moderator.label_specs
    )
    name = f"openmoderate {preset}"
    said = scores >= np.array([label.threshold for label in labels])
    outcomes = np.where(said, ACTIONS.index("review"), 0).astype(np.int8)
    return PresetPredictions(name=name, outcomes=outcomes, categories_said=labels, scores=scores)


def preset_meaning(name: str, labels: Sequence[SystemLabel]) -> str:
    """Returns what a class of a dataset means to a preset: weapons, where it is weapons/firearms.

    It is the class itself where that names a category, and where none of its parents does.
    """
    known = [name, *(str(parent) for parent in PurePosixPath(name).parents)]
    return next((each for each in known if meant_labels(labels, each)), name)


def _parts(images: Sequence[Reference]) -> Iterator[Sequence[Reference]]:
    for start in range(0, len(images), AT_ONCE):
        yield images[start : start + AT_ONCE]
