"""A gate that is called as a library, as a program that deploys policies would call it."""

from __future__ import annotations

import json

import pytest

from audit import EmbeddedDataset, Limits, LimitsError, Named, Subject, gate_audit
from tests.support.policy_texts import policy
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
