"""How well scores separate by group, and how far they are a probability."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from audit.audits.robustness import robustness_limits
from audit.datasets.groups import overall_group
from audit.metrics.calibration import BINS, calibration_table, flag_probability
from audit.metrics.predictions import LookScores, PolicyPredictions, highest_of_looks
from audit.metrics.separation import separation_table
from audit.metrics.thresholds import threshold_margin
from audit.metrics.truth import Truth
from audit.statistics.scores import auc, overstatement
from moderation.encoders.encoder import Float32s
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import outcomes
from tests.support.policy_texts import policy
from tests.support.reference_counts import group_of, rows_of

#: Labels of the policy of the tests: two that flag, then two context labels.
FLAGGING = 2


def _said(
    rng: np.random.Generator, n: int, *, scoring: str = "softmax", known: float = 1.0
) -> PolicyPredictions:
    """Returns predictions on random cosines, half of whose images should be flagged."""
    made = policy(scoring=scoring)
    return _of_logits(made, rng.normal(0, 2, (n, 4)), rng.random(n) < 0.5, rng.random(n) < known)


def _of_logits(made: Policy, logits: Any, positive: Any, known: Any) -> PolicyPredictions:
    cosines = (logits / 100).astype(np.float32)
    scores = _classifier(made).scores(cosines)
    truth = Truth(positive & known, ~positive & known, np.zeros((len(positive), 4), bool), {})
    fired = outcomes(made, cosines, scores)
    return PolicyPredictions(
        policy=made, similarities=cosines, scores=scores, outcomes=fired, name="small", truth=truth
    )


def _classifier(made: Policy) -> Classifier:
    return Classifier(made, np.empty((4, 0), np.float32), 100.0, -1.0)


# AUC


def test_an_auc_is_the_share_of_pairs_and_ties_count_as_half() -> None:
    rng = np.random.default_rng(0)
    positives = rng.integers(1, 7, 40).astype(np.float64)
    negatives = rng.integers(0, 6, 55).astype(np.float64)
    found = auc(positives, negatives)
    pairs = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    assert found.value == pytest.approx(pairs.mean())
    scipys = stats.mannwhitneyu(positives, negatives).statistic
    assert found.value == pytest.approx(scipys / (40 * 55))
    turned = auc(-positives, -negatives)
    assert turned == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))


@pytest.mark.parametrize(("m", "n"), [(30, 30), (30, 400)])
def test_scores_that_never_mix_have_a_bound_a_little_beyond_that_of_method_5(
    m: int, n: int
) -> None:
    def beyond(true: float) -> float:  # with Newcombe's own form of the variance
        half = (m + n) / 2
        of_pairs = 2 * half - 1 - (3 * half - 3) / ((2 - true) * (1 + true))
        return (1 - true) ** 2 - 1.96**2 * true * (1 - true) / (m * n) * of_pairs

    found, his = auc(np.ones(m), np.zeros(n)), optimize.brentq(beyond, 0.0, 1 - 1e-9)
    assert (found.value, found.high) == (1, 1)
    assert his - 0.05 < found.low < his - 0.01
    assert auc(np.zeros(m), np.ones(n)) == pytest.approx((0, 0, 1 - found.low))


def test_scores_as_the_method_assumes_them_have_its_interval() -> None:
    # The more images, the less a quarter of one adds.
    rng = np.random.default_rng(1)
    positives, negatives = rng.exponential(2, 4000), rng.exponential(1, 4000)
    found = auc(positives, negatives)
    assert found.value == pytest.approx(2 / 3, abs=0.02)
    q1, q2 = found.value / (2 - found.value), 2 * found.value**2 / (1 + found.value)
    squared = found.value**2
    pairs = found.value - squared + 3999 * (q1 - squared) + 3999 * (q2 - squared)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(pairs) / 4000, rel=0.02)


def test_an_interval_is_wider_where_scores_vary_more_than_the_method_assumes() -> None:
    rng = np.random.default_rng(0)
    spread, even = (auc(rng.normal(0, sd, 30), rng.normal(0, 1, 900)) for sd in (4.0, 0.1))
    assert spread.high - spread.low > 1.3 * (even.high - even.low)


def test_scores_that_mix_have_no_interval_up_to_1() -> None:
    found = auc(np.array([0.0, *[2.0] * 39]), np.ones(40))  # one of forty lies wholly wrong
    assert found.value == 0.975
    assert 0.99 < found.high < 1
    turned = auc(np.ones(40), np.array([0.0, *[2.0] * 39]))
    assert 0 < turned.low < 0.01


def test_an_auc_without_one_kind_of_images_is_undefined() -> None:
    assert np.isnan(auc(np.empty(0), np.ones(3))).all()
    assert np.isnan(auc(np.ones(3), np.empty(0))).all()
    assert auc(np.ones(1), np.zeros(1)).value == 1


def test_each_group_is_compared_with_itself_and_with_all_others_both_ways() -> None:
    rng = np.random.default_rng(1)
    said = _said(rng, 400, known=0.8)
    groups = group_of(rng.choice(3, 400, p=[0.5, 0.45, 0.05]).tolist())
    table = separation_table(said, [overall_group(400), groups])
    margins, truth = threshold_margin(said), said.truth
    assert truth is not None
    assert len(table) == 1 + 3 * 3
    for row in rows_of(table):
        own = np.ones(400, bool) if row.by == "overall" else groups.codes == "abc".index(row.group)
        sides = {
            "within": (own, own),
            "positives_to_others": (own, ~own),
            "negatives_to_others": (~own, own),
        }[row.compared]
        ups, downs = margins[truth.positive & sides[0]], margins[truth.negative & sides[1]]
        assert (row.positives, row.negatives) == (len(ups), len(downs))
        assert row.auc == pytest.approx((ups[:, None] > downs).mean())
        assert row.low < row.auc < row.high
        assert (row.support == "suppressed") == (min(len(ups), len(downs)) < 30)


def test_moving_all_thresholds_together_moves_no_auc() -> None:
    rng = np.random.default_rng(2)
    said = _said(rng, 200)
    labels = [
        label.model_copy(update={"threshold": 0.2, "review_threshold": 0.1})
        if label.id == "gun"
        else label.model_copy(update={"threshold": 1 / 7 if label.acts else None})
        for label in said.policy.labels
    ]
    # logit(0.1) - logit(0.4) is logit(1/7) - logit(0.5).
    moved = policy(labels=[label.model_dump() for label in labels])
    other = replace(said, policy=moved)
    assert not np.array_equal(threshold_margin(said) >= 0, threshold_margin(other) >= 0)
    shown = [separation_table(each, [overall_group(200)])["auc"].item() for each in (said, other)]
    assert shown[0] == pytest.approx(shown[1])


@pytest.mark.parametrize("positive", [True, False])
def test_images_of_one_kind_alone_have_no_auc_and_no_calibration(positive: bool) -> None:
    logits, same = np.zeros((50, 4)), np.full(50, positive)
    said = _of_logits(policy(), logits, same, np.ones(50, bool))
    assert separation_table(said, [overall_group(50)]).empty
    assert calibration_table(said, [overall_group(50)]).empty


# Calibration


def test_softmax_and_contrast_say_the_same_probability() -> None:
    logits = np.random.default_rng(3).normal(0, 3, (100, 4))
    any_of = np.exp(logits)[:, :FLAGGING].sum(axis=1) / np.exp(logits).sum(axis=1)
    for scoring in ("softmax", "contrast"):
        made = policy(scoring=scoring)
        said = _of_logits(made, logits, np.ones(100, bool), np.ones(100, bool))
        assert flag_probability(said) == pytest.approx(any_of, abs=1e-6)


def test_certain_scores_of_contrast_stay_a_probability() -> None:
    logits = np.array([[90.0, 80.0, 0, 0], [0, 0, 90.0, 90.0]])
    said = _of_logits(policy(scoring="contrast"), logits, np.ones(2, bool), np.ones(2, bool))
    assert flag_probability(said) == pytest.approx([1, 0], abs=1e-6)


def test_several_scores_of_sigmoid_are_no_probability_and_the_report_says_so() -> None:
    said = _said(np.random.default_rng(4), 60, scoring="sigmoid")
    assert flag_probability(said) is None
    assert calibration_table(said, [overall_group(60)]).empty
    [sentence] = robustness_limits([said], None)
    assert sentence.startswith("Calibration of small is not measured")
    [gun, knife, *others] = policy().model_dump()["labels"]
    knife |= {"action": None, "threshold": None}
    made = policy(scoring="sigmoid", labels=[gun, knife, *others])
    said = _of_logits(made, np.ones((5, 4)), np.ones(5, bool), np.ones(5, bool))
    assert flag_probability(said) == pytest.approx(said.scores[:, 0])
    assert list(robustness_limits([said], None)) == []


def test_of_several_looks_the_one_that_says_most_is_compared() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (9, 4))
    every = _of_logits(policy(), logits, np.ones(9, bool), np.ones(9, bool))
    looks = np.array([1, 3, 5])
    several = LookScores(every.similarities, every.scores, looks)
    rows: Float32s = every.scores[:3]
    said = PolicyPredictions(
        policy=policy(),
        similarities=rows,
        scores=rows,
        outcomes=every.outcomes[:3],
        name="small",
        several=several,
    )
    alone = flag_probability(every)
    assert alone is not None
    assert flag_probability(said) == pytest.approx(highest_of_looks(alone, looks))


def test_bins_are_the_same_for_each_group_and_hold_every_image_of_known_truth() -> None:
    rng = np.random.default_rng(6)
    said = _said(rng, 300, known=0.7)
    groups = group_of(rng.integers(0, 2, 300).tolist())
    table = calibration_table(said, [overall_group(300), groups])
    assert set(table["bin"]) == {*range(BINS + 1)}
    scores, truth = flag_probability(said), said.truth
    assert scores is not None
    assert truth is not None
    members = {"overall": np.ones(300, bool), "a": groups.codes == 0, "b": groups.codes == 1}
    for group, own in members.items():
        part = table[table["group"] == group]
        own = own & ~truth.unknown
        whole, bins = part[part["bin"] == 0].iloc[0], part[part["bin"] > 0]
        assert (whole["n"], whole["count"]) == (own.sum(), (own & truth.positive).sum())
        assert bins[["n", "count"]].sum().tolist() == [whole["n"], whole["count"]]
        assert whole["mean_score"] == pytest.approx(scores[own].mean())
        assert whole["difference"] == pytest.approx(whole["mean_score"] - whole["share"])
        assert (part["difference_low"] <= part["difference"]).all()
        assert (part["difference"] <= part["difference_high"]).all()
    ends = (
        table[table["bin"] > 0].groupby("bin").agg({"lowest_score": "min", "highest_score": "max"})
    )
    assert (ends["highest_score"].to_numpy()[:-1] < ends["lowest_score"].to_numpy()[1:]).all()


def test_equal_scores_are_in_one_bin() -> None:
    logits = np.repeat([[5.0, 0, 0, 0], [0, 0, 5.0, 0]], 20, axis=0)
    said = _of_logits(policy(), logits, np.arange(40) < 20, np.ones(40, bool))
    table = calibration_table(said, [overall_group(40)])
    assert sorted(table["n"]) == [20, 20, 40]


def test_scores_that_are_the_truth_are_known_more_exactly_than_a_share() -> None:
    positive = np.arange(200) < 60
    found = overstatement(positive.astype(np.float64), positive)
    assert found.value == 0
    assert found.high - found.low < 0.02
    apart = overstatement(np.full(200, 0.9), positive)
    assert apart.low < 0.6 < apart.high
    assert np.isnan(overstatement(np.empty(0), np.empty(0, bool))).all()


def test_the_tables_are_the_same_whatever_the_order_of_the_images() -> None:
    rng = np.random.default_rng(7)
    said, codes, order = _said(rng, 120), rng.integers(0, 2, 120), rng.permutation(120)
    truth = said.truth
    assert truth is not None
    meant = truth.meant[order]
    turned = PolicyPredictions(
        policy=said.policy,
        similarities=said.similarities[order],
        scores=said.scores[order],
        outcomes=said.outcomes[order],
        name="small",
        truth=Truth(truth.positive[order], truth.negative[order], meant, {}),
    )
    for make in (separation_table, calibration_table):
        one = make(said, [group_of(codes.tolist())])
        two = make(turned, [group_of(codes[order].tolist())])
        pd.testing.assert_frame_equal(one, two)
