"""Tests of rates, and what may be claimed from them: a thin layer over statsmodels and scipy.

docs/audit-method.md gives each test with its source.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q

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
    arrays = np.broadcast_arrays(*(np.asarray(a) for a in (count, n, reference_count, reference_n)))
    cells = zip(*(a.ravel() for a in arrays), strict=True)
    return np.array([groups_p(cell[0::2], cell[1::2]) for cell in cells]).reshape(arrays[0].shape)


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
    table = np.stack([counts, sizes - counts])
    if (table.sum(axis=1) == 0).any():  # all are hits, or none is: nothing tells the groups apart
        return 1.0
    if stats.contingency.expected_freq(table).min() >= _SMALL_EXPECTED:
        return float(stats.chi2_contingency(table, correction=False).pvalue)
    if len(sizes) == 2:
        return float(stats.fisher_exact(table).pvalue)
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
