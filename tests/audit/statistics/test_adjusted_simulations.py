"""Intervals of adjusted figures hold the truth as often as is stated, and margins keep their error.

`benchmarks/coverage_adjusted.py` draws more of them, over wider grids. Every simulation is seeded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from audit.metrics.equivalences import equivalence_table
from audit.statistics.equivalence import change_equivalence
from audit.statistics.exact_shares import melded_margin_p
from audit.statistics.intervals import Float64s, Interval, difference_of
from audit.statistics.pooling import pooled_rates
from audit.statistics.stratification import mantel_haenszel_p, standardised_rates

pytestmark = pytest.mark.slow

DRAWS = 1000
#: Three standard errors of a share of 95 % of so many draws.
SLACK = 3 * float(np.sqrt(0.95 * 0.05 / DRAWS))


def _held(interval: Interval, true: float) -> float:
    return float(((interval.low <= true + 1e-12) & (true <= interval.high + 1e-12)).mean())


@pytest.mark.parametrize("rate", [0.003, 0.05, 0.5])
@pytest.mark.parametrize(("strata", "images"), [(5, 100), (18, 60), (63, 100), (18, 2000)])
def test_a_standardised_rate_and_its_difference_are_held_in_95_of_100(
    strata: int, images: int, rate: float
) -> None:
    rng = np.random.default_rng(strata)
    weight = rng.dirichlet(np.full(strata, 3.0))
    # The group has most images where the whole has few.
    shares = (1 / weight) / (1 / weight).sum()
    n = np.maximum(1, np.round(shares * images)).astype(np.int64)
    rest_n = np.maximum(1, np.round(weight * 6 * images)).astype(np.int64)
    rates = special.expit(special.logit(rate) + rng.standard_normal(strata))
    higher = special.expit(special.logit(rates) + 0.7)
    count, rest = (
        rng.binomial(n, higher, (DRAWS, strata)),
        rng.binomial(rest_n, rates, (DRAWS, strata)),
    )
    own = standardised_rates(count, np.tile(n, (DRAWS, 1)), weight)
    other = standardised_rates(rest, np.tile(rest_n, (DRAWS, 1)), weight)
    assert _held(own.interval, float(higher @ weight)) >= 0.95 - SLACK
    apart = difference_of(own.rate, own.interval, other.rate, other.interval)
    assert _held(apart, float((higher - rates) @ weight)) >= 0.95 - SLACK


def test_strata_alone_make_no_difference_in_5_of_100() -> None:
    rng = np.random.default_rng(0)
    n, rest_n = np.array([20, 180, 60]), np.array([180, 20, 60])
    rates = np.array([0.05, 0.4, 0.2])
    p = [
        mantel_haenszel_p(rng.binomial(n, rates), n, rng.binomial(rest_n, rates), rest_n)
        for _ in range(DRAWS)
    ]
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) <= SLACK


def _pooled_draws(sizes: Float64s, true: Float64s, draws: int) -> Float64s:
    """Returns (draws, 5): cells, last cell and gap that are held; squared error, pooled and raw."""
    rng = np.random.default_rng(len(sizes))
    n, found = sizes.astype(np.int64), []
    for rates in np.broadcast_to(true, (draws, len(n))):
        count = rng.binomial(n, rates)
        pooled = pooled_rates(count, n)
        inside = (pooled.interval.low <= rates) & (rates <= pooled.interval.high)
        errors = [((of - rates) ** 2).mean() for of in (pooled.rate, count / n)]
        gap = _held(pooled.gap_interval, float(np.ptp(rates)))
        found.append([inside.mean(), inside[-1], gap, *errors])
    return np.array(found)


@pytest.mark.parametrize(("cells", "images"), [(14, 50), (40, 15)])
def test_pooled_rates_are_held_and_closer_to_the_truth_than_the_raw_ones(
    cells: int, images: int
) -> None:
    sizes = np.round(images * np.linspace(0.5, 1.5, cells))
    alike = _pooled_draws(sizes, np.full(cells, 0.05), 30)
    spread = _pooled_draws(sizes, np.random.default_rng(1).beta(2, 30, (50, cells)), 50)
    for found in (alike, spread):
        cell, _, gap, pooled, raw = found.mean(axis=0)
        assert cell >= 0.93
        assert gap >= 0.95 - 0.06
        assert pooled < raw
    # Where all have one rate, the gap is held as its interval begins at 0.
    assert alike.mean(axis=0)[2] >= 0.96


def test_one_cell_that_is_unlike_all_others_is_held_nearly_as_often() -> None:
    sizes, true = np.append(np.full(30, 150.0), 100), np.append(np.full(30, 0.05), 0.2)
    found = _pooled_draws(sizes, true, 80).mean(axis=0)
    # With one distribution for all cells it is some 30 of 100: the test can fail.
    assert found[1] >= 0.82
    assert found[2] >= 0.88


@pytest.mark.parametrize(("n", "times"), [(30, 3), (50, 6), (100, 1)])
@pytest.mark.parametrize("rate", [0.0, 0.002, 0.05])
def test_groups_that_lie_the_margin_apart_are_shown_within_it_in_5_of_100_at_most(
    n: int, times: int, rate: float
) -> None:
    # Summed over all counts, so without an error of simulation.
    for rates in ((rate + 0.1, rate), (rate, rate + 0.1)):
        chances = [
            stats.binom.pmf(np.arange(m + 1), m, of)
            for m, of in zip((n, n * times), rates, strict=True)
        ]
        axes = [np.flatnonzero(chance > 1e-7) for chance in chances]
        one, other = (each.ravel() for each in np.meshgrid(*axes, indexing="ij"))
        every = np.ones(len(one))
        p = melded_margin_p(one, n * every, other, n * times * every, 0.1)
        assert (chances[0][one] * chances[1][other])[p < 0.05].sum() <= 0.05


@pytest.mark.parametrize(("n", "margin"), [(50, 0.05), (400, 0.01), (400, 0.02), (1500, 0.05)])
def test_a_change_of_the_margin_is_shown_within_it_in_5_of_100_at_most(
    n: int, margin: float
) -> None:
    rng = np.random.default_rng(n)
    for both in (0.0, 0.01):
        drawn = rng.multinomial(n, [both + margin, both, 1 - 2 * both - margin], 2 * DRAWS)
        found = change_equivalence(drawn[:, 0], drawn[:, 1], np.full(2 * DRAWS, n), margin)
        # Bonett and Price's interval would say so in 8 to 10 of 100 for the first three.
        assert (found.p < 0.05).mean() <= 0.05 + SLACK


def test_a_table_of_margins_has_a_wrong_row_in_5_of_100_at_most() -> None:
    rng = np.random.default_rng(4)
    n, wrong, single = 300, [], []
    for left in rng.binomial(n, 0.05, (200, 8)):  # every change is the margin itself
        rows: dict[str, Any] = {
            "before_policy": "a",
            "after_policy": "b",
            "by": "x",
            "group": list("abcdefgh"),
        }
        rows |= {"metric": "flag", "entered": 0, "left": left, "n": n, "net": -left / n}
        shifts = pd.DataFrame(rows | {"support": "full", "claim": False})
        table = equivalence_table(pd.DataFrame(), shifts, 0.05)
        wrong.append((table["answer"] == "within").any())
        single.append((table["p"] < 0.05).any())
    assert np.mean(wrong) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(single) > 0.15  # without the correction: the test can fail
