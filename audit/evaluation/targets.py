"""What is looked for in pictures: a label, a category, or that something should be done.

A target has a truth, a score and one or two points at which it is said, so that all three kinds
are judged alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.evaluation.evaluated_system import OUTCOMES, EvaluatedSystem
from audit.evaluation.labelled_images import Marks, NamesUnderLabels
from audit.statistics.intervals import Float64s

Kind = Literal["label", "category", "action"]
PointName = Literal["threshold", "review_threshold", "decision"]

#: What the two targets of the kind `action` are called.
FLAGGED, BLOCKED = "flagged", "blocked"

#: Scores of 0 and 1 have no finite logit; no other float32 lies beyond these.
_LOWEST, _HIGHEST = 1e-50, 1 - 1e-12


@dataclass(frozen=True)
class DecisionPoint:
    """Which pictures a system says to be of a target, at one of its thresholds.

    Attributes:
        name: threshold, or review_threshold; decision where several labels decide together.
        threshold: the score from which it is said, where there is one.
        said: (n,).
    """

    name: PointName
    threshold: float | None
    said: Marks


@dataclass(frozen=True)
class EvaluationTarget:
    """Something that a system looks for in n pictures.

    Attributes:
        kind: label, category or action.
        name: the label's id, the category, or flagged or blocked.
        positive: (n,) pictures that show it.
        negative: (n,) pictures that do not; of the others it is not known.
        scores: (n,) the higher the more.
        points: where it is said; the first is what the system does at its own threshold.
        columns: the labels that it is made of.
    """

    kind: Kind
    name: str
    positive: Marks
    negative: Marks
    scores: Float64s
    points: tuple[DecisionPoint, ...]
    columns: tuple[int, ...]

    @property
    def known(self) -> Marks:
        """(n,) pictures of which it is known whether they show it."""
        return np.asarray(self.positive | self.negative)


def evaluation_targets(
    system: EvaluatedSystem, names: NamesUnderLabels
) -> Iterator[EvaluationTarget]:
    """Yields what a system looks for: the actions first, then categories, then labels."""
    yield from _action_targets(system, names)
    yield from _category_targets(system, names)
    for column, label in enumerate(system.labels):
        if label.acts:
            yield _label_target(system, names, column)


def _wanted(system: EvaluatedSystem, columns: list[int]) -> Marks:
    wanted = np.zeros(len(system.labels), bool)
    wanted[columns] = True
    return wanted


def _label_target(
    system: EvaluatedSystem, names: NamesUnderLabels, column: int
) -> EvaluationTarget:
    label, fired = system.labels[column], system.outcomes[:, column]
    points = [DecisionPoint("threshold", label.threshold, fired >= OUTCOMES[str(label.action)])]
    if label.review_threshold is not None:
        said = fired >= OUTCOMES["review"]
        points.append(DecisionPoint("review_threshold", label.review_threshold, said))
    truth = names.truth(_wanted(system, [column]))
    scores = system.scores[:, column].astype(np.float64)
    return EvaluationTarget("label", label.id, *truth, scores, tuple(points), (column,))


def _category_targets(
    system: EvaluatedSystem, names: NamesUnderLabels
) -> Iterator[EvaluationTarget]:
    """Yields the categories, also those around them; not one that is a label by another name."""
    columns: dict[str, list[int]] = {}
    for column, label in enumerate(system.labels):
        parts = label.reported_category.split("/") if label.acts else []
        for end in range(1, len(parts) + 1):
            columns.setdefault("/".join(parts[:end]), []).append(column)
    ids = {label.id for label in system.labels}
    for name, own in sorted(columns.items()):
        if name in ids and len(own) == 1:
            continue
        scores = _category_scores(system, own)
        said = np.asarray((system.outcomes[:, own] >= OUTCOMES["review"]).any(axis=1))
        points = (DecisionPoint("decision", None, said),)
        truth = names.truth(_wanted(system, own))
        yield EvaluationTarget("category", name, *truth, scores, points, tuple(own))


def _category_scores(system: EvaluatedSystem, own: list[int]) -> Float64s:
    """Returns (n,) scores of some labels together: as production has a category's."""
    added = [column for column in own if column in system.adds]
    others = [column for column in own if column not in system.adds]
    summed = np.minimum(system.scores[:, added].astype(np.float64).sum(axis=1), 1.0)
    parts = [summed] if added else []
    parts += [system.scores[:, column].astype(np.float64) for column in others]
    highest: Float64s = np.max(parts, axis=0)
    return highest


def _action_targets(system: EvaluatedSystem, names: NamesUnderLabels) -> Iterator[EvaluationTarget]:
    """Yields what should be flagged, and what should be blocked, where the system does it."""
    for name, least in ((FLAGGED, "review"), (BLOCKED, "block")):
        own = [
            column
            for column, label in enumerate(system.labels)
            if label.action is not None and OUTCOMES[label.action] >= OUTCOMES[least]
        ]
        if not own:
            continue
        said = np.asarray((system.outcomes[:, own] >= OUTCOMES[least]).any(axis=1))
        points = (DecisionPoint("decision", None, said),)
        truth = names.truth(_wanted(system, own))
        scores = _nearest_margin(system, own, lowest=least == "review")
        yield EvaluationTarget("action", name, *truth, scores, points, tuple(own))


def _nearest_margin(system: EvaluatedSystem, own: list[int], *, lowest: bool) -> Float64s:
    """Returns (n,) how far the label nearest to its threshold is above it, in logits.

    Labels have thresholds of their own, so their scores cannot be compared. One without a threshold
    is measured from 1/2.
    """
    thresholds = []
    for column in own:
        label = system.labels[column]
        review = label.review_threshold if lowest else None
        at = review if review is not None else label.threshold
        thresholds.append(0.5 if at is None else at)
    scores = system.scores[:, own].astype(np.float64)
    at_logits = _logits(np.array(thresholds, np.float32).astype(np.float64))
    margins: Float64s = (_logits(scores) - at_logits).max(axis=1)
    return margins


def _logits(values: npt.NDArray[np.float64]) -> Float64s:
    logits: Float64s = special.logit(np.clip(values, _LOWEST, _HIGHEST))
    return logits
