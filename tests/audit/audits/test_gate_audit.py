"""A gate that is called as a library, as a program that deploys policies would call it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit import (
    AuditError,
    EmbeddedDataset,
    GateReport,
    Limits,
    LimitsError,
    Named,
    Subject,
    gate_audit,
)
from audit.audits.gate import recorded_gate_audit
from audit.gate.runs import read_runs
from audit.gate.spending import spent_level
from moderation.policy import Policy, parse_policy
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


def test_an_answer_says_that_the_policy_was_tuned_on_this_very_dataset(subject: Subject) -> None:
    limits = _limits(worst_group_rate=0.9)
    for tuned, said in (([], False), ([subject.dataset.adapter], True)):
        named = Named({"new": policy(tuned_on=tuned)}, {})
        text = gate_audit(subject, named, limits).to_markdown()
        assert ("were chosen on" in text) == said


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
        assert check.reason.startswith("no image is known to be one that should be flagged")


def test_what_was_left_out_is_listed_by_group_and_allowed_for() -> None:
    whole = dataset_of({"group": ["a", "b"] * (N // 2)})
    lost: dict[tuple[str | None, ...], int] = {("b",): 300, ("c",): 40, (None,): 2}
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


def _recorded(subject: Subject, record: Path, policies: list[Policy], **limits: Any) -> GateReport:
    """Returns what a gate finds at a level that is spent."""
    named = Named.of(policies, ["new.yaml", "old.yaml"][: len(policies)])
    return recorded_gate_audit(subject, named, _limits(**limits), record, spend=True, figures=False)


def test_a_spent_gate_is_checked_at_its_level_and_says_no_figure(
    subject: Subject, tmp_path: Path
) -> None:
    record = tmp_path / "new.gates.jsonl"
    limits = {"worst_group_rate": 0.5, "regression": 0.3}
    first = _recorded(subject, record, [OLD, NEW], **limits)
    second = _recorded(subject, record, [NEW, OLD], **limits)
    assert [report.header.confidence for report in (first, second)] == [0.975, spent_level(2, 0)]
    assert {check.level for check in second.checks} == {spent_level(2, 0)}
    # What each image adds up to is not said, nor whether the limit is broken or too near.
    assert (second.status, second.answer, second.exit_code) == ("insufficient data", "no pass", 4)
    content = json.loads(second.to_json())
    assert content["answer"] == "no pass"
    assert content["standing"]["level"] == spent_level(2, 0)
    keys = {"limit", "by", "allowed", "metric", "obstacle"}
    assert [set(check) for check in content["checks"]] == [keys, keys]
    shown = second.to_markdown()
    assert shown.startswith("### No pass")
    assert "Gate 2 of 2 on this dataset, by the record, so it is checked at 99.17 %" in shown
    for check in second.checks:
        assert f" {100 * check.value:.2f} %" not in shown
        assert not check.reason or check.reason not in shown
    [run, _] = read_runs(record)
    assert (run.answer, run.checks, run.figures_shown) == ("no pass", (), False)


def test_a_fail_that_is_spent_is_told_from_too_little_data_by_nothing(
    subject: Subject, tmp_path: Path
) -> None:
    said = []
    for highest in (0.05, 0.5):
        record = tmp_path / f"{highest}.gates.jsonl"
        report = _recorded(subject, record, [NEW], worst_group_rate=highest)
        said.append((report.exit_code, report.to_markdown().replace("| 5.00 %", "| 50.00 %")))
        [run] = read_runs(record)
        assert (run.answer, run.exit_code, run.checks) == ("no pass", 4, ())
    assert said[0] == said[1]


def test_a_gate_again_costs_nothing_and_another_limit_or_truth_does(
    subject: Subject, tmp_path: Path
) -> None:
    record = tmp_path / "new.gates.jsonl"

    def number(subject: Subject, *policies: Policy, **limits: Any) -> int:
        report = _recorded(subject, record, [*policies], **limits)
        assert report.standing is not None
        return report.standing.number

    assert number(subject, NEW, worst_group_rate=0.9) == 1
    assert number(subject, OLD, worst_group_rate=0.9) == 2
    assert number(subject, NEW, worst_group_rate=0.9) == 1
    # A baseline matters where a rise is limited.
    assert number(subject, NEW, OLD, worst_group_rate=0.9) == 1
    assert number(subject, NEW, worst_group_rate=0.91) == 3
    assert number(subject, NEW, OLD, worst_group_rate=0.9, regression=0.9) == 4
    benign = replace(
        subject.embedded, dataset=replace(subject.dataset, benign=not subject.dataset.benign)
    )
    assert number(replace(subject, embedded=benign), NEW, worst_group_rate=0.9) == 5
    # The one that passed first, and the others, all count as passes before the last.
    assert [run.level for run in read_runs(record)][-1] == spent_level(5, 4)


def test_a_plain_gate_is_recorded_with_its_answers_and_refused_where_figures_were_withheld(
    subject: Subject, tmp_path: Path
) -> None:
    record = tmp_path / "new.gates.jsonl"
    named = Named.of([NEW], ["new.yaml"])
    limits = _limits(worst_group_rate=0.9, gap=0.01)
    plain = recorded_gate_audit(subject, named, limits, record, spend=False, figures=False)
    expected = gate_audit(subject, named, limits)
    assert plain.checks == expected.checks
    [run] = read_runs(record)
    assert [(each.limit, each.answer) for each in run.checks] == [
        ("worst_group_rate", "pass"),
        ("gap", expected.checks[1].status),
    ]
    assert (run.level, run.spending, run.figures_shown, run.n) == (0.95, False, True, N)
    assert "Gate 1 of 1 on this dataset, by the record." in plain.to_markdown()
    # What was shown stays shown.
    assert "nothing is promised" in _recorded(subject, record, [OLD], gap=0.9).to_markdown()
    with pytest.raises(AuditError, match=r"ends where figures of it are shown.*Add --spend"):
        recorded_gate_audit(subject, named, limits, record, spend=False, figures=False)
    assert len(read_runs(record)) == 2
    knowingly = recorded_gate_audit(subject, named, limits, record, spend=False, figures=True)
    assert not knowingly.withheld


def test_a_group_that_no_policy_could_pass_is_named_though_figures_are_withheld(
    tmp_path: Path,
) -> None:
    dataset = dataset_of({"group": ["a"] * 300 + ["b"] * 80 + ["c"] * 20})
    ids = tuple(dataset.table["image_id"])
    subject = Subject.of(EmbeddedDataset(dataset, random_features(N), ids, 0, 0), StubEncoder())
    record = tmp_path / "new.gates.jsonl"
    shown = _recorded(subject, record, [NEW], worst_group_rate=0.9).to_markdown()
    assert r"too few images of c (20): min\_group\_size asks for 30 of each" in shown
    limits = {"worst_group_rate": 0.05, "ignored_groups": ("c",)}
    shown = _recorded(subject, record, [NEW], **limits).to_markdown()
    # 1 - (0.025 / 6) ** (1 / 80) is 6.62 %.
    assert (
        "nothing can pass with 80 images of b: in the best case as many as 6.62 % are within "
        "the interval at 99.17 %. Add images of b, or set another limit" in shown
    )
    floor = {"recall_floor": 0.9, "ignored_groups": ("c",)}
    assert "there is no recall to check" in _recorded(subject, record, [NEW], **floor).to_markdown()
