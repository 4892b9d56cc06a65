"""Scores -> decision; pure. The audit runs this very code.

Shapes: n images, k labels, c texts: those of the labels, then those of their look-alikes. An
outcome is what one label asks for, as a number: 0 if it did not fire, 1 allow, 2 review, 3 block.
The most severe one decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from moderation.encoders.encoder import Float32s
from moderation.images.looks import Seen
from moderation.messages import Action, LabelScore, ModelStamp, Verdict
from moderation.policy import Label, Policy
from moderation.scoring.conditions import Conditions, raised_action

#: The action of each outcome; 0, where nothing fired, is allowed too.
ACTIONS: tuple[Action, ...] = ("allow", "allow", "review", "block")
_OUTCOME: dict[Action, int] = {"allow": 1, "review": 2, "block": 3}

#: Checks all labels of a verdict at once, in half the time that they take one by one.
_LABEL_SCORES = TypeAdapter(tuple[LabelScore, ...])

Outcomes = npt.NDArray[np.int8]

#: (n,) how many of m rows belong to each of n images, which have their rows beside each other.
LookCounts = npt.NDArray[np.intp]


def outcomes(policy: Policy, similarities: Float32s, scores: Float32s) -> Outcomes:
    """Returns (n, k) outcomes of (n, c) similarities and (n, k) scores.

    A score that reaches its threshold fires. Under top_label only the label with the highest
    similarity can fire, and it needs no threshold; of labels that are exactly equal each can fire,
    so that their order in the file decides nothing.
    """
    fired = np.zeros(scores.shape, np.int8)
    for j, label in enumerate(policy.labels):
        if label.action is None:
            continue
        column = scores[:, j]
        if label.review_threshold is not None:
            fired[column >= np.float32(label.review_threshold), j] = _OUTCOME["review"]
        # float32, as the scores are: 0.8 must not be above the float32 nearest to it.
        reached = column >= np.float32(label.threshold or 0.0)
        fired[reached, j] = _OUTCOME[label.action]
    if policy.decision == "top_label":
        # Not by score: rounding can make two scores equal that are not.
        fired[similarities < similarities.max(axis=1, keepdims=True)] = 0
    return fired


def actions(fired: Outcomes) -> npt.NDArray[np.int8]:
    """Returns (n,) the most severe outcome of each image; `ACTIONS` names it."""
    worst: npt.NDArray[np.int8] = fired.max(axis=1, initial=0)
    return worst


def deciding_look(policy: Policy, similarities: Float32s, scores: Float32s) -> int:
    """Returns which of v looks decides on one image; see `deciding_looks`."""
    return int(deciding_looks(policy, similarities, scores, np.array([len(scores)]))[0])


def deciding_looks(
    policy: Policy, similarities: Float32s, scores: Float32s, looks: LookCounts
) -> npt.NDArray[np.intp]:
    """Returns (n,) the row of the look that decides on each image: the worst, whatever it shows.

    It is the look with the most severe action; among several of these, the one where an acting
    label scores highest; and then the first.

    Args:
        policy: with k labels.
        similarities: (m, c) cosines.
        scores: (m, k) in [0, 1].
        looks: how many of the m rows each image has, one or more.
    """
    severity = actions(outcomes(policy, similarities, scores))
    acts = np.array([label.acts for label in policy.labels])
    highest = scores[:, acts].max(axis=1, initial=0.0)
    image = np.repeat(np.arange(len(looks)), looks)
    # Sorted by the last key first, and equals stay as they were.
    worst_first = np.lexsort((-highest, -severity, image))
    return worst_first[first_looks(looks)]


def first_looks(looks: LookCounts) -> npt.NDArray[np.intp]:
    """Returns (n,) the row of each image's first look."""
    return np.cumsum(looks) - looks


def deciding_label(labels: Iterable[LabelScore]) -> LabelScore | None:
    """Returns the label that asks for the most severe action, and of several the highest score.

    None where no label asks for review or block.
    """
    asking = [label for label in labels if label.outcome in ("review", "block")]
    return max(asking, key=lambda label: (label.outcome == "block", label.score), default=None)


@dataclass(frozen=True)
class Decision:
    """What a policy says of one image's scores."""

    action: Action
    categories: dict[str, bool]
    category_scores: dict[str, float]
    labels: tuple[LabelScore, ...]

    @property
    def flagged(self) -> bool:
        """Whether anything but allow was decided."""
        return self.action != "allow"


def decide(policy: Policy, similarities: Float32s, scores: Float32s) -> Decision:
    """Returns the decision on one image of (c,) similarities and (k,) scores; see `decisions`."""
    rows = similarities[np.newaxis], scores[np.newaxis]
    return decisions(policy, *rows, outcomes(policy, *rows))[0]


def decisions(
    policy: Policy,
    similarities: Float32s,
    scores: Float32s,
    fired: Outcomes,
    prompts: Sequence[Sequence[str | None]] | None = None,
) -> list[Decision]:
    """Returns the decision on each image.

    A category is True where one of its labels asks for review or block. Its score is the sum of its
    labels' scores under softmax, where they share 1, and otherwise the highest of them. What a
    classifier scores shares nothing, so it is never added.

    Args:
        policy: with k labels.
        similarities: (n, c) cosines; those from k on are of look-alikes.
        scores: (n, k) in [0, 1].
        fired: (n, k) what `outcomes` returns for these.
        prompts: n lists of k, which of a label's prompts is nearest to the image where the label
            fired; where it is not known, no label has one.
    """
    if prompts is None:
        prompts = [[None] * len(policy.labels)] * len(fired)
    constants = [_label_constants(label) for label in policy.labels]
    ends = list(accumulate((len(label.negatives) for label in policy.labels), initial=0))
    own = [slice(*span) for span in pairwise(len(constants) + end for end in ends)]
    adds = [policy.scoring == "softmax" and not label.classifier for label in policy.labels]
    # As Python's own numbers, which are quicker to take one by one.
    rows = zip(fired.tolist(), similarities.tolist(), scores.tolist(), prompts, strict=True)
    return [
        Decision(
            ACTIONS[worst],
            *_category_scores(constants, row[0], row[2], adds),
            _label_scores(constants, own, *row),
        )
        for worst, row in zip(actions(fired).tolist(), rows, strict=True)
    ]


def _label_constants(label: Label) -> dict[str, Any]:
    """Returns what a label's scores say of it, whatever they are."""
    return {
        "label": label.id,
        "category": label.reported_category if label.acts else None,
        "action": label.action,
        "severity": label.severity,
        "threshold": label.threshold,
        "review_threshold": label.review_threshold,
        "classifier": label.classifier.named if label.classifier else None,
    }


def _category_scores(
    constants: list[dict[str, Any]], fired: list[int], scores: list[float], adds: list[bool]
) -> tuple[dict[str, bool], dict[str, float]]:
    """Returns whether each category of a policy's labels is flagged, and its score."""
    flags: dict[str, bool] = {}
    sums: dict[str, float] = {}
    highest: dict[str, float] = {}
    for constant, outcome, score, is_added in zip(constants, fired, scores, adds, strict=True):
        if (name := constant["category"]) is None:
            continue
        flags[name] = flags.get(name, False) or ACTIONS[outcome] != "allow"
        if is_added:
            sums[name] = min(sums.get(name, 0.0) + score, 1.0)
        else:
            highest[name] = max(highest.get(name, 0.0), score)
    return flags, {name: max(sums.get(name, 0.0), highest.get(name, 0.0)) for name in flags}


def _label_scores(
    constants: list[dict[str, Any]],
    negatives: list[slice],
    fired: list[int],
    similarities: list[float],
    scores: list[float],
    prompts: Sequence[str | None],
) -> tuple[LabelScore, ...]:
    return _LABEL_SCORES.validate_python(
        tuple(
            {
                **constant,
                "similarity": similarity,
                "score": score,
                "fired": outcome > 0,
                "outcome": ACTIONS[outcome] if outcome else None,
                "negatives": similarities[own],
                "prompt": prompt,
            }
            for constant, own, outcome, similarity, score, prompt in zip(
                constants,
                negatives,
                fired,
                similarities[: len(constants)],
                scores,
                prompts,
                strict=True,
            )
        )
    )


def make_verdict(
    policy: Policy,
    decision: Decision,
    *,
    seen: Seen,
    conditions: Conditions,
    model: ModelStamp,
    request_id: str,
    image_sha256: str,
    timings: dict[str, float],
) -> Verdict:
    """Returns the verdict: the decision with all that is needed to replay it.

    A file that gives doubts under the conditions is not allowed, whatever its scores.
    """
    doubts = conditions.doubts(seen)
    action = raised_action(decision.action, doubts)
    return Verdict(
        request_id=request_id,
        image_sha256=image_sha256,
        frame=seen.look.frame,
        box=seen.look.box,
        background=seen.look.background,
        looks=seen.looks,
        exhaustive=seen.is_exhaustive,
        oddities=seen.oddities,
        doubts=doubts,
        action=action,
        flagged=action != "allow",
        categories=decision.categories,
        category_scores=decision.category_scores,
        policy=policy.stamp,
        unfitted=policy.unfitted(model) is not None,
        model=model,
        labels=decision.labels,
        timings=timings,
    )


class DecisionKey(NamedTuple):
    """What the verdict on one image depends on: an equal key means the same decision, for good.

    Number format and device are left out: workers that differ in them can serve one queue.
    """

    policy_sha256: str
    model_fingerprint: str
    preprocessing: str
    conditions: str


@dataclass(frozen=True)
class Basis:
    """What a verdict rests on apart from the image, for a replay."""

    policy: Policy
    model: ModelStamp
    conditions: Conditions
    logit_scale: float
    logit_bias: float | None

    @property
    def key(self) -> DecisionKey:
        """What makes two decisions on one image the same."""
        model = self.model
        return DecisionKey(
            self.policy.sha256, model.fingerprint, model.preprocessing, self.conditions.text
        )
