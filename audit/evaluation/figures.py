"""Figures of an evaluation: how often a system is right on each target, as the records of its JSON.

A figure that is undefined, such as the recall of a label that no picture shows, is null.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from audit.evaluation.labelled_images import Marks
from audit.evaluation.targets import DecisionPoint, EvaluationTarget
from audit.results.rows import Number, Record, Support
from audit.statistics.detection import ScoreSteps, average_precision, f1, score_steps
from audit.statistics.intervals import share, wilson
from audit.statistics.scores import Estimate, auc
from audit.statistics.support import support_of

#: A curve has up to this many points, of all scores that occur.
_CURVE_POINTS = 200


class MeasuredFigure(Record):
    """A figure with its 95 % interval, and how many pictures it rests on."""

    value: Number
    low: Number
    high: Number
    n: int
    support: Support = Field(description="full from 100 pictures, indicative from 30, suppressed.")

    @classmethod
    def of(cls, estimate: Estimate, n: int) -> MeasuredFigure:
        """Returns the record of an estimate; one of no picture is null."""
        value, low, high = estimate
        return cls(value=value, low=low, high=high, n=n, support=str(support_of(n)))

    @classmethod
    def share(cls, count: int, n: int) -> MeasuredFigure:
        """Returns the record of count of n, with Wilson's interval."""
        low, high = wilson(count, n)
        return cls.of(Estimate(float(share(count, n)), float(low), float(high)), n)


class DecisionFigures(Record):
    """How often a system is right about a target where it says it."""

    point: Literal["threshold", "review_threshold", "decision"]
    threshold: Number
    true_positives: int
    false_positives: int
    missed: int
    true_negatives: int
    precision: MeasuredFigure
    recall: MeasuredFigure
    f1: MeasuredFigure
    false_flag_rate: MeasuredFigure


class CurvePoint(Record):
    """What would be said at one score as the threshold."""

    score: float
    true_positives: int
    false_positives: int
    precision: Number
    recall: Number
    false_flag_rate: Number


class TargetFigures(Record):
    """All figures of one system on one target."""

    system: str
    kind: Literal["action", "category", "label"]
    name: str
    positives: int
    negatives: int
    unknown: int = Field(description="Pictures of which it is not known.")
    decisions: tuple[DecisionFigures, ...] = Field(description="The first is the system's own.")
    average_precision: MeasuredFigure
    roc_area: MeasuredFigure
    scores: int = Field(description="How many distinct scores there are; the curve has some.")
    curve: tuple[CurvePoint, ...] = Field(
        description="For the kind action, scores are logits above the own threshold."
    )


def target_figures(system: str, target: EvaluationTarget) -> TargetFigures:
    """Returns the figures of a target."""
    known, positive = target.known, target.positive
    m, n = int(positive.sum()), int(target.negative.sum())
    scores, shown = target.scores[known], positive[known]
    steps = score_steps(scores, shown)
    area = auc(target.scores[positive], target.scores[target.negative])
    ranked = average_precision(scores, shown)
    return TargetFigures(
        system=system,
        kind=target.kind,
        name=target.name,
        positives=m,
        negatives=n,
        unknown=len(known) - m - n,
        decisions=tuple(_decision_figures(target, point) for point in target.points),
        average_precision=MeasuredFigure.of(ranked, m),
        roc_area=MeasuredFigure.of(area, min(m, n)),
        scores=len(steps.scores),
        curve=_curve(steps, target),
    )


def _decision_figures(target: EvaluationTarget, point: DecisionPoint) -> DecisionFigures:
    def among(marks: Marks) -> tuple[int, int]:
        return int((marks & point.said).sum()), int((marks & ~point.said).sum())

    (hits, missed), (false, right) = among(target.positive), among(target.negative)
    return DecisionFigures(
        point=point.name,
        threshold=point.threshold,
        true_positives=hits,
        false_positives=false,
        missed=missed,
        true_negatives=right,
        precision=MeasuredFigure.share(hits, hits + false),
        recall=MeasuredFigure.share(hits, hits + missed),
        f1=MeasuredFigure.of(f1(hits, false, missed), hits + false + missed),
        false_flag_rate=MeasuredFigure.share(false, false + right),
    )


def _curve(steps: ScoreSteps, target: EvaluationTarget) -> tuple[CurvePoint, ...]:
    """Returns points of a curve from the highest score on, evenly thinned where there are many."""
    m, n = int(target.positive.sum()), int(target.negative.sum())
    count = len(steps.scores)
    kept = np.unique(np.linspace(0, count - 1, min(count, _CURVE_POINTS)).round().astype(int))
    return tuple(
        CurvePoint(
            score=float(steps.scores[i]),
            true_positives=int(steps.hits[i]),
            false_positives=int(steps.false[i]),
            precision=float(share(steps.hits[i], steps.hits[i] + steps.false[i])),
            recall=float(share(steps.hits[i], m)),
            false_flag_rate=float(share(steps.false[i], n)),
        )
        for i in kept
    )
