"""CLIP's looks and those of classifiers, joined: what one policy says of each look at an image.

Models that want a picture in different sizes can see different numbers of looks at it, since looks
of equal pixels are dropped. Rows of a model with fewer looks are filled up by repeating its last
one. So each look of each model is in some row, and the most severe row is the most severe look.

Shapes: n images, m looks at them, k labels, c texts. Production and the audit both run this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from moderation.encoders.classifiers.description import classifier_scores
from moderation.encoders.encoder import Rows
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import LookCounts, Outcomes, first_looks


class ModelRows(NamedTuple):
    """What one model makes of n images: (m, d) rows, and (n,) how many of them each image has."""

    rows: Rows
    looks: LookCounts


def joined_similarities(
    classifier: Classifier, encoded: ModelRows, outputs: Mapping[str, ModelRows]
) -> ModelRows:
    """Returns (m, c) cosines, with the score of a classifier in the column of its label.

    Args:
        classifier: of a policy.
        encoded: features of its model.
        outputs: raw outputs of its classifiers for the same images, by `model_key`.

    Raises:
        ModelError: what a classifier gives is not a score.
    """
    cosines = classifier.similarities(encoded.rows)
    classified = classifier.policy.classified_labels
    if not classified:
        return ModelRows(cosines, encoded.looks)
    given = {key: outputs[key].looks for key in {each.model_key for each in classified.values()}}
    looks = np.max([encoded.looks, *given.values()], axis=0)
    cosines = cosines[filled_up(encoded.looks, looks)]
    for column, each in classified.items():
        scores = classifier_scores(each, outputs[each.model_key].rows)
        cosines[:, column] = scores[filled_up(given[each.model_key], looks)]
    return ModelRows(cosines, looks)


def filled_up(own: LookCounts, wanted: LookCounts) -> npt.NDArray[np.intp]:
    """Returns for each wanted look at each image the row of the model's own, or of its last."""
    if np.array_equal(own, wanted):
        return np.arange(wanted.sum())
    image = np.repeat(np.arange(len(wanted)), wanted)
    place = np.arange(len(image)) - np.repeat(first_looks(wanted), wanted)
    return first_looks(own)[image] + np.minimum(place, own[image] - 1)


def deciding_models(policy: Policy, fired: Outcomes) -> list[str | None]:
    """Returns whose look decides each of n images: a classifier's `model_key`, or None for CLIP.

    It is the model whose label asks for the most severe action: CLIP on a tie, and then the first.
    """
    if not policy.classified_labels:
        return [None] * len(fired)
    keys = [label.classifier and label.classifier.model_key for label in policy.labels]
    # As they win ties; sorted keeps the order of equals.
    order = sorted(range(len(keys)), key=lambda column: keys[column] is not None)
    return [keys[order[column]] for column in fired[:, order].argmax(axis=1).tolist()]
