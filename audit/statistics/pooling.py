"""Rates of many cells, each of which borrows from all what it lacks in images: partial pooling.

The true rates of the cells are taken for a sample of one beta distribution, whose mean and spread
are not known either. So a cell of few images is drawn to the mean of all, one of many stays where
it is, and how strongly is read off the cells themselves. Mean and spread are integrated over a
grid, not guessed: what is not known of them is in every interval. One cell in twenty is taken for
one of a wide distribution with the same mean, so that a cell that is unlike all others, which is
what an audit looks for, is not drawn to them.

Priors, both weak: Jeffreys' for the mean; and for the standard deviation of the true rates a
uniform one, from none to the largest that their mean allows.

Sources: Gelman et al. 2013, Bayesian Data Analysis, section 5.3; Gelman 2006, Bayesian Analysis
1:515 (the prior of the spread); Besag et al. 1995, Statistical Science 10:3 (bands).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import LEVEL, Float64s, Interval

#: Draws of all true rates together, and their seed, which never changes.
_DRAWS, _SEED = 4000, 0

#: Points of each axis of the grid, and how often it is drawn closer around what is likely.
_POINTS, _ROUNDS = 24, 5

#: Where the first grid ends: the logits of the mean, around that of all images, and of the spread.
_MEAN_REACH, _SPREAD_ENDS = 8.0, (-8.0, 4.0)

#: The share of cells that may be unlike the others, and the images that theirs are as vague as.
_UNLIKE, _VAGUE = 0.05, 2.0

#: What has a density below e to this power of the highest is left out.
_UNLIKELY = -12.0


class PooledRates(NamedTuple):
    """Pooled rates of c cells.

    Attributes:
        rate: (c,) mean of what each true rate may be.
        interval: (c,) of each true rate by itself.
        gap: between the highest and the lowest true rate of all cells, as likely larger as smaller.
        gap_interval: its bounds; the lower one is 0 where all cells may have one rate.
    """

    rate: Float64s
    interval: Interval
    gap: float
    gap_interval: Interval


class _Grid(NamedTuple):
    """What the true rates may be a sample of, g possible ones.

    Attributes:
        mean, concentration: (g,) of the beta distribution that most rates are from.
        chance: (g,) which sum to 1.
        unlike: (g, c) chance of each cell to be from the wide one.
    """

    mean: Float64s
    concentration: Float64s
    chance: Float64s
    unlike: Float64s


def pooled_rates(count: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL) -> PooledRates:
    """Returns what (c,) counts of (c,) images say of the true rates of all cells together.

    Each cell has an image.
    """
    count, n = np.asarray(count, np.float64), np.asarray(n, np.float64)
    grid = _likely_grid(count, n)
    rates = _drawn_rates(count, n, grid)
    ordered = np.sort(rates, axis=0)
    error = (1 - level) / 2
    low, high = np.quantile(ordered, [error, 1 - error], axis=0)
    band = _joint_band(rates, ordered, level)
    gap_low = max(0.0, float(band.low.max() - band.high.min()))
    spread = rates.max(axis=1) - rates.min(axis=1)
    gap, gap_high = np.quantile(spread, [0.5, 1 - error])
    return PooledRates(
        _mean_rates(count, n, grid),
        Interval(low, high),
        float(gap),
        Interval(np.array(gap_low), np.array(gap_high)),
    )


def _mean_rates(count: Float64s, n: Float64s, grid: _Grid) -> Float64s:
    """Returns (c,) the means of the true rates over the grid."""
    mean, concentration = grid.mean[:, np.newaxis], grid.concentration[:, np.newaxis]
    alike = (count + mean * concentration) / (n + concentration)
    unlike = (count + mean * _VAGUE) / (n + _VAGUE)
    return np.asarray(grid.chance @ (alike + grid.unlike * (unlike - alike)))


def _drawn_rates(count: Float64s, n: Float64s, grid: _Grid) -> Float64s:
    """Returns (draws, c) true rates of all cells together, seeded."""
    generator = np.random.default_rng(_SEED)
    drawn = generator.choice(len(grid.chance), _DRAWS, p=grid.chance)
    unlike = generator.random((_DRAWS, len(n))) < grid.unlike[drawn]
    weight = np.where(unlike, _VAGUE, grid.concentration[drawn, np.newaxis])
    hits = grid.mean[drawn, np.newaxis] * weight
    return generator.beta(count + hits, n - count + weight - hits)


def _joint_band(rates: Float64s, ordered: Float64s, level: float) -> Interval:
    """Returns (c,) bounds between which all true rates lie together, of (draws, c) rates."""
    draws = len(rates)
    inside, outside = 0, round(draws * (1 - level) / 2) + 1
    while outside - inside > 1:
        rank = (inside + outside) // 2
        held = (rates >= ordered[rank]) & (rates <= ordered[draws - 1 - rank])
        enough = held.all(axis=1).mean() >= level
        inside, outside = (rank, outside) if enough else (inside, rank)
    return Interval(ordered[inside], ordered[draws - 1 - inside])


def _likely_grid(count: Float64s, n: Float64s) -> _Grid:
    """Returns the grid around what is likely for such counts."""
    centre = special.logit((count.sum() + 0.5) / (n.sum() + 1))
    ends = [(centre - _MEAN_REACH, centre + _MEAN_REACH), _SPREAD_ENDS]
    for _ in range(_ROUNDS):
        axes = np.meshgrid(*(np.linspace(*end, _POINTS) for end in ends), indexing="ij")
        logits, spreads = (axis.ravel() for axis in axes)
        mean, spread = special.expit(logits), special.expit(spreads)
        of_cells, unlike = _log_chances(count, n, mean, 1 / spread**2 - 1)
        # The priors, as densities of the logits.
        density = of_cells + 0.5 * np.log(mean * (1 - mean)) + np.log(spread * (1 - spread))
        likely = density > density.max() + _UNLIKELY
        ends = [_likely_ends(axis, likely) for axis in (logits, spreads)]
    weight = np.exp(density - density.max())[likely]
    concentration = 1 / spread[likely] ** 2 - 1
    return _Grid(mean[likely], concentration, weight / weight.sum(), unlike[likely])


def _likely_ends(points: Float64s, likely: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Returns the ends of what is likely of an axis of the grid, with a step on each side."""
    step = np.ptp(points) / (_POINTS - 1)
    return float(points[likely].min() - step), float(points[likely].max() + step)


def _log_chances(
    count: Float64s, n: Float64s, mean: Float64s, concentration: Float64s
) -> tuple[Float64s, Float64s]:
    """Returns (g,) logarithms of the chance of all counts, and (g, c) `unlike` of a grid."""
    alike = np.log1p(-_UNLIKE) + _log_chance(count, n, mean, concentration)
    unlike = np.log(_UNLIKE) + _log_chance(count, n, mean, np.full(len(mean), _VAGUE))
    either = np.logaddexp(alike, unlike)
    return either.sum(axis=1), np.exp(unlike - either)


def _log_chance(count: Float64s, n: Float64s, mean: Float64s, concentration: Float64s) -> Float64s:
    """Returns (g, c) logarithms of the chance of each count, up to a constant of its cell."""
    hits, weight = (mean * concentration)[:, np.newaxis], concentration[:, np.newaxis]
    misses = weight - hits
    return np.asarray(
        special.betaln(count + hits, n - count + misses) - special.betaln(hits, misses)
    )
