"""What a pipeline serves: policies, each bound to a model that is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from moderation.encoders.encoder import Encoder, Float32s
from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import Policy
from moderation.scoring.batching import Batcher
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import Basis, Decision, deciding_looks, decisions, first_looks


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

    def decide(self, images: Sequence[Float32s]) -> list[tuple[int, Decision]]:
        """Returns the look that decides on each image, by its (v, d) features, and the decision.

        Raises:
            ModelError: a score is not finite.
        """
        cosines = self.classifier.similarities(np.concatenate(images))
        scores = self.classifier.scores(cosines)
        counts = np.array([len(features) for features in images])
        rows = deciding_looks(self.basis.policy, cosines, scores, counts)
        looks = (rows - first_looks(counts)).tolist()
        decided = decisions(self.basis.policy, cosines[rows], scores[rows])
        return list(zip(looks, decided, strict=True))


def models_of(
    policies: Mapping[str, Policy], *, default_model: str, override_model: str | None
) -> dict[str, str]:
    """Returns the reference of each policy's model, by the policy's name.

    Args:
        policies: by name.
        default_model: of policies that name none.
        override_model: of all policies, whatever they name.
    """
    return {
        name: override_model or policy.model or default_model for name, policy in policies.items()
    }


def bound_classifiers(
    policies: Mapping[str, Policy], model_of: Mapping[str, str], encoders: Mapping[str, Encoder]
) -> dict[str, Classifier]:
    """Returns the classifier of each policy that is served, by the policy's name.

    Args:
        policies: by name.
        model_of: the reference of each policy's model.
        encoders: by reference.

    Raises:
        PolicyError: policies do not fit their models; with every problem of all of them.
    """
    classifiers: dict[str, Classifier] = {}
    problems: list[PolicyProblem] = []
    for name, policy in policies.items():
        try:
            classifiers[name] = Classifier.of(policy, encoders[model_of[name]])
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return classifiers
