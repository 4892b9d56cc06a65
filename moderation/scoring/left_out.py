"""What would be decided on an image without one of a policy's prompts, look-alikes or labels.

The edited policy is decided by the code of production, on the same looks at the image. That the
whole policy need not be bound to its model again for each of them is what is done here: without a
prompt, one column of cosines is another; without a label or a look-alike, its columns are gone.

Shapes: v looks, k labels, c texts, p prompts of a label, d feature width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from moderation.encoders.encoder import Float32s, unit
from moderation.messages import Action
from moderation.policy import Label, Policy
from moderation.scoring.classifier import Classifier, similarities
from moderation.scoring.conditions import raised_action
from moderation.scoring.verdict import ACTIONS, actions, deciding_looks, outcomes

#: How many cosines are in memory at a time.
_MOST_COSINES = 2_000_000


class JoinedLooks(NamedTuple):
    """The looks at one image: (v, c) `joined_similarities`, and (v, d) features of the encoder."""

    cosines: Float32s
    features: Float32s


@dataclass(frozen=True)
class Without:
    """What the edited policy says of the image.

    Attributes:
        action: of the verdict; None where no policy is left.
        decided_by: the label that asks for the most severe action, the highest score first; None
            where no label asks for review or block.
        deciding_score: of that label.
        score: of the label of which a text is left out; None where the label itself is.
        refused: why no policy is left, in words.
    """

    action: Action | None
    decided_by: str | None = None
    deciding_score: float | None = None
    score: float | None = None
    refused: str = ""


class _Edited(NamedTuple):
    """A policy of which columns of cosines are left; where there is no such policy, why."""

    classifier: Classifier | None
    columns: Sequence[int]
    refused: str = ""


@dataclass(frozen=True)
class WithoutEach:
    """What is decided without each text and each label, by places of labels and of their texts."""

    prompts: list[list[Without]]
    negatives: list[list[Without]]
    labels: list[Without]


class LeaveOut:
    """A policy without each of its texts and labels, for many images."""

    def __init__(self, classifier: Classifier, parts: Sequence[Float32s]) -> None:
        """Makes the edited policies.

        Args:
            classifier: of the policy.
            parts: what `expanded_features` has for it.
        """
        self._classifier, policy = classifier, classifier.policy
        pairs = zip(policy.labels, parts, strict=False)  # look-alikes come after the labels
        self._features = [_without_each_prompt(policy, *each) for each in pairs]
        starts = accumulate((len(label.negatives) for label in policy.labels), initial=0)
        self._look_alikes = [len(policy.labels) + start for start in starts]
        self._labels = [self._without_label(j) for j in range(len(policy.labels))]
        self._negatives = [
            [self._without_negative(j, i) for i in range(len(label.negatives))]
            for j, label in enumerate(policy.labels)
        ]

    def of(self, looks: JoinedLooks, doubts: tuple[str, ...]) -> WithoutEach:
        """Returns what is decided on an image without each text and each label.

        Args:
            looks: at the image.
            doubts: about its file, which raise an action as in production.
        """
        whole = [self._decided(each, looks, doubts) for each in self._labels]
        prompts: list[list[Without]] = [
            [] if label.classifier else [without]  # without its only prompt, a label is gone
            for label, without in zip(self._classifier.policy.labels, whole, strict=True)
        ]
        for j, own in enumerate(self._features):
            if len(own):
                prompts[j] = []
        for j, without in self._without_prompts(looks, doubts):
            prompts[j].append(without)
        negatives = [
            [self._decided(each, looks, doubts, j) for each in own]
            for j, own in enumerate(self._negatives)
        ]
        return WithoutEach(prompts, negatives, whole)

    def _without_prompts(
        self, looks: JoinedLooks, doubts: tuple[str, ...]
    ) -> Iterator[tuple[int, Without]]:
        """Yields the label of each prompt beside others, and what is decided without the prompt."""
        owners = np.repeat(np.arange(len(self._features)), [len(own) for own in self._features])
        if not len(owners):
            return
        # (v, p) of all prompts, in the order of the labels.
        columns = similarities(looks.features, np.concatenate(self._features))
        step = max(1, _MOST_COSINES // looks.cosines.size)
        for start in range(0, len(owners), step):
            part = owners[start : start + step]
            cosines = np.repeat(looks.cosines[np.newaxis], len(part), axis=0)
            cosines[np.arange(len(part)), :, part] = columns[:, start : start + step].T
            flat = cosines.reshape(-1, cosines.shape[-1])
            decided = _decided_rows(self._classifier, flat, len(looks.cosines), doubts)
            for j, (without, scores) in zip(part.tolist(), decided, strict=True):
                yield j, replace(without, score=scores[j])

    def _decided(
        self, edited: _Edited, looks: JoinedLooks, doubts: tuple[str, ...], label: int | None = None
    ) -> Without:
        if edited.classifier is None:
            return Without(None, refused=edited.refused)
        if not edited.columns:
            return Without(raised_action("allow", doubts))
        cosines = np.ascontiguousarray(looks.cosines[:, edited.columns])
        [(without, scores)] = _decided_rows(edited.classifier, cosines, len(cosines), doubts)
        return without if label is None else replace(without, score=scores[label])

    def _without_label(self, j: int) -> _Edited:
        policy = self._classifier.policy
        rest = (*policy.labels[:j], *policy.labels[j + 1 :])
        if not any(label.acts for label in rest):
            return _Edited(self._classifier, ())  # what has no acting label allows
        return self._edited(rest, {j, *range(*self._look_alikes[j : j + 2])})

    def _without_negative(self, j: int, i: int) -> _Edited:
        labels = list(self._classifier.policy.labels)
        own = labels[j].negatives
        labels[j] = labels[j].model_copy(update={"negatives": (*own[:i], *own[i + 1 :])})
        return self._edited(labels, {self._look_alikes[j] + i})

    def _edited(self, labels: Sequence[Label], gone: set[int]) -> _Edited:
        whole = self._classifier
        try:  # examples may name a label that is left out
            policy = whole.policy.model_copy(update={"labels": tuple(labels), "examples": ()})
        except ValidationError as error:
            return _Edited(None, (), error.errors()[0]["msg"].removeprefix("Value error, "))
        columns = [column for column in range(self._look_alikes[-1]) if column not in gone]
        features = whole.features[columns]
        return _Edited(Classifier(policy, features, whole.logit_scale, whole.logit_bias), columns)


def _without_each_prompt(policy: Policy, label: Label, rows: Float32s) -> Float32s:
    """Returns (p, d) what a label is without each of its prompts; (0, d) where it has no other."""
    count, width = len(label.prompts), rows.shape[1]
    if count < 2:
        return np.empty((0, width), np.float32)
    by_template = rows.reshape(len(policy.templates), count, width)
    rest = (np.delete(by_template, i, axis=1).reshape(-1, width) for i in range(count))
    return unit(np.stack([each.mean(axis=0) for each in rest]))


def _decided_rows(
    classifier: Classifier, cosines: Float32s, looks: int, doubts: tuple[str, ...]
) -> Iterator[tuple[Without, list[float]]]:
    """Yields what is decided by each `looks` rows of cosines, with the scores that decide."""
    policy = classifier.policy
    scores = classifier.scores(cosines)
    counts = np.full(len(cosines) // looks, looks)
    deciding = deciding_looks(policy, cosines, scores, counts)
    scores = scores[deciding]
    fired = outcomes(policy, cosines[deciding], scores)
    # The most severe label, and of several the highest score: outcomes are whole numbers.
    first = (2.0 * fired.astype(np.float64) + scores).argmax(axis=1)
    for row, j, outcome, each in zip(fired, first, actions(fired), scores.tolist(), strict=True):
        action = raised_action(ACTIONS[outcome], doubts)
        if ACTIONS[row[j]] == "allow":
            yield Without(action), each
        else:
            yield Without(action, policy.labels[j].id, each[j]), each
