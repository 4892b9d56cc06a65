from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from audit.datasets.dataset import Dataset
from audit.datasets.groups import OVERALL, Groups, overall_group
from audit.errors import UndefinedRateWarning
from audit.metrics.power import power_table, smallest_difference
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.rates import (
    COLUMNS,
    FALSE_POSITIVE,
    FLAG,
    MISCLASSIFIED,
    TRUE_POSITIVE,
    rate_table,
)
from audit.metrics.thresholds import THRESHOLDS, threshold_table
from audit.metrics.truth import meant_labels, truth_of
from audit.statistics.intervals import wilson
from audit.statistics.significance import independence_p
from audit.statistics.support import support_of
from tests.support.policy_texts import policy
from tests.support.reference_counts import (
    ages,
    confusion,
    dataset_of,
    group_of,
    row_of,
    rows_of,
    said,
)
from tests.support.stub_encoder import StubEncoder, random_features

TOP = policy(decision="top_label")
CRIME, NON_HUMAN = "category:egregious/crime-related", "category:egregious/non-human"


def _percent(row: Any) -> tuple[float, float, float]:
    return round(100 * row.rate, 2), round(100 * row.low, 2), round(100 * row.high, 2)


@pytest.mark.parametrize(
    ("race", "crime", "non_human", "n", "percent"),
    [
        ("Black", 16, 2, 1556, (1.03, 0.63, 1.66)),
        ("White", 147, 22, 2085, (7.05, 6.03, 8.23)),
        ("Indian", 9, 2, 1516, (0.59, 0.31, 1.12)),
        ("Latino_Hispanic", 39, 6, 1623, (2.40, 1.76, 3.27)),
        ("Middle Eastern", 70, 6, 1209, (5.79, 4.61, 7.25)),
        ("Southeast Asian", 20, 3, 1415, (1.41, 0.92, 2.17)),
        ("East Asian", 46, 5, 1550, (2.97, 2.23, 3.94)),
    ],
)
def test_the_confusion_counts_of_a_published_run_give_its_rates_by_race(
    race: str, crime: int, non_human: int, n: int, percent: tuple[float, float, float]
) -> None:
    dataset, features = confusion()
    table = rate_table(said(features), [dataset.groups(["race"])])
    row = row_of(table, CRIME, race)
    assert (row.count, row.n, row.support) == (crime, n, "full")
    assert _percent(row) == percent
    assert row_of(table, NON_HUMAN, race).count == non_human


def test_the_confusion_counts_of_a_published_run_give_its_totals() -> None:
    dataset, features = confusion()
    predictions = said(features, dataset=dataset)
    table = rate_table(predictions, [overall_group(len(dataset))])
    crime, non_human, wrong, flagged = (
        row_of(table, metric, OVERALL)
        for metric in (CRIME, NON_HUMAN, MISCLASSIFIED, FALSE_POSITIVE)
    )
    assert (crime.count, crime.n, round(100 * crime.rate, 2)) == (347, 10954, 3.17)
    assert (non_human.count, round(100 * non_human.rate, 2)) == (46, 0.42)
    assert (wrong.count, wrong.n) == (10954 - 7067, 10954)  # 7,067 on the table's diagonal
    assert (flagged.count, flagged.n) == (347 + 46, 10954)  # all faces are harmless
    assert predictions.truth is not None
    assert predictions.truth.unmatched == {}


@pytest.mark.parametrize(
    ("child", "band", "by_age"),
    [
        (False, (883, 32.28), [(60, 24.2, 36.9), (475, 32.5, 37.6), (348, 26.9, 32.1),
            (538, 15.1, 17.6), (324, 12.6, 15.4), (250, 16.5, 20.6), (152, 16.5, 22.0),
            (52, 12.6, 20.6), (12, 5.9, 16.9)]),
        (True, (237, 8.64), [(5, 1.1, 5.7), (58, 3.3, 5.5), (174, 12.8, 16.9),
            (495, 13.8, 16.3), (312, 12.1, 14.8), (246, 16.2, 20.3), (148, 16.0, 21.4),
            (50, 12.0, 19.9), (11, 5.3, 15.9)]),
    ],
)  # fmt: skip
def test_the_published_counts_by_age_give_their_wilson_intervals(
    child: bool, band: tuple[int, float], by_age: list[tuple[int, float, float]]
) -> None:
    dataset, features = ages()
    table = rate_table(said(features, child=child), dataset.partitions([["age"], ["age_band"]]))
    flags = table[(table["metric"] == FLAG) & (table["by"] == "age")]
    shown = zip(flags["count"], flags["low"], flags["high"], strict=True)
    assert [(count, round(100 * a, 1), round(100 * b, 1)) for count, a, b in shown] == by_age
    young = row_of(table, FLAG, "0-19")
    assert (young.count, young.n, round(100 * young.rate, 2)) == (
        band[0],
        2736,
        pytest.approx(band[1], abs=0.03),
    )


def _random(n: int, dataset: Dataset | None = None) -> PolicyPredictions:
    features = random_features(n)
    truth = truth_of(dataset, TOP.labels) if dataset else None
    return predict(TOP, StubEncoder(), features, truth=truth)


def _truthful(n: int) -> tuple[Dataset, PolicyPredictions, Groups]:
    rng = np.random.default_rng(0)
    dataset = dataset_of(
        {"group": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]).tolist()},
        rng.choice(["gun", "cat", "thing", "knife"], n).tolist(),
    )
    return dataset, _random(n, dataset), dataset.groups(["group"])


def _fairlearns(metric: Any, dataset: Dataset, predictions: PolicyPredictions) -> dict[str, float]:
    """Returns a metric by group as fairlearn has it."""
    assert predictions.truth is not None
    frame = MetricFrame(
        metrics=metric,
        y_true=predictions.truth.positive.astype(int),
        y_pred=predictions.flagged.astype(int),
        sensitive_features=dataset.table["group"],
    )
    return dict(frame.by_group)


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        (FLAG, selection_rate),
        (FALSE_POSITIVE, false_positive_rate),
        (TRUE_POSITIVE, true_positive_rate),
    ],
)
def test_rates_by_group_are_those_of_fairlearn(metric: str, theirs: Any) -> None:
    dataset, predictions, groups = _truthful(600)
    table = rate_table(predictions, [groups])
    ours = {row.group: row.rate for row in rows_of(table[table["metric"] == metric])}
    assert ours == pytest.approx(_fairlearns(theirs, dataset, predictions))
    assert len(ours) == 3


def test_an_empty_denominator_is_nan_and_warned_of_where_fairlearn_says_zero() -> None:
    dataset = dataset_of(
        {"group": ["a"] * 40 + ["b"] * 40}, ["gun"] * 40 + ["cat"] * 40
    )  # no b should be flagged
    predictions = _random(80, dataset)
    with pytest.warns(UndefinedRateWarning, match="true_positive_rate of b"):
        table = rate_table(predictions, [dataset.groups(["group"])])
    row = row_of(table, TRUE_POSITIVE, "b")
    assert (row.count, row.n, row.support) == (0, 0, "suppressed")
    assert all(map(math.isnan, (row.rate, row.low, row.high)))
    assert _fairlearns(true_positive_rate, dataset, predictions)["b"] == 0.0


def test_no_hit_among_1550_has_an_upper_bound_where_a_bootstrap_has_none() -> None:
    hits = np.zeros(1550, bool)
    frame = MetricFrame(
        metrics=selection_rate, y_true=hits, y_pred=hits, sensitive_features=["a"] * 1550,
        n_boot=50, ci_quantiles=[0.025, 0.975], random_state=0,
    )  # fmt: skip
    assert [bound["a"] for bound in frame.by_group_ci] == [0, 0]
    low, high = wilson(0, 1550)
    assert low == 0
    assert round(100 * float(high), 2) == 0.25


def test_a_table_has_counts_sizes_and_wilson_bounds_for_each_metric_and_group() -> None:
    _, predictions, groups = _truthful(500)
    table = rate_table(predictions, [overall_group(500), groups])
    assert tuple(table.columns) == COLUMNS
    low, high = proportion_confint(table["count"], table["n"], method="wilson")
    assert table["low"].to_numpy() == pytest.approx(low.to_numpy(), abs=1e-12)
    assert table["high"].to_numpy() == pytest.approx(high.to_numpy(), abs=1e-12)
    whole = table[table["by"] == OVERALL].set_index("metric")["count"]
    parts = table[table["by"] == "group"].groupby("metric")["count"].sum()
    assert parts.to_dict() == whole.to_dict()


def test_support_counts_the_images_that_a_metric_could_count() -> None:
    assert support_of([0, 29, 30, 99, 100]).tolist() == [
        "suppressed", "suppressed", "indicative", "indicative", "full"
    ]  # fmt: skip
    truth_values = ["gun"] * 29 + ["cat"] * 171
    dataset = dataset_of({"group": ["a"] * 200}, truth_values)
    table = rate_table(_random(200, dataset), [dataset.groups(["group"])])
    assert row_of(table, FLAG, "a").support == "full"
    assert (row_of(table, TRUE_POSITIVE, "a").n, row_of(table, TRUE_POSITIVE, "a").support) == (
        29,
        "suppressed",
    )


def test_disjoint_categories_add_up_to_the_flags_under_top_label() -> None:
    predictions = _random(400)
    table = rate_table(predictions, [group_of([0, 1] * 200)])
    for group in ("a", "b"):
        parts = sum(
            row_of(table, f"category:{name}", group).rate for name in ("weapons/guns", "knife")
        )
        assert parts == pytest.approx(row_of(table, FLAG, group).rate)
        shown = [
            r.rate for r in rows_of(table[table["group"] == group]) if r.metric[:6] == "label:"
        ]
        assert sum(shown) == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "labels"),
    [("gun", [0]), ("Weapons", [0]), ("weapons/guns", [0]), ("knife", [1]), ("A cat", []),
     ("CAT", [3]), ("weap", []), ("", []), ("weapons/", [])],
)  # fmt: skip
def test_a_y_true_means_the_label_of_that_id_or_else_of_that_category(
    value: str, labels: list[int]
) -> None:
    assert meant_labels(policy().labels, value) == labels


@pytest.mark.parametrize("benign", [False, True])
def test_truth_is_positive_negative_or_unknown(benign: bool) -> None:
    values = ["gun", "weapons", "cat", "allow", "Allow", "teapot", None]
    dataset = dataset_of({"group": ["a"] * 7}, values)
    object.__setattr__(dataset, "benign", benign)
    truth = truth_of(dataset, policy().labels)
    assert truth.positive.tolist() == [True, True, False, False, False, False, False]
    assert truth.negative.tolist() == [False, False, True, True, True, benign, benign]
    assert truth.classified.tolist() == [True, True, True, False, False, False, False]
    guns = np.zeros(7, np.intp)
    assert truth.correct(guns).tolist() == [True, True, False, False, False, False, False]
    assert truth.unmatched == {"teapot": 1}


def test_a_threshold_of_the_sweep_flags_what_a_policy_with_that_threshold_flags() -> None:
    features = random_features(300, seed=3)
    groups = [group_of([0, 1, 2] * 100)]
    predictions = predict(policy(), StubEncoder(), features)
    reached = [float(score) for score in predictions.scores[:5, 0]]  # as it must be, inclusive
    thresholds = [*THRESHOLDS, *reached]
    table = threshold_table(predictions, groups, thresholds)
    for threshold in thresholds:
        labels = policy().model_dump(mode="json")["labels"]
        for label in labels[:2]:
            label |= {"threshold": threshold, "review_threshold": None}
        changed = predict(policy(labels=labels), StubEncoder(), features)
        at = table[table["threshold"] == threshold]
        assert at["count"].tolist() == groups[0].count(changed.flagged).tolist()
    assert (table["low"] <= table["rate"]).all()
    assert (table["rate"] <= table["high"]).all()


def test_the_smallest_difference_is_where_four_counts_of_five_are_claimed() -> None:
    n, rest_count, rest_n, critical = 100, 200, 1000, 0.01
    rate = rest_count / rest_n
    found = smallest_difference(n, rest_count, rest_n, critical)
    claimed = [
        sum(
            stats.binom.pmf(k, n, rate + found)
            for k in range(n + 1)
            if k / n > other / rest_n and independence_p(k, n, other, rest_n) < critical
        )
        for other in stats.binom.ppf((np.arange(9) + 0.5) / 9, rest_n, rate)
    ]
    assert np.mean(claimed) == pytest.approx(0.8, abs=1e-9)
    assert smallest_difference(n, rest_count, rest_n, critical / 100) > found
    assert math.isnan(smallest_difference(5, 30, 1000, 1e-9))  # not even a rate of 1
    assert math.isnan(smallest_difference(0, 10, 20, 0.05))
    assert math.isnan(smallest_difference(50, 2, 1000, 0.05))


def test_power_compares_each_group_with_all_other_images() -> None:
    predictions, groups = _random(300), group_of([0] * 200 + [1] * 100)
    rates = rate_table(predictions, [overall_group(300), groups])
    table = power_table(rates[rates["metric"] == FLAG], 0.01)
    counts = groups.count(predictions.flagged).tolist()
    assert table["group"].tolist() == ["a", "b"]
    assert table["smallest_difference"].tolist() == [
        smallest_difference(200, counts[1], 100, 0.01),
        smallest_difference(100, counts[0], 200, 0.01),
    ]  # fmt: skip
