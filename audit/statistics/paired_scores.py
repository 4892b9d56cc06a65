"""Two systems on the same pictures: by how much their figures differ, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from audit.statistics.intervals import LEVEL, Float64s
from audit.statistics.scores import UNDEFINED, Estimate

#: Weights of pictures that are drawn at a time.
_AT_ONCE = 2**21

#: Draws of many pictures are fewer, as each takes longer and their intervals differ less.
_MOST_DRAWS, _LEAST_DRAWS, _DRAWN_PICTURES = 2000, 500, 4_000_000

Marks = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.int32]


class TestedDifference(NamedTuple):
    """A difference with its interval, and p of that it is 0."""

    difference: Estimate
    p: float


def auc_difference(
    one: Float64s, other: Float64s, positive: Marks, level: float = LEVEL
) -> TestedDifference:
    """Returns by how much the ROC area of one's (n,) scores is larger than that of the other's.

    Undefined without positives or without negatives.

    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return TestedDifference(UNDEFINED, float("nan"))
    beaten, beating = zip(*(_placements(scores, positive) for scores in (one, other)), strict=True)
    of_positives, of_negatives = beaten[0] - beaten[1], beating[0] - beating[1]
    value = float(of_positives.mean())
    variance = sum(
        float(each.var(ddof=1)) / len(each)
        for each in (of_positives, of_negatives)
        if len(each) > 1
    )
    spread = float(np.sqrt(variance))
    if not spread:
        return TestedDifference(Estimate(value, value, value), 1.0 if value == 0 else float("nan"))
    reach = float(stats.norm.ppf((1 + level) / 2)) * spread
    p = float(2 * stats.norm.sf(abs(value) / spread))
    return TestedDifference(Estimate(value, max(value - reach, -1), min(value + reach, 1)), p)


def _placements(scores: Float64s, positive: Marks) -> tuple[Float64s, Float64s]:
    """Returns the share of negatives below each positive, and of positives above each negative."""
    above, below = scores[positive], scores[~positive]
    m, n = len(above), len(below)
    ranks = stats.rankdata(np.concatenate([above, below]))
    return (
        (ranks[:m] - stats.rankdata(above)) / n,
        1 - (ranks[m:] - stats.rankdata(below)) / m,
    )


class SaidScores(NamedTuple):
    """What one system says of n pictures: (n,) scores, and (n,) whether it says them to be it."""

    scores: Float64s
    said: Marks


@dataclass(frozen=True)
class PairedBootstrap:
    """Draws of pictures, with replacement, the positives and the negatives each by themselves.

    Attributes:
        positive: (n,).
        draws: how many; None takes 2,000, and of many pictures fewer, but 500 at least.
        seed: of the draws.
    """

    positive: Marks
    draws: int | None = None
    seed: int = 0

    def _weights(self) -> Iterator[Weights]:
        """Yields (b, n) how often each picture is drawn, for b draws at a time."""
        generator = np.random.default_rng(self.seed)
        n = len(self.positive)
        sides = [side for side in (self.positive, ~self.positive) if side.any()]
        fitting = _DRAWN_PICTURES // max(n, 1)
        left = self.draws or min(max(fitting, _LEAST_DRAWS), _MOST_DRAWS)
        while left:
            b = min(left, max(1, _AT_ONCE // max(n, 1)))
            weights = np.zeros((b, n), np.int32)
            for side in sides:
                size = int(side.sum())
                drawn = generator.multinomial(size, np.full(size, 1 / size), b)
                weights[:, side] = drawn
            yield weights
            left -= b

    def differences(
        self, one: SaidScores, other: SaidScores, level: float = LEVEL
    ) -> dict[str, Estimate]:
        """Returns how much larger one's precision, F1 and average precision are, by name.

        The interval holds the middle draws; those in which a figure is undefined do not count.
        """
        weighted = {"precision": self._precision, "f1": self._f1, "average_precision": self._ranked}
        drawn: dict[str, list[Float64s]] = {name: [] for name in weighted}
        for weights in self._weights():
            for name, figure in weighted.items():
                drawn[name].append(figure(one, weights) - figure(other, weights))
        once = np.ones((1, len(self.positive)), np.int32)
        return {
            name: _middle(figure, one, other, once, np.concatenate(drawn[name]), level)
            for name, figure in weighted.items()
        }

    def _precision(self, system: SaidScores, weights: Weights) -> Float64s:
        return _ratio(weights @ (system.said & self.positive), weights @ system.said)

    def _f1(self, system: SaidScores, weights: Weights) -> Float64s:
        hits = weights @ (system.said & self.positive)
        return _ratio(2 * hits, weights @ system.said + weights @ self.positive)

    def _ranked(self, system: SaidScores, weights: Weights) -> Float64s:
        if not self.positive.any():  # perhaps there is no picture at all
            return np.full(len(weights), np.nan)
        order = np.argsort(-system.scores, kind="stable")
        ranked = system.scores[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        drawn = weights[:, order]
        hits = np.cumsum(drawn * self.positive[order], axis=1)[:, ends]
        found = np.cumsum(drawn, axis=1)[:, ends]
        gained = np.diff(hits, axis=1, prepend=0)
        return _ratio((gained * hits / np.maximum(found, 1)).sum(axis=1), hits[:, -1])


def _middle(
    figure: Callable[[SaidScores, Weights], Float64s],
    one: SaidScores,
    other: SaidScores,
    once: Weights,
    drawn: Float64s,
    level: float,
) -> Estimate:
    value = float((figure(one, once) - figure(other, once))[0])
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(defined):
        return UNDEFINED
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _ratio(count: npt.ArrayLike, n: npt.ArrayLike) -> Float64s:
    count, n = np.asarray(count, np.float64), np.asarray(n, np.float64)
    undefined = np.full(count.shape, np.nan)
    ratios: Float64s = np.divide(count, n, out=undefined, where=n > 0)
    return ratios
