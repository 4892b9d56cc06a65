"""The figures that a gate checks against its limits: of each group, and of each pair of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from audit.gate.counts import GateCounts
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import (
    Float64s,
    Interval,
    exact_paired_difference,
    share,
    simultaneous,
)


class GateFigures(NamedTuple):
    """Figures of c groups or pairs, none of which may exceed the limit.

    Attributes:
        groups: the group of each, or the two.
        values: (c,) the figures of the images that are there.
        extremes: (c,) the figures if the missing images count as suits it best, and worst.
        interval: (c,) intervals that hold for each by itself, at the level of the gate.
        strict: (c,) intervals that hold for all of them together, at that level.
        strict_level: the level of each strict interval by itself.
    """

    groups: Sequence[tuple[str, ...]]
    values: Float64s
    extremes: Interval
    interval: Interval
    strict: Interval
    strict_level: float


def rate_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns the rate of each group."""
    return _share_figures(counts, level, counts.shares)


def miss_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns the share of each group's images that the metric could count and does not."""
    return _share_figures(counts, level, counts.shares.complement())


def regression_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns how much the rate of each group rises over the baseline.

    The missing images may all have entered, or all have left. Of an image of unknown truth it is
    known whether it would have; those that would have done neither make a rise smaller.
    """
    entered, left, n, unknown = counts.entered, counts.left, counts.n, counts.unknown
    more_in, more_out = counts.missing + unknown.entered, counts.missing + unknown.left
    unmoved = unknown.hits + unknown.misses - unknown.entered - unknown.left

    def interval(at: float) -> Interval:
        return _widest(
            Interval(
                exact_paired_difference(entered, left + more_out, n + more_out + rest, at).low,
                exact_paired_difference(entered + more_in, left, n + more_in + rest, at).high,
            )
            for rest in (np.zeros(1), unmoved)
        )

    rise = entered - left
    extremes = _widest(
        Interval(
            share(rise - more_out, n + more_out + rest), share(rise + more_in, n + more_in + rest)
        )
        for rest in (np.zeros(1), unmoved)
    )
    return _figures(counts, level, _singles(counts), share(rise, n), extremes, interval)


def _widest(intervals: Iterable[Interval]) -> Interval:
    lows, highs = zip(*intervals, strict=True)
    return Interval(np.minimum.reduce(lows), np.maximum.reduce(highs))


def gap_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns how much higher the rate of one group is than that of another, for all pairs."""
    shares = counts.shares
    apart = _between(shares, np.subtract)
    return _figures(counts, level, _pair_names(counts, shares), *apart, shares.differences)


def ratio_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns the rate of one group as a multiple of another's, for all pairs."""
    shares = counts.shares
    return _figures(
        counts, level, _pair_names(counts, shares), *_between(shares, _times), shares.ratios
    )


def pass_ratio_figures(counts: GateCounts, level: float) -> GateFigures:
    """Returns one group's share that passes as a multiple of another's, for all pairs.

    Each is named by the other group, which passes the less often the larger the ratio.
    """
    shares = counts.shares.complement()
    names = [(worse, better) for better, worse in _pair_names(counts, shares)]
    return _figures(counts, level, names, *_between(shares, _times), shares.ratios)


def _share_figures(counts: GateCounts, level: float, shares: ExactShares) -> GateFigures:
    return _figures(
        counts, level, _singles(counts), shares.values, shares.extremes, shares.interval
    )


def _figures(
    counts: GateCounts,
    level: float,
    groups: Sequence[tuple[str, ...]],
    values: Float64s,
    extremes: Interval,
    interval: Callable[[float], Interval],
) -> GateFigures:
    g, more = len(counts.names), counts.may_grow
    # With the missing images there may be more groups, or pairs, to correct for.
    comparisons = g + more if len(groups[0]) == 1 else (g + more) * (g + more - 1)
    joint = simultaneous(level, comparisons)
    return GateFigures(groups, values, extremes, interval(level), interval(joint), joint)


def _between(
    shares: ExactShares, apart: Callable[[Float64s, Float64s], Float64s]
) -> tuple[Float64s, Interval]:
    """Returns what lies between the groups of each pair, as it is and at its extremes."""
    one, two = shares.pairs.T
    low, high = shares.extremes
    extremes = Interval(apart(low[one], high[two]), apart(high[one], low[two]))
    return apart(shares.values[one], shares.values[two]), extremes


def _times(one: Float64s, two: Float64s) -> Float64s:
    """Returns one as a multiple of two: of nothing, infinite; nothing of nothing, undefined."""
    return np.where((two == 0) & (one > 0), np.inf, share(one, two))


def _singles(counts: GateCounts) -> list[tuple[str, ...]]:
    return [(name,) for name in counts.names]


def _pair_names(counts: GateCounts, shares: ExactShares) -> list[tuple[str, str]]:
    return [(counts.names[i], counts.names[j]) for i, j in shares.pairs]
