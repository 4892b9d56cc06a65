"""A gate that is called as a library, as a program that deploys policies would call it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit import EmbeddedDataset, GateReport, Limits, LimitsError, Named, Subject, gate_audit
from moderation.policy import parse_policy
from tests.support.policy_texts import VALID, policy
from tests.support.reference_counts import dataset_of
from tests.support.stub_encoder import StubEncoder, random_features

N = 400
NEW, OLD = policy(decision="top_label", version=2), policy(decision="top_label")


@pytest.fixture(scope="module")
def subject() -> Subject:
    dataset = dataset_of({"group": ["a", "b"] * (N // 2)}, ["gun", "cat"] * (N // 2))
    ids = tuple(dataset.table["image_id"])
    return Subject.of(EmbeddedDataset(dataset, random_features(N), ids, 0, 0), StubEncoder())


def _limits(**limits: object) -> Limits:
    content = {"schema_version": 1, "sensitive_features": ["group"], **limits}
    return Limits.model_validate(content)


@pytest.mark.parametrize(
    ("highest", "status"), [(0.9, "pass"), (0.01, "fail"), (0.5, "insufficient data")]
)
def test_a_policy_is_checked_against_limits(subject: Subject, highest: float, status: str) -> None:
    [said] = subject.predict({"new": NEW})
    counts = subject.groups[1].count(said.flagged)
    assert 80 < counts.max() < 120  # so that 0.5 can be neither shown nor ruled out
    report = gate_audit(subject, Named({"new": NEW}, {}), _limits(worst_group_rate=highest))
    [check] = report.checks
    assert (report.status, check.status) == (status, status)
    assert check.value == counts.max() / (N / 2)
    assert check.group == subject.groups[1].names[counts.argmax()]
    content = json.loads(report.to_json())
    assert (content["answer"], content["checks"][0]["answer"]) == (status, status)
    assert status in report.to_markdown().lower().split("\n")[0]


def test_a_second_policy_is_the_baseline(subject: Subject) -> None:
    named = Named({"new": NEW, "old": OLD}, {"new": "new.yaml"})
    report = gate_audit(subject, named, _limits(metric="true_positive_rate", gap=0.9))
    assert [each.name for each in report.header.policies] == ["new", "old"]
    assert "against old" in report.to_markdown()
    [check] = gate_audit(subject, named, _limits(regression=0.5)).checks
    assert (check.limit, check.value, check.status) == ("regression", 0, "pass")


def test_a_limit_on_regression_is_not_passed_for_want_of_a_baseline(subject: Subject) -> None:
    with pytest.raises(LimitsError, match="needs a baseline"):
        gate_audit(subject, Named({"new": NEW}, {}), _limits(regression=0.5))


def test_a_metric_that_the_dataset_does_not_have_is_refused(subject: Subject) -> None:
    with pytest.raises(LimitsError, match=r"has no category:none .*Known: selection_rate, false_"):
        gate_audit(subject, Named({"new": NEW}, {}), _limits(metric="category:none", gap=0.5))


def test_recall_is_limited_beside_another_metric(subject: Subject) -> None:
    limits = _limits(worst_group_rate=0.9, recall_floor=0.01, recall_gap=0.9)
    report = gate_audit(subject, Named({"new": NEW}, {}), limits)
    assert [(check.limit, check.metric) for check in report.checks] == [
        ("worst_group_rate", "selection_rate"),
        ("recall_floor", "true_positive_rate"),
        ("recall_gap", "true_positive_rate"),
    ]
    # Each image of a should be flagged, and none of b: no two groups have a recall.
    floor, gap = report.checks[1:]
    [said] = subject.predict({"new": NEW})
    assert said.truth is not None
    assert floor.value == pytest.approx(said.flagged[said.truth.positive].mean())
    why = "too few images of b (0) that should be flagged: min_group_size asks for 30 of each"
    assert floor.reason.startswith(why)
    assert gap.status == "insufficient data"
    assert gap.reason.startswith(why)


@pytest.mark.parametrize("unclear", [None, "firearm"])
@pytest.mark.parametrize(
    "limits",
    [
        {"recall_floor": 0.6},
        {"recall_gap": 0.3},
        {"metric": "true_positive_rate", "gap": 0.3},
        {"metric": "true_positive_rate", "ratio": 1.4},
        {"metric": "false_positive_rate", "worst_group_rate": 0.4},
    ],
)
def test_images_whose_truth_is_not_known_could_be_the_missed_ones(
    unclear: str | None, limits: dict[str, object]
) -> None:
    features = random_features(N)
    ids = tuple(dataset_of({"group": ["a"] * N}).table["image_id"])
    encoder = StubEncoder()

    def report(y_true: list[str | None]) -> GateReport:
        dataset = dataset_of({"group": ["a", "b"] * (N // 2)}, y_true)
        embedded = EmbeddedDataset(replace(dataset, benign=False), features, ids, 0, 0)
        subject = Subject.of(embedded, encoder)
        return gate_audit(subject, Named({"new": NEW}, {}), _limits(**limits))

    # A false positive is one that the policy flags, a miss one that it does not.
    false_positives = limits.get("metric") == "false_positive_rate"
    known = "allow" if false_positives else "gun"
    dataset = dataset_of({"group": ["a", "b"] * (N // 2)}, [known] * N)
    embedded = EmbeddedDataset(dataset, features, ids, 0, 0)
    [said] = Subject.of(embedded, encoder).predict({"new": NEW})
    kept = [known if flag != false_positives else unclear for flag in said.flagged]
    answer = report(kept)
    assert answer.status == "insufficient data"
    [check] = answer.checks
    assert "without them this is a pass" in check.reason
    assert check.unknown
    assert ("firearm (n = " in answer.to_markdown()) == (unclear is not None)
    lost = kept.count(unclear)
    assert json.loads(answer.to_json())["no_label"] == ({unclear: lost} if unclear else {})


def test_classes_that_no_label_means_are_named_up_to_six_where_the_truth_matters() -> None:
    classes = [f"class-{i % 20}" if i % 2 else "gun" for i in range(N)]
    dataset = dataset_of({"group": ["a"] * N}, classes)
    ids = tuple(dataset.table["image_id"])
    for benign, limits, named in (
        (False, {"recall_floor": 0.1}, True),
        (False, {"worst_group_rate": 0.9}, False),
        (True, {"metric": "false_positive_rate", "worst_group_rate": 0.9}, False),
    ):
        embedded = EmbeddedDataset(replace(dataset, benign=benign), random_features(N), ids, 0, 0)
        subject = Subject.of(embedded, StubEncoder())
        report = gate_audit(subject, Named({"new": NEW}, {}), _limits(**limits))
        assert bool(report.no_label) == named
        assert ("--truth CLASS=LABEL" in report.to_markdown()) == named
        # Ten classes of 20 images.
        said = "class-17 (n = 20), class-19 (n = 20) and 4 other classes"
        assert (said in report.to_markdown()) == named
        assert all(not check.unknown for check in report.checks) == (not named)


def test_a_policy_that_flags_nothing_fails_a_floor_of_recall(subject: Subject) -> None:
    text = VALID.replace("threshold: 0.8", "threshold: 0.9999").replace("0.4", "0.9998")
    blind = parse_policy(text.replace("0.5", "0.9999").encode(), "blind.yaml")
    assert not subject.predict({"blind": blind})[0].flagged.any()
    report = gate_audit(subject, Named({"blind": blind}, {}), _limits(recall_floor=0.05))
    assert report.status == "fail"
    shown = report.to_markdown()
    assert (
        "| true positive rate of any group, at least | group | 5.00 % | a | 0.00 % [0.00 %, "
        in shown
    )


def test_recall_of_a_dataset_without_positives_is_not_passed() -> None:
    dataset = dataset_of({"group": ["a", "b"] * (N // 2)})
    ids = tuple(dataset.table["image_id"])
    embedded = EmbeddedDataset(dataset, random_features(N), ids, 0, 0)
    report = gate_audit(
        Subject.of(embedded, StubEncoder()),
        Named({"new": NEW}, {}),
        _limits(recall_floor=0.1, recall_gap=0.9),
    )
    assert {check.status for check in report.checks} == {"insufficient data"}
    for check in report.checks:
        assert check.reason.startswith("no image is known to be one that the policy should flag")


def test_what_was_left_out_is_listed_by_group_and_allowed_for() -> None:
    whole = dataset_of({"group": ["a", "b"] * (N // 2)})
    lost = (*[("b",)] * 300, *[("c",)] * 40, (None,), (None,))
    limits, named = _limits(worst_group_rate=0.9), Named({"new": NEW}, {})
    reports = []
    for dataset in (whole, replace(whole, missing=lost)):
        ids = tuple(dataset.table["image_id"])
        embedded = EmbeddedDataset(dataset, random_features(N), ids, 0, 0)
        reports.append(gate_audit(Subject.of(embedded, StubEncoder()), named, limits))
    before, after = reports
    assert (before.status, before.left_out) == ("pass", ())
    assert after.status == "insufficient data"
    content = json.loads(after.to_json())
    assert content["left_out"] == [
        {"by": "group", "group": "b", "left_out": 300, "n": 200},
        {"by": "group", "group": "c", "left_out": 40, "n": 0},
        {"by": "group", "group": "", "left_out": 2, "n": 0},
    ]
    assert content["checks"][0]["missing"] == 302
    assert "b (group) 300 of 500, c (group) 40 of 40, of unknown group (group) 2." in (
        after.to_markdown()
    )
    assert "too few images of c (0; 40 of 40 were left out)" in after.checks[0].reason
