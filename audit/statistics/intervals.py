"""Confidence intervals and tests of proportions: a thin skin over statsmodels and scipy.

Arrays go in and come out elementwise, of any one shape. What has no images under it is NaN, and a
bound that no data limit is infinite. docs/audit-method.md has each formula with its source.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

Float64s = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Confidence of every interval, unless its text says simultaneous.
LEVEL = 0.95

#: Below this expected count in a cell the chi-square test gives way to Fisher's exact one.
_SMALL_EXPECTED = 5.0

#: Random tables in the place of a test that would be rough, and the seed that draws them.
_DRAWS, _SEED = 4999, 0

#: No finite bound of a ratio lies beyond e to this power, either way; so many halvings of the
#: span find it to the last digits of float64.
_LOG_END, _HALVINGS = 40.0, 64


class Interval(NamedTuple):
    """Lower and upper bounds."""

    low: Float64s
    high: Float64s


def share(count: npt.ArrayLike, n: npt.ArrayLike) -> Float64s:
    """Returns count / n; NaN where n is 0, never 0."""
    count, n = np.asarray(count, np.float64), np.asarray(n, np.float64)
    undefined = np.full(np.broadcast(count, n).shape, np.nan)
    rates: Float64s = np.divide(count, n, out=undefined, where=n > 0)
    return rates


def wilson(count: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """Returns Wilson's score interval of count / n.

    Source: Wilson 1927, JASA 22:209; recommended by Brown, Cai and DasGupta 2001.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = proportion_confint(
            np.asarray(count, np.float64), np.asarray(n, np.float64), 1 - level, method="wilson"
        )
    # Rounding must not put the bound of 0 of n, or of n of n, a hair beyond its estimate.
    rate = share(count, n)
    return Interval(np.minimum(low, rate), np.maximum(high, rate))


def difference(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    level: float = LEVEL,
) -> Interval:
    """Returns Newcombe's interval of the difference of two independent rates.

    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10.
    """
    arrays = [np.asarray(a, np.float64) for a in (count, n, reference_count, reference_n)]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = confint_proportions_2indep(
            *arrays, compare="diff", method="newcomb", alpha=1 - level
        )
    return Interval(np.asarray(low, np.float64), np.asarray(high, np.float64))


def ratio(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    level: float = LEVEL,
) -> Interval:
    """Returns the score interval of the ratio of two independent rates.

    No hit in the reference leaves it without an upper bound (infinity), none in either says nothing
    (NaN). Solved here, since statsmodels' closed form gives NaN, or the estimate itself as a bound,
    where every image of the reference is a hit: as in the pass ratio to a group without a flag.

    Source: Koopman 1984, Biometrics 40:513.
    """
    given = (count, n, reference_count, reference_n)
    cells = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in given))
    hits, images, reference_hits, reference_images = cells
    defined = (images > 0) & (reference_images > 0) & (hits + reference_hits > 0)
    low, high = np.zeros(hits.shape), np.full(hits.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.log((hits / images) / (reference_hits / reference_images))
        below, above = defined & (hits > 0), defined & (reference_hits > 0)
        low[below] = np.exp(_score_root(cells, estimate, -_LOG_END, level))[below]
        high[above] = np.exp(_score_root(cells, estimate, _LOG_END, level))[above]
    return Interval(np.where(defined, low, np.nan), np.where(defined, high, np.nan))


def _score_root(
    cells: tuple[npt.NDArray[np.float64], ...], estimate: Float64s, end: float, level: float
) -> Float64s:
    """Returns the logarithm of the ratio, from the estimate to `end`, that is just not rejected."""
    critical = stats.chi2.ppf(level, 1)
    kept, rejected = np.clip(estimate, -_LOG_END, _LOG_END), np.full(estimate.shape, end)
    for _ in range(_HALVINGS):
        middle = (kept + rejected) / 2
        inside = _ratio_score(cells, np.exp(middle)) <= critical
        kept, rejected = np.where(inside, middle, kept), np.where(inside, rejected, middle)
    return np.asarray(kept)


def _ratio_score(cells: tuple[npt.NDArray[np.float64], ...], at: Float64s) -> Float64s:
    """Returns the squared score of a ratio, with the most likely rates that have it."""
    hits, images, reference_hits, reference_images = cells
    a = at * (images + reference_images)
    b = at * (images + reference_hits) + hits + reference_images
    c = hits + reference_hits
    second = 2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)))
    first = np.minimum(at * second, 1.0)
    variance = first * (1 - first) / images + at**2 * second * (1 - second) / reference_images
    apart = hits / images - at * reference_hits / reference_images
    return np.asarray(apart**2 / variance)


def paired_difference(
    entered: npt.ArrayLike, left: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL
) -> Interval:
    """Returns the interval of (entered - left) / n, the change of a rate on the same n images.

    It stays open where nothing entered or left, as n images cannot prove that none ever would.

    Source: Bonett and Price 2012, J. Educational and Behavioral Statistics 37:479.
    """
    entered, left, n = (np.asarray(a, np.float64) for a in (entered, left, n))
    z = stats.norm.ppf(0.5 + level / 2)
    up, down = (entered + 1) / (n + 2), (left + 1) / (n + 2)
    half = z * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = np.maximum(up - down - half, -1.0), np.minimum(up - down + half, 1.0)
    defined = n > 0
    return Interval(np.where(defined, low, np.nan), np.where(defined, high, np.nan))


def difference_of(
    first: npt.ArrayLike, first_interval: Interval, second: npt.ArrayLike, second_interval: Interval
) -> Interval:
    """Returns the interval of first - second, of independent estimates with their intervals.

    Source: Zou and Donner 2008, Statistics in Medicine 27:1693 (MOVER).
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    gap = first - second
    below = np.hypot(first - first_interval.low, second_interval.high - second)
    above = np.hypot(first_interval.high - first, second - second_interval.low)
    return Interval(gap - below, gap + above)


def simultaneous(level: float, comparisons: int) -> float:
    """Returns the level at which so many intervals hold together with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def independence_p(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
) -> Float64s:
    """Returns p of equal rates in two independent groups; NaN where one has no images.

    Fisher's exact test where an expected count is below 5, else the chi-square test.
    """
    arrays = np.broadcast_arrays(*(np.asarray(a) for a in (count, n, reference_count, reference_n)))
    cells = zip(*(a.ravel() for a in arrays), strict=True)
    return np.array([groups_p(cell[0::2], cell[1::2]) for cell in cells]).reshape(arrays[0].shape)


def groups_p(counts: npt.ArrayLike, sizes: npt.ArrayLike) -> float:
    """Returns p of one rate in all groups, from (g,) counts and sizes; groups of 0 are left out.

    The chi-square test. Where an expected count is below 5, Fisher's exact test for two groups, and
    for more the share of random tables with the same margins (seeded) that lie as far out. NaN
    where fewer than two groups have images.
    """
    counts, sizes = np.asarray(counts, np.int64), np.asarray(sizes, np.int64)
    counts, sizes = counts[sizes > 0], sizes[sizes > 0]
    if len(sizes) < 2:
        return float("nan")
    table = np.stack([counts, sizes - counts])
    if (table.sum(axis=1) == 0).any():  # all or none: nothing tells the groups apart
        return 1.0
    if stats.contingency.expected_freq(table).min() >= _SMALL_EXPECTED:
        return float(stats.chi2_contingency(table, correction=False).pvalue)
    if len(sizes) == 2:
        return float(stats.fisher_exact(table).pvalue)
    return _random_tables_p(counts, sizes)


def _random_tables_p(counts: Counts, sizes: Counts) -> float:
    expected = sizes * counts.sum() / sizes.sum()
    generator = np.random.default_rng(_SEED)
    drawn = generator.multivariate_hypergeometric(sizes, int(counts.sum()), size=_DRAWS)
    # Chi-square up to a factor that all tables with these margins share.
    far = ((drawn - expected) ** 2 / sizes).sum(axis=1)
    seen = ((counts - expected) ** 2 / sizes).sum()
    return float((1 + (far >= seen * (1 - 1e-9)).sum()) / (1 + _DRAWS))


def mcnemar_p(entered: npt.ArrayLike, left: npt.ArrayLike) -> Float64s:
    """Returns the exact p of McNemar's test; 1 where nothing entered and nothing left.

    Exact at any size: twice the smaller tail of a fair coin, as statsmodels has it, for all cells
    at once.

    Source: McNemar 1947, Psychometrika 12:153.
    """
    entered, left = np.asarray(entered), np.asarray(left)
    tail: Float64s = stats.binom.cdf(np.minimum(entered, left), entered + left, 0.5)
    return np.minimum(1.0, 2 * tail)


def cochran_p(marks: npt.NDArray[np.bool_]) -> float:
    """Returns p of Cochran's Q for (n, m) marks of n images under m label sets.

    1 where no image changes between them; NaN where there is no image or fewer than two label sets.

    Source: Cochran 1950, Biometrika 37:256.
    """
    if len(marks) == 0 or marks.shape[1] < 2:
        return float("nan")
    changing = marks.any(axis=1) & ~marks.all(axis=1)
    if not changing.any():
        return 1.0
    return float(cochrans_q(marks.astype(np.int64)).pvalue)


def holm(p_values: npt.ArrayLike) -> Float64s:
    """Returns Holm's adjusted p; each column is one family. NaN stays NaN and does not count.

    Written out, since statsmodels' own runs the garbage collector at each call: 40 ms for a family,
    of which an ablation has thousands.

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
