"""A gate that is called as a library, as a program that deploys policies would call it."""

from __future__ import annotations

import json

import pytest

from audit import EmbeddedDataset, Limits, LimitsError, Named, Subject, gate_audit
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
    assert floor.reason == "too few images of b that should be flagged"
    assert (gap.status, gap.reason) == (
        "insufficient data",
        "too few images of b that should be flagged",
    )


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
