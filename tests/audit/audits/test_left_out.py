"""Audits of a dataset that lacks images: what is missing is counted, and nothing is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audit import (
    EmbeddedDataset,
    Named,
    Results,
    Subject,
    ablate_audit,
    compare_audit,
    run_audit,
    write_report,
)
from audit.datasets.coverage import coverage
from moderation.policy import Policy
from tests.support.policy_texts import policy
from tests.support.reference_counts import dataset_of
from tests.support.stub_encoder import StubEncoder, random_features

N = 400
NAMED = Named({"new": policy(decision="top_label", version=2), "old": policy()}, {})
#: Every image of `gone`, and some others.
MISSING: dict[tuple[str | None, ...], int] = dict.fromkeys(
    (("gone", "x"), ("gone", "y"), ("gone", None), ("a", "x"), (None, "y"), (None, None)), 1
)


@pytest.fixture(scope="module")
def subject() -> Subject:
    groups = {"region": ["a", "b"] * (N // 2), "form": ["x", "x", "y", "y"] * (N // 4)}
    dataset = replace(dataset_of(groups, ["gun", "cat"] * (N // 2)), missing=MISSING)
    ids = tuple(dataset.table["image_id"])
    embedded = EmbeddedDataset(dataset, random_features(N), ids, 0, 0)
    return Subject.of(embedded, StubEncoder())


@pytest.fixture(scope="module", params=["run", "compare", "ablate"])
def results(request: pytest.FixtureRequest, subject: Subject) -> Results:
    """The results of each kind of audit."""
    audits: dict[str, Callable[[Subject, Named[Policy]], Results]] = {
        "run": run_audit,
        "compare": compare_audit,
        "ablate": ablate_audit,
    }
    return audits[request.param](subject, NAMED)


def test_every_kind_of_results_counts_what_was_left_out(results: Results) -> None:
    dataset = results.header.dataset
    counts = {(each.by, each.group): (each.n, each.left_out) for each in dataset.groups}
    assert counts["overall", "overall"] == (N, 6)
    assert counts["region", "gone"] == (0, 3)
    assert counts["region", "a"] == (N // 2, 1)
    assert counts["region × form", "gone × x"] == (0, 1)
    assert dataset.left_out == 6
    assert dataset.unplaced == {"region": 2, "form": 2, "region × form": 3}
    assert results.not_known[-1] == (
        "6 of 406 (1.5 %) images were left out: no figure is of them; these groups lack most: "
        "gone 3 of 3 (100.0 %) by region, x 2 of 202 (1.0 %) by form, y 2 of 202 (1.0 %) by form; "
        "of 2 the region is not known, of 2 the form is not known."
    )
    assert results.insufficient[:3] == (
        "6 of 406 (1.5 %) images were left out. What they would have shown is not known; every "
        "figure is of the others.",
        "Left out by region: gone 3 of 3 (100.0 %), a 1 of 201 (0.5 %), 2 whose region is not "
        "known.",
        "Left out by form: x 2 of 202 (1.0 %), y 2 of 202 (1.0 %), 2 whose form is not known.",
    )


def test_nothing_is_claimed_of_a_group_without_images(results: Results) -> None:
    rates = [rate for rate in results.rates if rate.group.startswith("gone")]
    assert rates
    assert {(rate.n, rate.rate, rate.support) for rate in rates} == {(0, None, "suppressed")}
    for rows in (results.differences, results.shifts, results.ablations):
        assert not any(row.claim for row in rows if row.group.startswith("gone"))
    assert not any("gone" in (gap.worst, gap.best) for gap in results.gaps)


def test_the_report_of_a_group_without_images_can_be_written(
    results: Results, tmp_path: Path
) -> None:
    write_report(results, tmp_path)
    for name in ("report.html", "report.md"):
        assert "6 of 406 (1.5 %) images were left out" in (tmp_path / name).read_text()


@pytest.mark.parametrize("desired", ["equal", "dataset"])
def test_a_prompt_is_not_expected_to_find_images_that_are_missing(
    subject: Subject, desired: str
) -> None:
    whole = replace(subject.dataset, missing={})
    other = Subject.of(replace(subject.embedded, dataset=whole), StubEncoder())
    found, expected = (
        each.skews("a thing", k=20, desired=desired)  # type: ignore[arg-type]
        for each in (subject, other)
    )
    assert found == expected


def test_the_coverage_names_a_group_whose_images_are_all_missing(subject: Subject) -> None:
    found = coverage(subject.dataset, ("region",))
    assert [(size.group, size.n) for size in found.sizes] == [("a", 200), ("b", 200), ("gone", 0)]
    assert found.empty == 1
    warnings = list(found.warnings())
    assert "region: 1 group has no image" in warnings
    assert "region: left out are 2 whose region is not known, 1 of a, 3 of gone" in warnings
