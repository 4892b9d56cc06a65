from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import (
    LEVEL,
    Interval,
    difference,
    difference_of,
    exact,
    exact_paired_difference,
    paired_difference,
    ratio,
    share,
    simultaneous,
    wilson,
)
from audit.statistics.significance import cochran_p, groups_p, holm, independence_p, mcnemar_p

SIZES = st.integers(1, 3000)
CELL = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=12)


def _near(interval: Interval, low: float, high: float, slack: float) -> bool:
    return bool(abs(interval.low - low) <= slack and abs(interval.high - high) <= slack)


def _holds(interval: Interval, estimate: float, slack: float = 1e-12) -> bool:
    low, high = float(interval.low), float(interval.high)
    return low <= estimate * (1 + slack) + slack and estimate <= high * (1 + slack) + slack


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_worked_examples(
    count: int, n: int, low: float, high: float
) -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    assert _near(wilson(count, n), low, high, 5e-5)


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_difference_gives_the_published_worked_examples(
    cell: tuple[int, int, int, int], low: float, high: float
) -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10.
    assert _near(difference(*cell), low, high, 5e-5)


def test_ratio_gives_the_published_worked_example() -> None:
    # Koopman 1984, Biometrics 40:513: 36 of 40 against 16 of 80.
    assert _near(ratio(36, 40, 16, 80), 2.94, 7.15, 5e-3)


def test_paired_difference_gives_the_published_worked_example() -> None:
    # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850: airways, 7 and 1 of 21.
    assert _near(paired_difference(7, 1, 21), 0.013, 0.508, 5e-4)


@given(CELL)
def test_wilson_is_that_of_statsmodels_and_holds_its_estimate(cell: tuple[int, int]) -> None:
    low, high = wilson(*cell)
    assert (low, high) == pytest.approx(proportion_confint(*cell, method="wilson"), abs=1e-12)
    assert 0 <= low <= cell[0] / cell[1] <= high <= 1


@given(CELL, CELL)
def test_difference_is_that_of_statsmodels_and_holds_its_estimate(
    one: tuple[int, int], two: tuple[int, int]
) -> None:
    found = difference(*one, *two)
    theirs = confint_proportions_2indep(*one, *two, method="newcomb", compare="diff")
    assert tuple(found) == pytest.approx(theirs, abs=1e-12)
    assert _holds(found, one[0] / one[1] - two[0] / two[1])


def _koopman(cell: tuple[int, int, int, int], at: float) -> float:
    """Koopman's chi-square of a ratio in plain words: two binomials with their likeliest rates."""
    x, m, y, n = cell
    b, total = at * (m + y) + x + n, x + y
    second = 2 * total / (b + math.sqrt(max(b * b - 4 * at * (m + n) * total, 0.0)))
    first = at * second
    return sum(
        (k - size * p) ** 2 / (size * p * (1 - p))
        for k, size, p in ((x, m, first), (y, n, second))
        if p < 1 - 1e-12  # else all are hits, as they must be: nothing to add
    )


@given(CELL, CELL)
@settings(max_examples=200)
def test_each_bound_of_a_ratio_is_just_not_rejected(
    one: tuple[int, int], two: tuple[int, int]
) -> None:
    assume(one[0] + two[0] > 0)
    low, high = (float(bound) for bound in ratio(*one, *two))
    estimate = (one[0] / one[1]) / (two[0] / two[1]) if two[0] else math.inf
    assert _holds(Interval(np.array(low), np.array(high)), estimate)
    assert (low == 0) == (one[0] == 0)
    assert math.isinf(high) == (two[0] == 0)
    for bound in (low, high):
        if 0 < bound < math.inf:
            assert _koopman((*one, *two), bound) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-4)


def test_a_ratio_to_a_group_without_a_miss_has_a_lower_bound_below_its_estimate() -> None:
    # statsmodels gives the estimate itself, 0.99755, or NaN: the pass ratio to an unflagged group.
    low, high = ratio(1630, 1634, 1162, 1162)
    assert (float(low), float(high)) == pytest.approx((0.99372, 1.00085), abs=1e-5)
    assert 0 < ratio(1, 1, 1, 4).low < 4


def test_a_ratio_with_its_groups_exchanged_has_the_reciprocal_bounds() -> None:
    rng = np.random.default_rng(1)
    n, m = rng.integers(1, 500, (2, 200))
    x, y = rng.integers(1, n + 1), rng.integers(1, m + 1)
    one, other = ratio(x, n, y, m), ratio(y, m, x, n)
    assert one.low == pytest.approx(1 / other.high, rel=1e-9)
    assert one.high == pytest.approx(1 / other.low, rel=1e-9)


def test_ratio_agrees_with_statsmodels_where_all_four_cells_are_large() -> None:
    for cell in [(147, 2085, 200, 8869), (46, 1550, 301, 9404), (300, 400, 100, 700)]:
        theirs = confint_proportions_2indep(*cell, "score", "ratio", correction=False)
        assert tuple(ratio(*cell)) == pytest.approx(np.real(theirs), rel=1e-6)


@given(SIZES, st.data())
def test_paired_difference_holds_its_estimate_and_stays_open(n: int, data: st.DataObject) -> None:
    entered = data.draw(st.integers(0, n))
    left = data.draw(st.integers(0, n - entered))
    low, high = paired_difference(entered, left, n)
    assert -1 <= low <= (entered - left) / n <= high <= 1
    assert low < high


@given(CELL, CELL)
def test_mover_of_wilson_bounds_is_newcombes_difference_and_stays_between_the_bounds(
    one: tuple[int, int], two: tuple[int, int]
) -> None:
    first, second = wilson(*one), wilson(*two)
    found = difference_of(share(*one), first, share(*two), second)
    low, high = (float(bound) for bound in difference(*one, *two))
    assert _near(found, low, high, 1e-9)
    assert first.low - second.high - 1e-12 <= found.low
    assert found.high <= first.high - second.low + 1e-12


def test_what_has_no_images_is_nan_and_no_warning() -> None:
    assert np.isnan(share(0, 0))
    assert np.isnan(wilson(0, 0)).all()
    assert np.isnan(difference(0, 0, 3, 9)).all()
    assert np.isnan(difference(3, 9, 0, 0)).all()
    assert np.isnan([*ratio(3, 9, 0, 0), *ratio(0, 0, 3, 9), *ratio(0, 9, 0, 9)]).all()
    assert np.isnan(paired_difference(0, 0, 0)).all()
    assert np.isnan(independence_p(0, 0, 3, 9))
    assert math.isnan(groups_p([3], [9]))
    assert math.isnan(groups_p([], []))
    assert math.isnan(cochran_p(np.zeros((0, 3), bool)))


def test_intervals_go_elementwise_and_keep_the_shape() -> None:
    count, n = np.array([[1, 2, 3], [4, 5, 0]]), np.array([[9, 9, 9], [9, 9, 0]])
    for found in (wilson(count, n), difference(count, n, 3, 9), ratio(count, n, 3, 9)):
        assert found.low.shape == found.high.shape == (2, 3)
    assert ratio(count, n, 3, 9).low[1, 1] == ratio(5, 9, 3, 9).low
    assert independence_p(count, n, 3, 9).shape == (2, 3)


@pytest.mark.parametrize(("comparisons", "level"), [(0, 0.95), (1, 0.95), (21, 1 - 0.05 / 21)])
def test_simultaneous_shares_the_error_among_the_comparisons(
    comparisons: int, level: float
) -> None:
    assert simultaneous(0.95, comparisons) == pytest.approx(level)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_that_of_statsmodels_and_of_a_fair_coin(entered: int, left: int) -> None:
    p = mcnemar_p(entered, left)
    theirs = mcnemar([[5, entered], [left, 5]], exact=True).pvalue
    assert p == pytest.approx(float(theirs), abs=1e-12)
    if entered + left:
        assert p == pytest.approx(stats.binomtest(entered, entered + left, 0.5).pvalue, rel=1e-6)
    else:
        assert p == 1


@pytest.mark.slow
@given(P_VALUES)
@settings(max_examples=10)  # theirs collects garbage at each call
def test_holm_is_that_of_statsmodels_over_what_is_known(values: list[float]) -> None:
    p = np.array(values)
    known, adjusted = np.isfinite(p), holm(p)
    assert np.isnan(adjusted[~known]).all()
    if known.any():
        assert adjusted[known] == pytest.approx(multipletests(p[known], method="holm")[1])


def test_holm_takes_each_column_as_a_family() -> None:
    p = np.array([[0.01, 0.5], [0.02, np.nan], [0.03, 0.001]])
    assert holm(p)[:, 0] == pytest.approx([0.03, 0.04, 0.04])
    assert holm(p)[[0, 2], 1] == pytest.approx([0.5, 0.002])


def test_cochran_is_that_of_statsmodels_and_1_where_nothing_changes() -> None:
    marks = np.random.default_rng(2).random((300, 4)) < np.array([0.2, 0.3, 0.25, 0.2])
    assert cochran_p(marks) == pytest.approx(cochrans_q(marks.astype(int)).pvalue)
    assert cochran_p(np.repeat(marks[:, :1], 3, axis=1)) == 1
    assert math.isnan(cochran_p(marks[:, :1]))


def test_groups_get_the_chi_square_test_and_two_small_ones_fishers() -> None:
    counts, sizes = np.array([40, 60, 20]), np.array([200, 250, 150])
    table = np.stack([counts, sizes - counts])
    assert groups_p(counts, sizes) == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )
    assert groups_p([*counts, 0], [*sizes, 0]) == groups_p(counts, sizes)
    assert groups_p([1, 9], [20, 30]) == pytest.approx(
        stats.fisher_exact(np.array([[1, 9], [19, 21]])).pvalue
    )
    assert groups_p([0, 0], [20, 30]) == groups_p([20, 30, 5], [20, 30, 5]) == 1
    assert groups_p([0, 1, 0], [30, 30, 31]) == groups_p([0, 0, 1], [30, 31, 30])


@pytest.mark.parametrize(
    ("count", "n", "other_count", "other_n"),
    [(12, 50, 3, 200), (9, 40, 1000, 9000), (200, 2000, 1, 60), (3, 50, 0, 50)],
)
def test_a_melded_interval_leaves_out_equal_shares_as_fishers_exact_test_does(
    count: int, n: int, other_count: int, other_n: int
) -> None:
    table = np.array([[count, n - count], [other_count, other_n - other_count]])
    p = stats.fisher_exact(table, alternative="greater").pvalue
    shares = _shares((count, n), (other_count, other_n))
    low, high = shares.differences(1 - 2 * p)
    assert (low[0], high[1]) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert shares.ratios(1 - 2 * p).low[0] == pytest.approx(1.0, abs=1e-5)


def test_a_melded_interval_beside_a_sure_share_is_clopper_and_pearsons() -> None:
    shares = _shares((0, 50), (7, 80))
    assert shares.differences(LEVEL).low[0] == pytest.approx(-exact(7, 80).high, abs=1e-8)
    assert np.isinf(shares.ratios(LEVEL).high[1])
    full = _shares((50, 50), (7, 80))
    assert full.differences(LEVEL).high[0] == pytest.approx(1 - exact(7, 80).low, abs=1e-8)


def _shares(*cells: tuple[int, int]) -> ExactShares:
    count, n = np.array(cells, np.float64).T
    return ExactShares(count, n, np.zeros(len(n)))


@given(st.integers(1, 300), st.data())
def test_the_exact_interval_is_just_not_rejected_by_either_binomial_tail(
    n: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, n))
    low, high = map(float, exact(count, n))
    assert low <= count / n <= high
    if count:
        assert stats.binom.sf(count - 1, n, low) == pytest.approx(0.025)
    if count < n:
        assert stats.binom.cdf(count, n, high) == pytest.approx(0.025)


@given(st.integers(1, 300), st.data())
def test_an_exact_paired_difference_is_that_of_the_share_that_alone_changes(
    n: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, n))
    only_entered, only_left = exact_paired_difference(count, 0, n), exact(count, n)
    assert float(only_entered.high) == pytest.approx(float(only_left.high))
    assert float(exact_paired_difference(0, count, n).low) == pytest.approx(-float(only_left.high))


def test_an_exact_paired_difference_is_no_narrower_where_every_image_changes() -> None:
    every, nearly = exact_paired_difference([30, 29], [0, 1], 30)[0]
    assert nearly < every < nearly + 0.15
    assert exact_paired_difference(0, 30, 30).high == pytest.approx(-every)
    # With 85 % entering and 15 % leaving, a rise over 0.7 is found of 29 groups in 2.5 % at most.
    level = 1 - 0.05 / 29
    low = exact_paired_difference(np.arange(31), 30 - np.arange(31), 30, level).low
    found = stats.binom.pmf(np.arange(31), 30, 0.85)[low > 0.7].sum()
    assert 1 - (1 - found) ** 29 <= 0.025
