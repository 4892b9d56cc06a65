"""F1 and average precision: values against scikit-learn, intervals by simulation and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from audit.statistics.detection import average_precision, f1, score_steps


def test_f1_is_that_of_scikit_learn_with_an_interval_of_the_same_share() -> None:
    truth = np.repeat([1, 1, 0, 0], (12, 3, 5, 30))
    said = np.repeat([1, 0, 1, 0], (12, 3, 5, 30))
    found = f1(12, 5, 3)
    assert found.value == pytest.approx(metrics.f1_score(truth, said))
    # Wilson's interval of 12 of 20 is 0.3866 to 0.7812, and F1 is 2 J / (1 + J) of it.
    assert found.low == pytest.approx(2 * 0.3866 / 1.3866, abs=1e-4)
    assert found.high == pytest.approx(2 * 0.7812 / 1.7812, abs=1e-4)
    assert f1(0, 0, 4)[:2] == (0, 0)
    assert all(map(math.isnan, f1(0, 0, 0)))


@pytest.mark.parametrize(("m", "n", "apart"), [(10, 100, 2.0), (40, 135, 3.0), (100, 20, 1.0)])
def test_the_interval_of_average_precision_holds_at_least_as_often_as_it_says(
    m: int, n: int, apart: float
) -> None:
    generator = np.random.default_rng(m)
    positive = np.arange(m + n) < m
    found = [
        average_precision(generator.normal(apart * positive, 1), positive) for _ in range(1000)
    ]
    true = np.mean([each.value for each in found])  # of samples of this size
    held = np.mean([each.low <= true <= each.high for each in found])
    assert held >= 0.94


def test_average_precision_has_a_width_at_its_ends_and_none_without_positives() -> None:
    positive = np.arange(20) < 10
    perfect = average_precision(np.where(positive, 1.0, 0.0), positive)
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(0.7225, abs=1e-4)
    assert all(map(math.isnan, average_precision(np.ones(3), np.zeros(3, bool))))


def test_pictures_with_equal_scores_make_one_step() -> None:
    steps = score_steps(np.array([0.5, 0.9, 0.5, 0.1]), np.array([True, True, False, False]))
    assert steps.scores.tolist() == [0.9, 0.5, 0.1]
    assert (steps.hits.tolist(), steps.false.tolist()) == ([1, 2, 2], [0, 1, 2])
    assert len(score_steps(np.empty(0), np.empty(0, bool)).scores) == 0
