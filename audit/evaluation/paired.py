"""Several systems side by side: each against the first, on the pictures that both are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from audit.evaluation.labelled_images import Marks
from audit.evaluation.targets import EvaluationTarget
from audit.results.rows import Number, Record, Support
from audit.statistics.intervals import paired_difference
from audit.statistics.paired_scores import PairedBootstrap, SaidScores, auc_difference
from audit.statistics.scores import Estimate
from audit.statistics.significance import holm, mcnemar_p
from audit.statistics.support import support_of

#: A p that is below this after correction is claimed.
_CLAIMED_BELOW = 0.05

Metric = Literal["recall", "false_flag_rate", "roc_area", "precision", "f1", "average_precision"]


class PairedDifference(Record):
    """By how much a figure of one system is higher than that of the first, on the same pictures."""

    system: str
    reference: str
    kind: Literal["action", "category", "label"]
    name: str
    metric: Metric
    difference: Number
    low: Number
    high: Number
    n: int
    support: Support
    p: Number = Field(description="Of recall, false flags and ROC area; the others have no test.")
    p_adjusted: Number = Field(description="By Holm, over all tests on 30 pictures or more.")
    claim: bool


class _Tested(NamedTuple):
    metric: Metric
    difference: Estimate
    n: int
    p: float


def paired_differences(
    names: Sequence[str], looked_for: Sequence[Sequence[EvaluationTarget]], seed: int = 0
) -> tuple[PairedDifference, ...]:
    """Returns how each system differs from the first, of the targets that both look for.

    Args:
        names: of the systems.
        looked_for: the targets of each.
        seed: of the bootstrap.
    """
    known = {(target.kind, target.name): target for target in looked_for[0]} if names else {}
    found = [
        (name, target, row)
        for name, targets in zip(names[1:], looked_for[1:], strict=True)
        for target in targets
        if (first := known.get((target.kind, target.name))) is not None
        for row in _tested(target, first, seed)
    ]
    support = [str(support_of(row.n)) for _, _, row in found]
    counting = [
        row.p if s != "suppressed" else np.nan for (*_, row), s in zip(found, support, strict=True)
    ]
    adjusted = holm(counting) if found else np.empty(0)
    return tuple(
        PairedDifference(
            system=name,
            reference=names[0],
            kind=target.kind,
            name=target.name,
            metric=row.metric,
            difference=row.difference.value,
            low=row.difference.low,
            high=row.difference.high,
            n=row.n,
            support=each,
            p=row.p,
            p_adjusted=float(p),
            claim=bool(p < _CLAIMED_BELOW),
        )
        for (name, target, row), each, p in zip(found, support, adjusted, strict=True)
    )


def _tested(one: EvaluationTarget, other: EvaluationTarget, seed: int) -> Iterator[_Tested]:
    """Yields how far two systems differ on the pictures whose truth is the same to both."""
    positive, negative = one.positive & other.positive, one.negative & other.negative
    known = np.asarray(positive | negative)
    m, n = int(positive.sum()), int(negative.sum())
    said, before = one.points[0].said, other.points[0].said
    yield _of_marks("recall", said, before, np.asarray(positive))
    yield _of_marks("false_flag_rate", said, before, np.asarray(negative))
    shown = np.asarray(positive[known])
    area = auc_difference(one.scores[known], other.scores[known], shown)
    yield _Tested("roc_area", area.difference, min(m, n), area.p)
    drawn = PairedBootstrap(shown, seed=seed).differences(
        SaidScores(one.scores[known], said[known]), SaidScores(other.scores[known], before[known])
    )
    found = int((known & (said | before)).sum())
    sizes: tuple[tuple[Metric, int], ...] = (
        ("precision", found),
        ("f1", int((known & (said | before | positive)).sum())),
        ("average_precision", m),
    )
    for metric, size in sizes:
        yield _Tested(metric, drawn[metric], size, float("nan"))


def _of_marks(metric: Metric, said: Marks, before: Marks, among: Marks) -> _Tested:
    entered = int((said & ~before & among).sum())
    left = int((before & ~said & among).sum())
    n = int(among.sum())
    low, high = paired_difference(entered, left, n)
    value = (entered - left) / n if n else float("nan")
    p = float(mcnemar_p(entered, left)) if n else float("nan")
    return _Tested(metric, Estimate(value, float(low), float(high)), n, p)
