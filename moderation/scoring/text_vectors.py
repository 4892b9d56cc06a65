"""What a model makes of a policy's texts, for the rules of lint that compare these."""

from __future__ import annotations

import numpy as np

from moderation.encoders.encoder import TextEncoder, unit
from moderation.policy.lint.linted_policy import LintedPolicy, TextVectors
from moderation.scoring.classifier import in_templates, policy_features


def text_vectors(linted: LintedPolicy, encoder: TextEncoder) -> TextVectors:
    """Returns what a model makes of a policy's texts.

    Raises:
        PolicyError: a prompt is too long for the model. ModelError: a feature is not finite.
    """
    policy = linted.policy
    labels = policy_features(policy, encoder).texts[: len(policy.labels)]
    filled = [text for each in linted.texts for text in in_templates(policy, each.text)]
    if not filled:
        return TextVectors(np.empty((0, labels.shape[1]), np.float32), labels, encoder.stamp.id)
    rows = unit(encoder.text_features(filled))
    by_text = rows.reshape(len(linted.texts), len(policy.templates), -1)
    return TextVectors(unit(by_text.mean(axis=1)), labels, encoder.stamp.id)
