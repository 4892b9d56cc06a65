"""What a model makes of a policy's texts, for the rules of lint that compare these."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.encoders.encoder import TextEncoder, unit
from moderation.policy.lint.linted_policy import LintedPolicy, TextVectors
from moderation.scoring.classifier import Classifier, in_templates


def text_vectors(linted: LintedPolicy, encoder: TextEncoder) -> TextVectors:
    """Returns what a model makes of a policy's texts.

    Raises:
        PolicyError: a prompt is too long for the model, or sigmoid scoring does not fit it.
        ModelError: a feature is not finite.
    """
    policy = linted.policy
    filled = [text for each in linted.texts for text in in_templates(policy, each.text)]
    rows = unit(encoder.text_features(filled)).reshape(len(linted.texts), len(policy.templates), -1)
    own_scores = dict(_own_scores(Classifier.of(policy, encoder)))
    return TextVectors(unit(rows.mean(axis=1)), own_scores, encoder.stamp.id)


def _own_scores(classifier: Classifier) -> Iterator[tuple[str, tuple[float, str]]]:
    """Yields for each acting label with prompts the score of its own words, and its rival."""
    labels = classifier.policy.labels
    cosines = classifier.similarities(classifier.features[: len(labels)])
    scores = classifier.scores(cosines)
    by_contrast = classifier.policy.scoring == "contrast"
    for place, label in enumerate(labels):
        if not label.acts or label.classifier:
            continue
        rivals = [
            i
            for i, other in enumerate(labels)
            if i != place and not other.classifier and not (by_contrast and other.acts)
        ]
        rival = labels[max(rivals, key=lambda i: float(cosines[place, i]))].id if rivals else ""
        yield label.id, (float(scores[place, place]), rival)
