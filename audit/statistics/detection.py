"""How well pictures are found by their scores: F1 and average precision, with intervals.

docs/decisions/0112-an-evaluation-on-ones-own-pictures.md has how often the intervals hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import LEVEL, Float64s, wilson
from audit.statistics.scores import UNDEFINED, Estimate

Counts = npt.NDArray[np.int64]


class ScoreSteps(NamedTuple):
    """How many pictures reach each score that occurs, from the highest on.

    Attributes:
        scores: (s,) the distinct scores, falling.
        hits: (s,) positives with this score or more.
        false: (s,) negatives with this score or more.
    """

    scores: Float64s
    hits: Counts
    false: Counts


def score_steps(scores: Float64s, positive: npt.NDArray[np.bool_]) -> ScoreSteps:
    """Returns the steps of (n,) scores; pictures with equal scores make one."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], positive[order].cumsum()
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    return ScoreSteps(ranked[ends], hits[ends], ends + 1 - hits[ends])


def average_precision(
    scores: Float64s, positive: npt.NDArray[np.bool_], level: float = LEVEL
) -> Estimate:
    """Returns the mean precision at the positives, by falling score; undefined without positives.

    The interval is Wilson's of that share of the positives. Boyd and others found such a binomial
    interval to hold where the bootstrap's is too narrow.

    Source: Boyd, Eng and Page 2013, ECML PKDD, LNCS 8190:451.
    """
    steps = score_steps(scores, positive)
    m = int(positive.sum())
    if not m:
        return UNDEFINED
    gained = np.diff(steps.hits, prepend=0)
    value = float((gained * steps.hits / (steps.hits + steps.false)).sum() / m)
    low, high = wilson(value * m, m, level)
    return Estimate(value, float(low), float(high))


def f1(true_positives: int, false_positives: int, missed: int, level: float = LEVEL) -> Estimate:
    """Returns the harmonic mean of precision and recall; undefined where nothing is found or there.

    It grows with the share of hits among all pictures that are found or should be (Jaccard's), so
    its interval is Wilson's of that share.
    """
    n = true_positives + false_positives + missed
    if not n:
        return UNDEFINED
    low, high = wilson(true_positives, n, level)
    shares = (true_positives / n, float(low), float(high))
    return Estimate(*(2 * share / (1 + share) for share in shares))
