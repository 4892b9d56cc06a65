"""Several systems side by side on the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from audit.errors import AuditError
from audit.evaluation import EvaluatedSystem, Evaluation, LabelledImages, SystemLabel, evaluate
from audit.evaluation.paired import PairedDifference
from audit.statistics.paired_scores import PairedBootstrap, SaidScores, auc_difference

LABELS = [SystemLabel("handgun", "review", None, 0.5)]


def compared(one: np.ndarray, other: np.ndarray, shown: np.ndarray) -> Evaluation:
    """Returns the evaluation of two systems with one label, the first as reference."""
    given = [["handgun"] if each else ["pass"] for each in shown]
    images = LabelledImages.of_names([str(i) for i in range(len(shown))], given)
    systems = [
        EvaluatedSystem.of_scores(name, LABELS, scores[:, np.newaxis])
        for name, scores in (("one", one), ("other", other))
    ]
    return evaluate(images, systems)


def by_metric(found: Evaluation) -> dict[str, PairedDifference]:
    """Returns the differences on the label."""
    return {row.metric: row for row in found.paired if row.kind == "label"}


@pytest.fixture(scope="module")
def better() -> Evaluation:
    """Of 400 pictures, half of which show it, the second system finds 60 more."""
    generator = np.random.default_rng(1)
    shown = np.arange(400) < 200
    one = np.where(shown, np.where(np.arange(400) < 100, 0.9, 0.2), 0.1)
    other = np.where(shown, np.where(np.arange(400) < 160, 0.9, 0.2), 0.1)
    noise = generator.uniform(0, 0.05, 400)
    return compared(one + noise, other + noise, shown)


def test_a_difference_that_stands_is_claimed_in_words(better: Evaluation) -> None:
    recall = by_metric(better)["recall"]
    assert recall.difference == pytest.approx(0.3)
    assert (recall.n, recall.claim) == (200, True)
    assert recall.p == pytest.approx(2 * 0.5**60)
    sentence = next(text for text in better.finding if "recall on handgun (label)" in text)
    assert "recall on handgun (label) of other is 30.0 points higher than that of one" in sentence
    assert by_metric(better)["false_flag_rate"].difference == 0
    assert not by_metric(better)["false_flag_rate"].claim


def test_two_that_say_the_same_differ_in_nothing() -> None:
    shown = np.arange(100) < 50
    scores = np.linspace(1, 0, 100)
    found = compared(scores, scores, shown)
    assert all(row.difference == 0 for row in found.paired)
    assert not any(row.claim for row in found.paired)
    assert "No difference stands after correction" in found.finding[-1]


def test_a_label_of_which_nothing_is_known_has_no_difference() -> None:
    images = LabelledImages.of_names(["a"], [["handgun"]])
    labels = [*LABELS, SystemLabel("blade", "review", None, 0.5)]
    systems = [EvaluatedSystem.of_scores(name, labels, [[0.9, 0.1]]) for name in ("one", "other")]
    blade = [row for row in evaluate(images, systems).paired if row.name == "blade"]
    assert len(blade) == 6
    assert all((row.n, row.difference, row.claim) == (0, None, False) for row in blade)


def test_few_pictures_make_no_claim() -> None:
    shown = np.arange(40) < 20
    found = compared(np.where(shown, 0.1, 0.2), np.where(shown, 0.9, 0.2), shown)
    recall = by_metric(found)["recall"]
    assert recall.difference == 1
    assert recall.p_adjusted is None
    assert not recall.claim


def test_differences_are_those_of_the_figures_by_themselves(better: Evaluation) -> None:
    one, other = (of for of in better.figures if of.kind == "label")
    rows = by_metric(better)
    for metric in ("precision", "f1", "recall", "false_flag_rate"):
        before, after = (getattr(of.decisions[0], metric).value for of in (one, other))
        assert rows[metric].difference == pytest.approx(after - before)
    assert rows["roc_area"].difference == pytest.approx(
        (other.roc_area.value or 0) - (one.roc_area.value or 0)
    )
    assert rows["average_precision"].difference == pytest.approx(
        (other.average_precision.value or 0) - (one.average_precision.value or 0)
    )
    assert all((row.low or 0) <= (row.difference or 0) <= (row.high or 0) for row in rows.values())


def test_systems_of_one_name_are_refused() -> None:
    images = LabelledImages.of_names(["a"], [["handgun"]])
    system = EvaluatedSystem.of_scores("one", LABELS, [[0.5]])
    with pytest.raises(AuditError, match="two systems are called one"):
        evaluate(images, [system, system])


def test_a_label_that_only_one_has_is_not_compared() -> None:
    images = LabelledImages.of_names(["a", "b"], [["handgun"], ["pass"]])
    one = EvaluatedSystem.of_scores("one", LABELS, [[0.5], [0.1]])
    other = EvaluatedSystem.of_scores(
        "other", [SystemLabel("gun", "review", threshold=0.5)], [[1], [0]]
    )
    found = evaluate(images, [one, other])
    assert {(row.kind, row.name) for row in found.paired} == {("action", "flagged")}
    assert found.systems[1].unclaimed == ("handgun",)


def test_the_interval_of_a_difference_of_areas_holds() -> None:
    """Of 400 samples, 95 % hold the true difference, which normal scores have."""
    generator = np.random.default_rng(3)
    held, true = 0, 0.82859 - 0.72183  # Phi(1.5 / sqrt(2.5)) less Phi(1.5 / sqrt(6.5))
    for _ in range(400):
        positive = np.arange(120) < 40
        shared = generator.normal(1.5 * positive, 1)
        one, other = (shared + generator.normal(0, spread, 120) for spread in (0.5, 1.5))
        difference = auc_difference(one, other, positive).difference
        held += difference.low <= true <= difference.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_bootstrap_draws_as_scikit_learn_counts() -> None:
    generator = np.random.default_rng(5)
    positive = generator.random(60) < 0.4
    scores = generator.random(60).round(1)
    other = np.zeros(60)
    found = PairedBootstrap(positive, draws=200).differences(
        SaidScores(scores, scores >= 0.5), SaidScores(other, other >= 0.5)
    )
    ranked = metrics.average_precision_score(positive, scores) - positive.mean()
    assert found["average_precision"].value == pytest.approx(ranked)
    assert found["f1"].value == pytest.approx(metrics.f1_score(positive, scores >= 0.5))
    assert np.isnan(found["precision"].value)  # the other one says nothing
