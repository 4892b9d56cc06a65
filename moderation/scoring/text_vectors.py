"""What a model makes of a policy's texts, for the rules of lint that compare these."""

from __future__ import annotations

import numpy as np

from moderation.encoders.encoder import TextEncoder
from moderation.policy.lint.linted_policy import LintedPolicy, TextVectors
from moderation.scoring.classifier import policy_features


def text_vectors(linted: LintedPolicy, encoder: TextEncoder) -> TextVectors:
    """Returns what a model makes of a policy's texts.

    Raises:
        PolicyError: a prompt is too long for the model. ModelError: a feature is not finite.
    """
    labels = linted.policy.labels
    features = policy_features(linted.policy, encoder)
    counts = [len(label.negatives) for label in labels]
    of_labels, look_alikes = features.texts[: len(labels)], features.texts[len(labels) :]
    negatives = np.split(look_alikes, np.cumsum(counts)[:-1])
    # In the order of the file: the prompts of a label, then its look-alikes.
    in_order = [part for pair in zip(features.prompts, negatives, strict=True) for part in pair]
    return TextVectors(np.concatenate(in_order), of_labels, encoder.stamp.id)
