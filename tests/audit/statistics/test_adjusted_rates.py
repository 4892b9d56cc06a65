"""Standardised and pooled rates, and tests of a margin, on numbers that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from statsmodels.stats.contingency_tables import StratifiedTable

from audit.statistics.equivalence import change_equivalence, rates_equivalence
from audit.statistics.intervals import exact
from audit.statistics.pooling import pooled_rates
from audit.statistics.stratification import (
    common_support,
    mantel_haenszel_p,
    standardised_rates,
)

#: Two groups whose rate is 10 % in the first stratum and 50 % in the second, in other numbers.
CONFOUNDED_N = np.array([[20, 180], [180, 20]])
CONFOUNDED = np.array([[2, 90], [18, 10]])


def test_a_gap_that_the_strata_explain_is_gone_where_they_are_standardised() -> None:
    crude = CONFOUNDED.sum(axis=1) / CONFOUNDED_N.sum(axis=1)
    assert crude.tolist() == [0.46, 0.14]
    found = standardised_rates(CONFOUNDED, CONFOUNDED_N, CONFOUNDED_N.sum(axis=0))
    assert found.rate.tolist() == pytest.approx([0.3, 0.3])
    # 72 = 1 / (0.25 / 20 + 0.25 / 180); fewer where the high rate is that of the 20 images.
    like = np.array([18.3 / 181, 10.3 / 21])
    fewer = 0.3 * 0.7 / (0.25 * like * (1 - like) / CONFOUNDED_N[1]).sum()
    assert found.effective_n.tolist() == pytest.approx([72.0, fewer])
    assert fewer == pytest.approx(64.6, abs=0.05)
    p = mantel_haenszel_p(CONFOUNDED[0], CONFOUNDED_N[0], CONFOUNDED[1], CONFOUNDED_N[1])
    assert p == pytest.approx(1.0)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_over_one_stratum_is_the_exact_one(cell: tuple[int, int]) -> None:
    count, n = (np.array([[value]]) for value in cell)
    found = standardised_rates(count, n, n[0])
    low, high = exact(*cell)
    assert found.effective_n[0] == pytest.approx(cell[1])
    assert found.interval.low[0] == pytest.approx(float(low), abs=1e-9)
    assert found.interval.high[0] == pytest.approx(float(high), abs=1e-9)


def test_without_a_common_stratum_there_is_no_rate() -> None:
    empty = np.empty((2, 0), np.int64)
    found = standardised_rates(empty, empty, np.empty(0, np.int64))
    assert np.isnan([*found.rate, *found.interval.low, *found.interval.high]).all()


def test_a_group_that_lacks_strata_is_left_out_before_the_others_lose_their_images() -> None:
    n = np.array([[50, 50, 50], [40, 60, 50], [70, 0, 0], [30, 30, 0], [5, 0, 0]])
    supported = n.sum(axis=1) >= 30
    # The third alone lacks the second stratum, with 140 of 435 images; then the fourth the last.
    found = common_support(n, supported)
    assert found.groups.tolist() == [True, True, False, False, False]
    assert found.strata.tolist() == [True, True, True]
    # Where what they have in common holds nine tenths of all images, nobody is left out.
    few = np.array([[95, 5], [95, 0], [94, 6]])
    found = common_support(few, np.ones(3, bool))
    assert found.groups.all()
    assert found.strata.tolist() == [True, False]
    # Two groups stay, even without a stratum in common.
    apart = common_support(np.array([[30, 0], [0, 30]]), np.ones(2, bool))
    assert apart.groups.all()
    assert not apart.strata.any()


def test_the_common_odds_are_tested_as_statsmodels_does_and_not_on_few_hits() -> None:
    rng = np.random.default_rng(0)
    n, rest_n = rng.integers(5, 60, (2, 6))
    count, rest = rng.binomial(n, 0.3), rng.binomial(rest_n, 0.15)
    tables = np.array([[count, n - count], [rest, rest_n - rest]])
    expected = StratifiedTable(tables).test_null_odds().pvalue
    assert mantel_haenszel_p(count, n, rest, rest_n) == pytest.approx(expected)
    nothing = np.zeros_like(n)
    assert np.isnan(mantel_haenszel_p(nothing, n, nothing, rest_n))
    assert np.isnan(mantel_haenszel_p(n[:0], n[:0], n[:0], n[:0]))


def test_pooled_rates_are_those_of_the_model_integrated_by_itself() -> None:
    count, n = np.array([1, 9, 4]), np.array([30, 40, 35])

    def density(logit_mean: float, logit_spread: float) -> tuple[float, float]:
        mean, spread = special.expit(logit_mean), special.expit(logit_spread)
        rates, chance = [], mean**0.5 * (1 - mean) ** 0.5 * spread * (1 - spread)
        for hits, images in zip(count, n, strict=True):
            parts = []
            for share, weight in ((0.95, 1 / spread**2 - 1), (0.05, 2.0)):
                a, b = mean * weight, (1 - mean) * weight
                marginal = np.exp(
                    special.betaln(hits + a, images - hits + b) - special.betaln(a, b)
                )
                parts.append((share * marginal, (hits + a) / (images + weight)))
            total = sum(part for part, _ in parts)
            chance *= total
            rates.append(sum(part * rate for part, rate in parts) / total)
        return chance, rates[0] * chance

    total, first = (
        integrate.dblquad(lambda y, x, i=i: density(x, y)[i], -7, 2, -8, 4, epsrel=1e-3)[0]
        for i in (0, 1)
    )
    assert pooled_rates(count, n).rate[0] == pytest.approx(first / total, abs=5e-4)


def test_a_cell_of_few_images_borrows_and_one_that_is_unlike_all_others_does_not() -> None:
    count, n = np.array([*[10] * 20, 1, 40]), np.array([*[200] * 20, 2, 100])
    found = pooled_rates(count, n)
    assert found.rate[-2] < 0.15  # 1 of 2 is drawn to the 5 % of the others
    assert found.interval.low[-1] > 0.25  # 40 of 100 is not
    assert found.gap_interval.low > 0.15
    again = pooled_rates(count, n)
    assert (found.rate == again.rate).all()
    assert found.gap == again.gap


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_cells_that_may_have_one_rate_need_not_lie_apart(rate: float) -> None:
    found = pooled_rates(np.full(10, round(40 * rate)), np.full(10, 40))
    assert found.gap_interval.low == 0
    assert np.isfinite([found.gap, found.gap_interval.high, *found.rate]).all()
    assert (found.interval.low <= found.rate).all()
    assert (found.rate <= found.interval.high).all()


CELLS = st.integers(30, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(CELLS, CELLS, st.sampled_from([0.02, 0.05, 0.2]))
@settings(max_examples=40)
def test_a_margin_is_met_where_the_interval_lies_within_it(
    one: tuple[int, int], other: tuple[int, int], margin: float
) -> None:
    (count, n), (rest, rest_n) = one, other
    found = rates_equivalence([count], [n], [rest], [rest_n], margin)
    reach = max(-found.interval.low[0], found.interval.high[0])
    if abs(reach - margin) > 1e-3:  # each is a sum with an error of its own
        assert (found.p[0] < 0.05) == (reach < margin)
    entered, left = min(count, n // 2), min(rest, n // 2)
    change = change_equivalence([entered], [left], [n], margin)
    reach = max(-change.interval.low[0], change.interval.high[0])
    if abs(reach - margin) > 1e-9:
        assert (change.p[0] < 0.05) == (reach < margin)


def test_without_a_hit_a_margin_takes_as_many_images_as_an_exact_bound() -> None:
    # None of 58 has an upper bound (95 %, one-sided) of 5.03 %, none of 59 one of 4.95 %.
    p = rates_equivalence([0, 0], [58, 59], [0, 0], [10**7, 10**7], 0.05).p
    assert p[0] > 0.05 > p[1]
    assert p[1] == pytest.approx(0.95**59, abs=2e-4)
    p = change_equivalence([0, 0, 0], [0, 0, 0], [71, 76, 0], 0.05).p
    assert p[0] > p[1]
    assert np.isnan(p[2])
    assert np.isnan(rates_equivalence([0], [0], [1], [9], 0.05).p[0])


def test_the_p_of_a_margin_is_that_of_two_exact_distributions() -> None:
    rng = np.random.default_rng(1)
    draws = 400_000
    low = rng.beta(3, 98, draws) - rng.beta(21, 980, draws)
    high = rng.beta(20, 981, draws) - rng.beta(4, 97, draws)
    expected = max((low <= -0.05).mean(), (high <= -0.05).mean())
    found = rates_equivalence([3], [100], [20], [1000], 0.05).p[0]
    assert found == pytest.approx(expected, abs=4 * stats.bernoulli.std(expected) / draws**0.5)
