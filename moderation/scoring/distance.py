"""How far a label is from what it takes to fire, in score and in cosine.

By every scoring rule a label's score is 1 / (1 + exp(rivals - logit)), and its rivals do not depend
on its own logit. So which cosine a threshold needs, while all else stays as it is, is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Float32s
from moderation.messages import Action
from moderation.policy import Label
from moderation.scoring.classifier import Classifier, owner_of_negatives


@dataclass(frozen=True)
class Distance:
    """How much more a label has than it needs; less than 0 where it is not there.

    Attributes:
        of: the threshold's name in the file; `highest` where the label must be the most similar.
        asks: what it asks for from there on.
        threshold: in score; None of `highest`.
        score: how far the score is above it; None of `highest`.
        cosine: how far the similarity is above the one that it takes while all other texts stay as
            they are; None where a classifier scores the label, and where every score or none is
            enough.
    """

    of: Literal["threshold", "review_threshold", "highest"]
    asks: Action
    threshold: float | None
    score: float | None
    cosine: float | None

    @property
    def reached(self) -> bool:
        """Whether it is there, as production compares: a score in float32."""
        if self.score is None:
            return self.cosine is not None and self.cosine >= 0
        return self.score >= 0


def label_distances(
    classifier: Classifier, cosines: Float32s, scores: Float32s
) -> list[tuple[Distance, ...]]:
    """Returns for each label of a policy how far it is from each of its thresholds.

    Args:
        classifier: of the policy.
        cosines: (c,) of one look, as `joined_similarities` has them.
        scores: (k,) of these.
    """
    rivals = _rival_logits(classifier, cosines.astype(np.float64) * classifier.logit_scale)
    return [
        tuple(_distances(classifier, j, label, cosines, float(scores[j]), rivals[j]))
        for j, label in enumerate(classifier.policy.labels)
    ]


def _distances(
    classifier: Classifier,
    j: int,
    label: Label,
    cosines: Float32s,
    score: float,
    rivals: float,
) -> Iterator[Distance]:
    if label.action is None:
        return
    similarity, scale = float(cosines[j]), classifier.logit_scale
    asked: tuple[tuple[Literal["threshold", "review_threshold"], float | None, Action], ...] = (
        ("threshold", label.threshold, label.action),
        ("review_threshold", label.review_threshold, "review"),
    )
    for name, threshold, asks in asked:
        if threshold is not None:
            cosine = None
            if 0 < threshold < 1 and not label.classifier:
                needed = rivals + math.log(threshold / (1 - threshold))
                cosine = similarity - needed / scale
            # As production compares: 0.8 is the float32 nearest to it.
            above = score - float(np.float32(threshold))
            yield Distance(name, asks, threshold, above, cosine)
    if classifier.policy.decision == "top_label":
        others = np.delete(cosines, j)
        yield Distance("highest", label.action, None, None, similarity - float(others.max()))


def _rival_logits(classifier: Classifier, logits: npt.NDArray[np.float64]) -> list[float]:
    """Returns for each label the logit at which its score is one half, by the scoring rule."""
    policy = classifier.policy
    count, owners = len(policy.labels), owner_of_negatives(policy)
    own, look_alikes = logits[:count], logits[count:]
    said = classifier.labels_with_prompts
    context = said & np.array([not label.acts for label in policy.labels])
    rivals = []
    for j in range(count):
        if policy.scoring == "sigmoid":
            rivals.append(-(classifier.logit_bias or 0.0))
            continue
        competing = (context if policy.scoring == "contrast" else said).copy()
        competing[j] = False
        each = [*own[competing], *look_alikes[owners == j]]
        rivals.append(float(np.logaddexp.reduce(each)) if each else math.nan)
    return rivals
