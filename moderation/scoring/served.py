"""What a pipeline serves: policies, each bound to models that are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np

from moderation.encoders.encoder import Encoder, Float32s, ImageModel
from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import Policy
from moderation.scoring.batching import Batcher
from moderation.scoring.classified import ModelRows, deciding_models, filled_up, joined_similarities
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.verdict import (
    Basis,
    Decision,
    deciding_looks,
    decisions,
    first_looks,
    outcomes,
)


class LoadedModel(NamedTuple):
    """A pipeline's model, ready for images.

    `reference` is what policies and requests call an encoder; of a classifier it is its
    `model_key`, which no reference can be.
    """

    reference: str
    network: ImageModel
    batcher: Batcher


class DecidedLook(NamedTuple):
    """What a policy says of an image, and which model's look at it decides."""

    reference: str
    look: int
    decision: Decision


class ServedPolicy(NamedTuple):
    """A policy bound to its models.

    Attributes:
        basis: what its decisions rest on beside the image.
        classifier: its prompts, on its encoder.
        model: that encoder.
        others: the classifiers that score its other labels.
    """

    basis: Basis
    classifier: Classifier
    model: LoadedModel
    others: tuple[LoadedModel, ...] = ()

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        conditions: Conditions,
        models: Mapping[str, LoadedModel],
        reference: str,
    ) -> Self:
        """Returns a policy bound to its encoder, which is called `reference`, and its classifiers.

        Args:
            classifier: the policy on its encoder.
            conditions: what its decisions rest on beside models and images.
            models: all that are loaded, by reference.
            reference: of the encoder.
        """
        basis = Basis(
            policy=classifier.policy,
            model=models[reference].network.stamp,
            conditions=conditions,
            logit_scale=classifier.logit_scale,
            logit_bias=classifier.logit_bias,
        )
        keys = {each.model_key for each in classifier.policy.classified_labels.values()}
        others = tuple(models[key] for key in sorted(keys))
        return cls(basis, classifier, models[reference], others)

    def rebound(self, classifier: Classifier) -> Self:
        """Returns another policy, which needs no other models, under the same conditions.

        Args:
            classifier: of that policy, on the same encoder.
        """
        keys = {each.model_key for each in classifier.policy.classified_labels.values()}
        return self._replace(
            basis=replace(self.basis, policy=classifier.policy),
            classifier=classifier,
            others=tuple(each for each in self.others if each.reference in keys),
        )

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """All models that look at an image for it."""
        return (self.model, *self.others)

    def decide(self, images: Sequence[Mapping[str, Float32s]]) -> list[DecidedLook]:
        """Returns the decision on each image, by what each model makes of its looks.

        Args:
            images: for each the (v, d) rows of each model, by the model's reference.

        Raises:
            ModelError: a score is not finite, or no score.
        """
        return decided_looks(self.classifier, self.model.reference, images)


def decided_looks(
    classifier: Classifier, encoder: str, images: Sequence[Mapping[str, Float32s]]
) -> list[DecidedLook]:
    """Returns what the policy of a classifier says of each image, by what models make of its looks.

    Args:
        classifier: a policy on its encoder.
        encoder: the reference of that.
        images: for each the (v, d) rows of each model, by the model's reference.

    Raises:
        ModelError: a score is not finite, or no score.
    """
    policy = classifier.policy
    keys = {each.model_key for each in policy.classified_labels.values()}
    rows = {name: _model_rows(name, images) for name in (encoder, *sorted(keys))}
    encoded = rows[encoder]
    cosines, looks = joined_similarities(classifier, encoded, rows)
    scores = classifier.scores(cosines)
    deciding = deciding_looks(policy, cosines, scores, looks)
    cosines, scores = cosines[deciding], scores[deciding]
    fired = outcomes(policy, cosines, scores)
    models = deciding_models(policy, fired)
    features = encoded.rows[filled_up(encoded.looks, looks)[deciding]]
    prompts = classifier.nearest_prompts(features, fired > 0)
    places = (deciding - first_looks(looks)).tolist()
    decided = decisions(policy, cosines, scores, fired, prompts)
    return [
        # Where a model has fewer looks, the last of its own stands for those that it lacks.
        DecidedLook(model or encoder, min(place, len(image[model or encoder]) - 1), decision)
        for model, place, image, decision in zip(models, places, images, decided, strict=True)
    ]


def _model_rows(reference: str, images: Sequence[Mapping[str, Float32s]]) -> ModelRows:
    each = [image[reference] for image in images]
    return ModelRows(np.concatenate(each), np.array([len(rows) for rows in each]))


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
