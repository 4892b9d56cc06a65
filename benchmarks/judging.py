"""Decisions on files, read as a worker reads them, with several values of the settings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Encoder, Float32s
from moderation.images.looks import Looking
from moderation.images.pixels import read_sights
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import actions, outcomes

MAX_PIXELS = 50_000_000


class Judge:
    """Policies on a model; a square that is seen twice of one file is encoded once."""

    def __init__(self, encoder: Encoder, classifiers: Sequence[Classifier]) -> None:
        self._encoder, self._classifiers = encoder, classifiers

    def severities(self, content: bytes, lookings: Sequence[Looking]) -> npt.NDArray[np.int8]:
        """Returns (lookings, policies) how severe the decision on a file is, as in `ACTIONS`."""
        known: dict[bytes, Float32s] = {}
        return np.stack([self._decided(content, looking, known) for looking in lookings])

    def _decided(
        self, content: bytes, looking: Looking, known: dict[bytes, Float32s]
    ) -> npt.NDArray[np.int8]:
        ways = [self._encoder.preprocessing]
        [sight] = read_sights(content, ways, looking, max_pixels=MAX_PIXELS)
        squares = {square.tobytes(): square for square in sight.squares}
        new = [key for key in squares if key not in known]
        if new:
            features = self._encoder.image_features(np.stack([squares[key] for key in new]))
            known |= zip(new, features, strict=True)
        rows = np.stack([known[key] for key in squares])
        # The worst look decides.
        return np.array([worst_look(each, rows) for each in self._classifiers], np.int8)


def worst_look(classifier: Classifier, features: Float32s) -> int:
    """Returns the most severe outcome of the features of a file's looks."""
    cosines = classifier.similarities(features)
    fired = outcomes(classifier.policy, cosines, classifier.scores(cosines))
    return int(actions(fired).max())
