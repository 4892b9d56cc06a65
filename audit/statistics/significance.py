"""Tests of rates, and what may be claimed from them: a thin layer over statsmodels and scipy.

docs/audit-method.md gives each test with its source.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from audit.statistics.intervals import LEVEL, Float64s

Counts = npt.NDArray[np.int64]

#: A difference is claimed where its adjusted p is below this.
ALPHA = 1 - LEVEL

#: Below this expected count in a cell, Fisher's exact test replaces the chi-square test.
_SMALL_EXPECTED = 5.0

#: Random tables that replace a test that would be rough, and the seed that draws them.
_DRAWS, _SEED = 4999, 0


def independence_p(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
) -> Float64s:
    """Returns p of equal rates in two independent groups; NaN where one has no images.

    Fisher's exact test where an expected count is below 5, otherwise the chi-square test.
    """
    given = np.broadcast_arrays(count, n, reference_count, reference_n)
    shape, (k, n1, k2, n2) = given[0].shape, (np.asarray(a, np.int64).ravel() for a in given)
    hits, images = k + k2, n1 + n2
    misses = images - hits
    p = np.where((n1 == 0) | (n2 == 0), np.nan, 1.0)
    # Where all are hits, or all are misses, nothing tells the groups apart.
    open_ = (n1 > 0) & (n2 > 0) & (hits > 0) & (misses > 0)
    least = np.minimum(n1, n2) * np.minimum(hits, misses) < _SMALL_EXPECTED * images
    large = open_ & ~least
    apart = (k * n2 - k2 * n1)[large].astype(np.float64)
    around = np.prod([a[large].astype(np.float64) for a in (n1, n2, hits, misses)], axis=0)
    p[large] = special.chdtrc(1, apart**2 * images[large] / around)
    small = np.flatnonzero(open_ & least)
    if len(small):
        p[small] = _fisher_of_each(k[small], n1[small], images[small], hits[small])
    return p.reshape(shape)


def _fisher_of_each(k: Counts, n: Counts, images: Counts, hits: Counts) -> Float64s:
    """Returns Fisher's exact p of each k of n images; those of the same margins share a table."""
    # Of ranks, since three numbers of images would be too large for an int64.
    n_rank, images_rank = (np.unique(each, return_inverse=True)[1] for each in (n, images))
    margins = (n_rank * (images_rank.max() + 1) + images_rank) * (hits.max() + 1) + hits
    _, first, place = np.unique(margins, return_index=True, return_inverse=True)
    tables = [
        _fisher_p(*margin)
        for margin in zip(*(each[first].tolist() for each in (n, images, hits)), strict=True)
    ]
    starts = np.cumsum([0, *map(len, tables)])[:-1]
    fewest = np.maximum(0, hits - (images - n))
    p: Float64s = np.concatenate(tables)[starts[place] + k - fewest]
    return p


@lru_cache(maxsize=1 << 14)
def _fisher_p(n: int, images: int, hits: int) -> Float64s:
    """Returns Fisher's exact p, two-sided, of each count that n of the images can have of the hits.

    It is the chance of all counts that are at most as likely, as in scipy, for all counts at once.
    """
    chance = _hypergeometric(n, images, hits)
    order = np.argsort(chance, kind="stable")
    # Counts that are equally likely but for rounding are no less extreme than each other.
    end = np.searchsorted(chance[order], chance * (1 + 1e-9), side="right")
    p: Float64s = np.minimum(1.0, np.cumsum(chance[order])[end - 1])
    return p


def _hypergeometric(n: int, images: int, hits: int) -> Float64s:
    """Returns the chance of each count that n of the images can have of the hits.

    From the likeliest count on, by how much less likely each next one is; scipy takes a thousand
    times as long for a table.
    """
    fewest, most = max(0, hits - (images - n)), min(n, hits)
    k = np.arange(fewest, most, dtype=np.float64)
    steps = (hits - k) * (n - k) / ((k + 1) * (images - hits - n + k + 1))
    likeliest = int((steps >= 1).sum())
    below = np.cumprod(1 / steps[:likeliest][::-1])[::-1]
    chance = np.concatenate([below, [1.0], np.cumprod(steps[likeliest:])])
    return np.asarray(chance / chance.sum())


def groups_p(counts: npt.ArrayLike, sizes: npt.ArrayLike) -> float:
    """Returns p of one rate in all groups, from (g,) counts and sizes; groups of 0 are left out.

    It is the chi-square test. Where an expected count is below 5, it is Fisher's exact test for two
    groups, and for more groups the share of random tables with the same margins (seeded) that lie
    as far out. NaN where fewer than two groups have images.
    """
    counts, sizes = np.asarray(counts, np.int64), np.asarray(sizes, np.int64)
    counts, sizes = counts[sizes > 0], sizes[sizes > 0]
    if len(sizes) < 2:
        return float("nan")
    if len(sizes) == 2:  # the same p as where the two are compared with each other
        return float(independence_p(counts[0], sizes[0], counts[1], sizes[1]))
    table = np.stack([counts, sizes - counts])
    if (table.sum(axis=1) == 0).any():  # all are hits, or none is: nothing tells the groups apart
        return 1.0
    if stats.contingency.expected_freq(table).min() >= _SMALL_EXPECTED:
        return float(stats.chi2_contingency(table, correction=False).pvalue)
    return _random_tables_p(counts, sizes)


def _random_tables_p(counts: Counts, sizes: Counts) -> float:
    """Returns p of one rate in all groups by random tables with the same margins."""
    order = np.lexsort((counts, sizes))  # so that p does not depend on the order of the groups
    counts, sizes = counts[order], sizes[order]
    expected = sizes * counts.sum() / sizes.sum()
    generator = np.random.default_rng(_SEED)
    drawn = generator.multivariate_hypergeometric(sizes, int(counts.sum()), size=_DRAWS)
    # Chi-square up to a factor that all tables with these margins share.
    far = ((drawn - expected) ** 2 / sizes).sum(axis=1)
    seen = ((counts - expected) ** 2 / sizes).sum()
    return float((1 + (far >= seen * (1 - 1e-9)).sum()) / (1 + _DRAWS))


def mcnemar_p(entered: npt.ArrayLike, left: npt.ArrayLike) -> Float64s:
    """Returns the exact p of McNemar's test; 1 where nothing entered and nothing left.

    It is exact at any size: twice the smaller tail of a fair coin, as in statsmodels, but for all
    cells at once.

    Source: McNemar 1947, Psychometrika 12:153.
    """
    entered, left = np.asarray(entered), np.asarray(left)
    tail: Float64s = stats.binom.cdf(np.minimum(entered, left), entered + left, 0.5)
    return np.minimum(1.0, 2 * tail)


def cochran_p(marks: npt.NDArray[np.bool_], weights: Counts | None = None) -> float:
    """Returns p of Cochran's Q for (n, m) marks of n images under m label sets.

    1 where no image changes between them; NaN where there is no image or fewer than two label sets.
    With weights a row stands for several images, which statsmodels does not know.

    Source: Cochran 1950, Biometrika 37:256.
    """
    if len(marks) == 0 or marks.shape[1] < 2:
        return float("nan")
    changing = marks.any(axis=1) & ~marks.all(axis=1)
    if not changing.any():
        return 1.0
    m = marks.shape[1]
    images = np.ones(len(marks), np.int64) if weights is None else weights
    marked, times = (marks.T @ images).astype(np.float64), marks.sum(axis=1).astype(np.float64)
    total = marked.sum()
    q = (m - 1) * (m * (marked**2).sum() - total**2) / (m * total - (images * times**2).sum())
    return float(special.chdtrc(m - 1, q))


def holm(p_values: npt.ArrayLike) -> Float64s:
    """Returns Holm's adjusted p; each column is one family. NaN stays NaN and does not count.

    It is written out here, since that of statsmodels runs the garbage collector at each call: 40 ms
    for a family, and an ablation has thousands of families.

    Source: Holm 1979, Scandinavian J. of Statistics 6:65.
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, axis=0, kind="stable")  # NaN comes last
    ranks = np.arange(len(p_values)).reshape(-1, *[1] * (p_values.ndim - 1))
    left = np.isfinite(p_values).sum(axis=0) - ranks
    stepped = np.maximum.accumulate(np.take_along_axis(p_values, order, axis=0) * left, axis=0)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(stepped, 1.0), axis=0)
    return adjusted


def holm_against_rest(p_values: npt.ArrayLike) -> Float64s:
    """Returns `holm` of the p of groups, each against all others; two groups are one comparison."""
    p_values = np.asarray(p_values, np.float64)
    return p_values if len(p_values) == 2 else holm(p_values)


#: A p of float32 that is this much larger or less is the same.
_ROUNDED = 1 + 1e-5


class StepDown(NamedTuple):
    """What Westfall and Young's correction makes of h hypotheses.

    Attributes:
        adjusted: (h,) p over all of them; NaN where a hypothesis is not tested.
        critical: a single one is rejected where its p is below this, whatever the others are.
    """

    adjusted: Float64s
    critical: float


def westfall_young(p_values: Float64s, chance: npt.NDArray[np.float32]) -> StepDown:
    """Returns p adjusted over all hypotheses, whose dependence random tables show.

    It is the chance that, where nothing differs, any hypothesis that is no more extreme than this
    one has a p as small. Hypotheses that are always rejected together count as one.

    Args:
        p_values: (h,) of the hypotheses; NaN is not tested.
        chance: (draws, h) their p in tables drawn where nothing differs.

    Source: Westfall and Young 1993, Resampling-Based Multiple Testing, algorithm 2.8 (minP).
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    if not len(tested):
        return StepDown(adjusted, ALPHA)
    order = tested[np.argsort(p_values[tested], kind="stable")]
    draws = len(chance)
    smallest = np.minimum.accumulate(chance[:, order[::-1]], axis=1)[:, ::-1]
    as_small = (smallest <= p_values[order] * _ROUNDED).sum(axis=0)
    found = np.maximum((1 + as_small) / (1 + draws), p_values[order])
    adjusted[order] = np.maximum.accumulate(found)
    rank = int(ALPHA * (1 + draws))  # fewer draws may have a p as small
    critical = float(np.sort(smallest[:, 0])[rank - 1]) / _ROUNDED if rank else 0.0
    return StepDown(adjusted, min(critical, ALPHA))
