"""What a pipeline serves: policies, each bound to a model that is loaded."""

from __future__ import annotations

from typing import NamedTuple

from moderation.encoders.encoder import Encoder, Float32s
from moderation.scoring.batching import Batcher
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import Basis, Decision, decide, deciding_look


class LoadedModel(NamedTuple):
    """A pipeline's model, ready for images; `reference` is what policies and requests call it."""

    reference: str
    encoder: Encoder
    batcher: Batcher


class ServedPolicy(NamedTuple):
    """A policy bound to its model; `basis` is what its decisions rest on beside the image."""

    basis: Basis
    classifier: Classifier
    model: LoadedModel

    def decide(self, features: Float32s) -> tuple[int, Decision]:
        """Returns the look of (v, d) features that decides, and the decision on it."""
        cosines = self.classifier.similarities(features)
        scores = self.classifier.scores(cosines)
        look = deciding_look(self.basis.policy, cosines, scores)
        return look, decide(self.basis.policy, cosines[look], scores[look])
