"""What a system says of each image; of a policy, by the code of production.

A policy's scores and decisions are those of `moderation.scoring`, never a copy.
Shapes: n images, m looks at them, k labels, d feature width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from audit.datasets.groups import Marks
from audit.metrics.truth import SaidLabel, Truth
from moderation.encoders.encoder import Float32s, Rows, TextEncoder
from moderation.policy import Label, Policy
from moderation.scoring.classified import ModelRows, joined_similarities
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import (
    ACTIONS,
    LookCounts,
    Outcomes,
    actions,
    deciding_looks,
    first_looks,
    outcomes,
)

Number = TypeVar("Number", bound=np.generic)

#: Stands for no label, where a system said none.
NO_LABEL = "(none)"

#: Outcomes from this one on flag an image: review and block.
_FLAGS = ACTIONS.index("review")

#: Looks that are scored at a time.
_SCORED_TOGETHER = 2**16


class LookScores(NamedTuple):
    """What one policy scores each of the m looks at n images.

    Attributes:
        similarities: (m, k) cosines.
        scores: (m, k) in [0, 1].
        looks: (n,) how many of the m rows each image has.
    """

    similarities: Float32s
    scores: Float32s
    looks: LookCounts


def highest_of_looks(values: npt.NDArray[Number], looks: LookCounts) -> npt.NDArray[Number]:
    """Returns (n,) the highest of the values of each image, of (m,) values of looks."""
    if len(values) == len(looks):  # one look at each
        return values
    highest: npt.NDArray[Number] = np.maximum.reduceat(values, first_looks(looks))
    return highest


@dataclass(frozen=True, kw_only=True)
class Predictions(ABC):
    """What a system, such as a policy, says of n images.

    Attributes:
        name: what reports call the system; two versions of a policy have one id and two names.
        outcomes: (n, k) what each label asks for, as in `moderation.scoring.verdict`.
        truth: what it should say of the images, where that was looked up.
    """

    name: str
    outcomes: Outcomes
    truth: Truth | None = None

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    @abstractmethod
    def labels(self) -> Sequence[SaidLabel]:
        """The k labels, in the order of the columns."""

    @property
    @abstractmethod
    def y_pred(self) -> npt.NDArray[np.intp]:
        """(n,) column of the label that is said of each image; -1 where none is."""

    @property
    def can_flag(self) -> bool:
        """Whether to be flagged is the harm that is measured; otherwise to be misclassified is."""
        return True

    @property
    def label_ids(self) -> tuple[str, ...]:
        """The k label ids, in the order of the columns."""
        return tuple(label.id for label in self.labels)

    @property
    def flagging(self) -> list[int]:
        """Columns of the labels that can flag an image: their action is review or block."""
        labels = enumerate(self.labels)
        return [column for column, label in labels if label.action in ("review", "block")]

    @cached_property
    def actions(self) -> npt.NDArray[np.int8]:
        """(n,) the most severe outcome of each image, as `verdict.ACTIONS` names it."""
        return actions(self.outcomes)

    @cached_property
    def flagged(self) -> Marks:
        """(n,) whether the action is review or block."""
        return np.asarray(self.actions >= _FLAGS)

    @cached_property
    def fired(self) -> Marks:
        """(n, k) whether the label asks for review or block."""
        return np.asarray(self.outcomes >= _FLAGS)

    @cached_property
    def categories(self) -> dict[str, Marks]:
        """(n,) by category: whether one of its labels asks for review or block."""
        found: dict[str, Marks] = {}
        for column, label in enumerate(self.labels):
            if label.acts:
                name = label.reported_category
                marks = found.get(name, np.zeros(len(self), bool))
                found[name] = marks | self.fired[:, column]
        return found


@dataclass(frozen=True, kw_only=True)
class PolicyPredictions(Predictions):
    """What one policy says of n images, each by the look at it that decides.

    Attributes:
        policy: with k labels.
        similarities: (n, k) cosines.
        scores: (n, k) in [0, 1].
        several: the scores of all looks, where an image got more than one.
        can_flag: whether to be flagged is the harm that is measured.
    """

    policy: Policy
    similarities: Float32s
    scores: Float32s
    several: LookScores | None = None
    can_flag: bool = True

    @property
    def labels(self) -> tuple[Label, ...]:
        """The policy's labels."""
        return self.policy.labels

    @property
    def every_look(self) -> LookScores:
        """The scores of all looks; another threshold can make another one decide."""
        return self.several or LookScores(
            self.similarities, self.scores, _one_each(self.similarities)
        )

    @property
    def added(self) -> tuple[int, ...]:
        """Columns of the labels that share 1, whose scores `decisions` adds up in a category.

        What a classifier scores shares nothing.
        """
        shares = self.policy.scoring == "softmax"
        return tuple(
            column for column, label in enumerate(self.labels) if shares and not label.classifier
        )

    @cached_property
    def y_pred(self) -> npt.NDArray[np.intp]:
        """(n,) column of the most similar label; of equally similar ones, the first by id.

        A label that a classifier scores is similar to nothing; where all are such, no label is.
        """
        said = [column for column, label in enumerate(self.labels) if label.classifier is None]
        if not said:
            return np.full(len(self), -1, np.intp)
        by_id = np.array(sorted(said, key=self.label_ids.__getitem__))
        top: npt.NDArray[np.intp] = by_id[self.similarities[:, by_id].argmax(axis=1)]
        return top


def predict(
    policy: Policy,
    encoder: TextEncoder,
    image_features: Rows,
    *,
    looks: LookCounts | None = None,
    outputs: Mapping[str, ModelRows] | None = None,
    name: str | None = None,
    truth: Truth | None = None,
) -> PolicyPredictions:
    """Returns what a policy says of (m, d) image features; only its texts go to the encoder.

    Of several looks at an image it is what production says: the policy's worst one decides.

    Args:
        policy: with k labels.
        encoder: the model that made the features.
        image_features: of the looks at n images, those at one beside each other; they may be as
            they are stored, in a file.
        looks: (n,) how many of them each image has; by default one.
        outputs: what the policy's classifiers give for the same images, by `model_key`.
        name: what reports call it; by default the policy's id.
        truth: what the policy should say of these images, where that is known.

    Raises:
        PolicyError: the policy does not fit the model.
        ModelError: a score is not finite, or what a classifier gives is not a score.
    """
    classifier = Classifier.of(policy, encoder)
    encoded = ModelRows(image_features, _one_each(image_features) if looks is None else looks)
    cosines, looks = joined_similarities(classifier, encoded, outputs or {})
    k = len(policy.labels)
    scores = np.empty((len(cosines), k), np.float32)
    for start in range(0, len(cosines), _SCORED_TOGETHER):  # in float64, which takes room
        part = slice(start, start + _SCORED_TOGETHER)
        scores[part] = classifier.scores(cosines[part])
    cosines = cosines[:, :k]  # without those of look-alikes, which no label is said by
    several = None
    if len(looks) != len(scores):
        several = LookScores(cosines, scores, looks)
        decide = deciding_looks(policy, cosines, scores, looks)
        cosines, scores = cosines[decide], scores[decide]
    fired = outcomes(policy, cosines, scores)
    return PolicyPredictions(
        name=name or policy.id,
        outcomes=fired,
        truth=truth,
        policy=policy,
        similarities=cosines,
        scores=scores,
        several=several,
    )


def _one_each(rows: Rows) -> LookCounts:
    return np.ones(len(rows), np.intp)
