"""Figures of an evaluation, against scikit-learn's on the same scores and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from audit.errors import AuditError
from audit.evaluation import EvaluatedSystem, LabelledImages, SystemLabel, evaluate
from audit.evaluation.figures import TargetFigures
from audit.evaluation.targets import evaluation_targets
from audit.metrics.predictions import PolicyPredictions
from moderation.policy import parse_policy
from moderation.scoring.verdict import decide, outcomes
from tests.support.onnx_files import classified_policy, described

LABELS = (
    SystemLabel("handgun", "block", "weapons/firearms", 0.6, 0.4),
    SystemLabel("blade", "review", "weapons/blades", 0.5),
    SystemLabel("blood", "review", None, 0.5),
    SystemLabel("animal", None, None),
)


def labelled(*given: str) -> LabelledImages:
    """Returns pictures with the names in each text, between spaces."""
    return LabelledImages.of_names(
        [f"{i}.jpg" for i in range(len(given))], list(map(str.split, given))
    )


def figures(images: LabelledImages, scores: object) -> dict[tuple[str, str], TargetFigures]:
    """Returns the figures of LABELS with some scores, by kind and name."""
    system = EvaluatedSystem.of_scores("mine", LABELS, np.asarray(scores))
    return {(each.kind, each.name): each for each in evaluate(images, [system]).figures}


@pytest.fixture(scope="module")
def drawn() -> tuple[LabelledImages, np.ndarray]:
    """500 pictures with up to two labels, and scores with many ties."""
    generator = np.random.default_rng(4)
    shown = generator.random((500, 3)) < (0.2, 0.3, 0.1)
    names = np.array(["handgun", "blade", "blood"])
    given = [list(names[row]) or ["pass"] for row in shown]
    scores = np.clip(generator.normal(0.35, 0.2, (500, 4)), 0, 1)
    scores[:, :3] += 0.3 * shown
    images = LabelledImages.of_names([str(i) for i in range(500)], given)
    return images, np.clip(scores.round(2), 0, 1)


def test_figures_are_those_of_scikit_learn(drawn: tuple[LabelledImages, np.ndarray]) -> None:
    images, scores = drawn
    found = figures(images, scores)
    for column, label in enumerate(LABELS[:3]):
        of = found["label", label.id]
        true = images.marks[:, images.names.index(label.id)] == 1
        given = scores[:, column].astype(np.float32)
        assert of.average_precision.value == pytest.approx(
            metrics.average_precision_score(true, given)
        )
        assert of.roc_area.value == pytest.approx(metrics.roc_auc_score(true, given))
        for decision in of.decisions:
            said = given >= np.float32(decision.threshold or 0)
            precision, recall, f1, _ = metrics.precision_recall_fscore_support(
                true, said, average="binary"
            )
            assert decision.precision.value == pytest.approx(precision)
            assert decision.recall.value == pytest.approx(recall)
            assert decision.f1.value == pytest.approx(f1)
            matrix = metrics.confusion_matrix(true, said)
            assert [
                [decision.true_negatives, decision.false_positives],
                [decision.missed, decision.true_positives],
            ] == matrix.tolist()
            rate = matrix[0, 1] / matrix[0].sum()
            assert decision.false_flag_rate.value == pytest.approx(rate)


def test_no_label_is_blamed_for_a_picture_of_which_nobody_asked_whether_it_shows_it() -> None:
    scores = np.tile([0.9, 0.9, 0.0, 0.0], (3, 1))
    system = EvaluatedSystem.of_scores("mine", LABELS, scores)

    def wrong(*given: str) -> dict[tuple[str, str], int]:
        found = evaluate(labelled(*given), [system]).taken_for
        return {(row.name, row.label): row.wrong for row in found}

    nobody_looked = wrong("handgun", "handgun", "pass")
    assert nobody_looked["handgun", "blade"] == 0
    assert nobody_looked["handgun", "handgun"] == 0
    assert nobody_looked["pass", "blade"] == 1
    assert wrong("handgun", "handgun", "blade")["handgun", "blade"] == 2
    assert wrong("weapons", "weapons", "pass")["weapons", "handgun"] == 0


def test_a_curve_is_that_of_scikit_learn(drawn: tuple[LabelledImages, np.ndarray]) -> None:
    images, scores = drawn
    of = figures(images, scores)["label", "blade"]
    true = images.marks[:, images.names.index("blade")] == 1
    given = scores[:, 1].astype(np.float32)
    precision, recall, at = metrics.precision_recall_curve(true, given)
    assert of.scores == len(at) == len(of.curve)
    assert [point.score for point in of.curve] == pytest.approx(at[::-1].tolist())
    assert [point.precision for point in of.curve] == pytest.approx(precision[-2::-1].tolist())
    assert [point.recall for point in of.curve] == pytest.approx(recall[-2::-1].tolist())


def test_a_category_and_an_action_are_judged_like_a_label(
    drawn: tuple[LabelledImages, np.ndarray],
) -> None:
    images, scores = drawn
    found = figures(images, scores)
    true = (images.marks[:, [images.names.index("handgun"), images.names.index("blade")]] == 1).any(
        axis=1
    )
    highest = scores[:, :2].max(axis=1).astype(np.float32)
    weapons = found["category", "weapons"]
    assert weapons.average_precision.value == pytest.approx(
        metrics.average_precision_score(true, highest)
    )
    said = (scores[:, 0].astype(np.float32) >= np.float32(0.4)) | (scores[:, 1] >= 0.5)
    assert weapons.decisions[0].true_positives == int((true & said).sum())
    flagged, blocked = found["action", "flagged"], found["action", "blocked"]
    assert images.names[-1] == "pass"
    assert flagged.positives == int((images.marks[:, :-1] == 1).any(axis=1).sum())
    assert blocked.decisions[0].false_positives + blocked.decisions[0].true_positives == int(
        (scores[:, 0].astype(np.float32) >= np.float32(0.6)).sum()
    )
    assert ("category", "blood") not in found  # the label itself


def test_a_label_that_no_picture_shows_has_no_recall() -> None:
    scores = [[0.9, 0.1, 0.7, 0], [0.1, 0.1, 0.1, 0], [0.1, 0.1, 0.9, 0]]
    of = figures(labelled("handgun", "pass", "animal"), scores)
    blood = of["label", "blood"]
    assert (blood.positives, blood.negatives, blood.unknown) == (0, 2, 1)
    assert blood.decisions[0].recall.value is None
    assert blood.average_precision.value is None
    assert blood.roc_area.value is None
    assert blood.decisions[0].false_flag_rate.value == 0.5
    assert blood.decisions[0].precision.value == 0


def test_without_harmless_pictures_nothing_is_said_of_false_flags() -> None:
    of = figures(labelled("handgun", "handgun"), [[0.9, 0, 0, 0], [0.3, 0, 0, 0]])
    flagged = of["action", "flagged"]
    assert flagged.decisions[0].false_flag_rate.value is None
    assert flagged.roc_area.value is None
    assert flagged.decisions[0].recall.value == 0.5


def test_one_picture_alone_has_figures_with_wide_intervals() -> None:
    recall = figures(labelled("blade"), [[0, 0.9, 0, 0]])["label", "blade"].decisions[0].recall
    assert (recall.value, recall.n, recall.high) == (1, 1, 1)
    assert recall.low == pytest.approx(0.2065, abs=1e-4)  # Wilson's of 1 of 1


def test_a_picture_with_two_labels_counts_for_both() -> None:
    of = figures(labelled("handgun blood", "pass"), [[0.9, 0, 0.9, 0], [0.1, 0, 0.1, 0]])
    assert of["label", "handgun"].decisions[0].true_positives == 1
    assert of["label", "blood"].decisions[0].true_positives == 1
    assert of["label", "blood"].decisions[0].false_positives == 0


def test_a_category_of_several_labels_leaves_each_of_them_unknown() -> None:
    of = figures(labelled("weapons", "pass"), [[0.9, 0, 0, 0], [0.1, 0, 0, 0]])
    assert (of["label", "handgun"].positives, of["label", "handgun"].unknown) == (0, 1)
    assert of["category", "weapons"].positives == 1
    assert of["action", "flagged"].positives == 1
    assert of["action", "blocked"].unknown == 1  # a blade is reviewed, a handgun blocked


def test_ties_make_one_step() -> None:
    images = labelled("blade", "pass", "blade", "pass")
    of = figures(images, [[0, 0.5, 0, 0]] * 4)["label", "blade"]
    assert of.scores == 1
    assert of.average_precision.value == of.roc_area.value == 0.5


def test_a_name_of_another_system_is_unknown_to_this_one() -> None:
    images = labelled("dragon", "handgun", "pass")
    system = EvaluatedSystem.of_scores("mine", LABELS, np.zeros((3, 4)))
    found = evaluate(images, [system])
    assert found.systems[0].unclaimed == ("dragon",)
    assert all(of.unknown >= 1 for of in found.figures)


def test_names_that_no_system_knows_are_refused_with_those_that_are() -> None:
    with pytest.raises(AuditError, match=r"no label or category is called dragon.*animal, blade"):
        figures(labelled("dragon"), np.zeros((1, 4)))


def test_marks_that_are_unknown_count_for_neither() -> None:
    marks = np.array([[1, -1], [0, 1], [-1, -1]], np.int8)
    images = LabelledImages(("a", "b", "c"), ("handgun", "blade"), marks)
    of = figures(images, np.zeros((3, 4)))
    assert (of["label", "blade"].positives, of["label", "blade"].negatives) == (1, 0)
    assert (of["label", "handgun"].positives, of["label", "handgun"].negatives) == (1, 1)


def test_the_score_of_a_category_is_what_production_says_of_it() -> None:
    file = classified_policy(described("a" * 64), scoring="softmax")
    policy = parse_policy(
        file.replace(b"- id: loud\n", b"- id: loud\n  category: seen\n"), "m.yaml"
    )
    scores = np.array([[0.5, 0.5, 0.4], [0.1, 0.9, 0.3]], np.float32)
    said = PolicyPredictions(
        name="mixed",
        outcomes=outcomes(policy, scores, scores),
        policy=policy,
        similarities=scores,
        scores=scores,
    )
    images, system = labelled("seen", "pass"), EvaluatedSystem.of_policy(said)
    [seen] = [
        t for t in evaluation_targets(system, images.under(system.labels)) if t.name == "seen"
    ]
    produced = [decide(policy, row, row).category_scores["seen"] for row in scores]
    assert seen.scores.tolist() == pytest.approx(produced)
    assert produced == pytest.approx([0.5, 0.3])
