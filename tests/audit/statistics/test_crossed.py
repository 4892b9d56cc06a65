from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from audit.datasets.groups import Marks
from audit.statistics.crossed import CrossedCounts, crossed_gaps
from audit.statistics.intervals import Float64s
from benchmarks.coverage_of_wordings import (
    APART_ALONE,
    AS_REAL,
    NOT_AT_ALL,
    Population,
    held,
    summed,
)


def _counts(flags: Marks) -> CrossedCounts:
    return CrossedCounts.of(flags, np.zeros(len(flags), np.intp), 1)


def _flags(n: int, w: int, seed: int, rate: float = 0.3) -> Marks:
    rng = np.random.default_rng(seed)
    leaning = rng.normal(size=(n, 1)) + rng.normal(0, 0.5, w) + rng.normal(size=(n, w))
    return np.asarray(leaning < np.quantile(leaning, rate))


def _half(interval: tuple[Float64s, Float64s]) -> float:
    return float(np.squeeze(interval[1] - interval[0])) / 2


@given(st.integers(3, 40), st.integers(2, 9), st.integers(0, 999))
@settings(max_examples=50)
def test_the_spread_is_that_of_the_whole_array(n: int, w: int, seed: int) -> None:
    flags = _flags(n, w, seed)
    of_images, crossed = _counts(flags).spread()
    assert of_images[0] == pytest.approx(flags.mean(axis=1).var(ddof=1) / n)
    rest = flags - flags.mean(axis=1, keepdims=True) - flags.mean(axis=0) + flags.mean()
    freedom = (n - 1) * (w - 1)
    assert crossed[0] == pytest.approx((rest**2).sum() / freedom / (n * w), abs=1e-15)


def test_others_are_all_groups_but_one_and_two_more_are_two_images() -> None:
    flags, codes = _flags(90, 5, seed=1), np.arange(90) % 3
    every = CrossedCounts.of(flags, codes, 3)
    for ours, alone in zip(
        astuple(every.others()), astuple(_counts(flags[codes != 1])), strict=True
    ):
        assert ours[1].tolist() == alone[0].tolist()
    two = np.vstack([flags, np.ones((1, 5), bool), np.zeros((1, 5), bool)])
    for ours, alone in zip(
        astuple(_counts(flags).with_two_more()), astuple(_counts(two)), strict=True
    ):
        assert ours.tolist() == alone.tolist()


@pytest.mark.parametrize(("hits", "other_hits"), [(30, 12), (3, 90), (0, 0), (0, 5), (200, 300)])
def test_wordings_that_flag_the_same_images_leave_the_interval_of_agresti_and_caffo(
    hits: int, other_hits: int
) -> None:
    one, other = (
        _counts(np.repeat(np.arange(n)[:, np.newaxis] < count, 7, axis=1))
        for count, n in ((hits, 200), (other_hits, 300))
    )
    found = crossed_gaps(one, other)
    low, high = confint_proportions_2indep(
        hits, 200, other_hits, 300, compare="diff", method="agresti-caffo"
    )
    assert found.mean[0] == pytest.approx(hits / 200 - other_hits / 300)
    for interval in (found.over_both, found.over_images):
        assert (interval.low[0], interval.high[0]) == pytest.approx((low, high), abs=4e-4)
        assert interval.low[0] < interval.high[0]
    assert found.of_wordings[0] == pytest.approx(0, abs=1e-12)


def test_wordings_make_the_interval_wider() -> None:
    flags, others = _flags(300, 9, seed=3), _flags(400, 9, seed=4, rate=0.2)
    found = crossed_gaps(_counts(flags), _counts(others))
    gaps = flags.mean(axis=0) - others.mean(axis=0)
    assert found.mean[0] == pytest.approx(gaps.mean())
    assert (found.lowest[0], found.highest[0]) == pytest.approx((gaps.min(), gaps.max()))
    assert _half(found.over_both) > _half(found.over_images)
    assert 0.5 < found.of_wordings[0] < 1
    wide = crossed_gaps(_counts(flags), _counts(others), 0.99)
    assert _half(wide.over_both) > _half(found.over_both)


def test_few_wordings_and_uneven_ones_have_no_interval_over_wordings() -> None:
    flags, others = _flags(300, 3, seed=5), _flags(400, 3, seed=6)
    assert np.isfinite(crossed_gaps(_counts(flags), _counts(others)).over_both.low[0])
    two = crossed_gaps(_counts(flags[:, :2]), _counts(others[:, :2]))
    assert np.isnan([*two.over_both, two.of_wordings]).all()
    assert np.isfinite(two.over_images).all()
    uneven = np.zeros((300, 9), bool)
    uneven[:, 0], uneven[:2, 1:] = flags[:, 0], True
    found = crossed_gaps(_counts(uneven), _counts(uneven[:200]))
    assert found.uneven.all()
    assert np.isnan(found.over_both).all()
    assert np.isfinite(found.over_images).all()


def _drawn(population: Population, draws: int) -> tuple[CrossedCounts, CrossedCounts]:
    rng = np.random.default_rng(11)
    return summed([population.draw(rng) for _ in range(draws)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "population",
    [
        Population((60, 250), (0.2, 0.35), 9, AS_REAL),
        Population((60, 250), (0.2, 0.35), 4, APART_ALONE),
        Population((60, 250), (0.01, 0.03), 9, AS_REAL),
        Population((60, 250), (0.003, 0.003), 4, NOT_AT_ALL),
    ],
)
def test_the_interval_over_wordings_holds_the_gap_over_all_of_them(population: Population) -> None:
    found = crossed_gaps(*_drawn(population, 500))
    shown = ~found.uneven
    assert shown.mean() > 0.6
    # Three standard errors below 95 %.
    assert held(found.over_both, population.gap)[shown].mean() >= 0.92
    widths = found.over_both.high - found.over_both.low
    assert (widths[shown] > 0).all()
    assert (widths >= found.over_images.high - found.over_images.low - 1e-9)[shown].all()


@pytest.mark.slow
def test_the_interval_over_images_alone_passes_wordings_by() -> None:
    population = Population((60, 250), (0.2, 0.35), 4, APART_ALONE)
    found = crossed_gaps(*_drawn(population, 1000))
    assert held(found.over_images, population.gap).mean() < 0.85
    assert held(found.over_both, population.gap)[~found.uneven].mean() >= 0.93
