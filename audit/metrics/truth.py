"""y_true -> what a policy should have said of each image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from audit.datasets.dataset import Y_TRUE, Dataset
from audit.metrics.predictions import Marks, Predictions
from moderation.policy import Policy

#: A y_true that says: nothing here should be flagged, whatever it shows.
ALLOW = "allow"


@dataclass(frozen=True)
class Truth:
    """What is known of n images under one policy.

    Attributes:
        positive: (n,) images that should be flagged.
        negative: (n,) images that should not; those in neither have an unknown truth.
        classified: (n,) images whose y_true names a label or category of the policy.
        misclassified: (n,) those of them that went elsewhere.
        unmatched: values of y_true that name nothing in the policy, with how many images have each.
    """

    positive: Marks
    negative: Marks
    classified: Marks
    misclassified: Marks
    unmatched: Mapping[str, int]


def slug(text: str) -> str:
    """Returns a class name as label ids and categories are written."""
    return "/".join(re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in text.lower().split("/"))


def meant_labels(policy: Policy, value: str) -> list[int]:
    """Returns the columns of the labels that a y_true names: by id, or else by category."""
    name = slug(value)
    by_id = [j for j, label in enumerate(policy.labels) if label.id == name]
    by_category = [
        j
        for j, label in enumerate(policy.labels)
        if f"{label.reported_category}/".startswith(f"{name}/")
    ]
    return by_id or by_category


def truth_of(dataset: Dataset, predictions: Predictions) -> Truth:
    """Returns the truth of a dataset's images under a policy.

    An image of a label that asks for review or block should be flagged; one of a context label, of
    `allow`, or of a benign dataset should not. Nothing is made of a y_true that names no label.
    """
    n, policy = len(predictions), predictions.policy
    positive, classified, misclassified = (np.zeros(n, bool) for _ in range(3))
    negative = np.full(n, dataset.benign)
    unmatched: dict[str, int] = {}
    y_true = dataset.table[Y_TRUE]
    for value in sorted(y_true.dropna().unique()):
        rows = (y_true == value).to_numpy(bool)
        columns = meant_labels(policy, value)
        if not columns:
            negative |= rows & (slug(value) == ALLOW)
            if slug(value) != ALLOW:
                unmatched[value] = int(rows.sum())
            continue
        acts = any(policy.labels[j].action in ("review", "block") for j in columns)
        positive |= rows & acts
        negative = negative & ~rows | rows & (not acts)
        classified |= rows
        misclassified |= rows & ~np.isin(predictions.y_pred, columns)
    return Truth(positive, negative, classified, misclassified, unmatched)
