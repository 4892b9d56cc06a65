"""Standardised rates, pooled cells and margins of whole audits, on counts that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from audit import EmbeddedDataset, Named, Results, Subject
from audit.audits.compare import compare_audit
from audit.audits.run import run_audit
from audit.errors import AuditError
from audit.metrics.rates import FLAG
from moderation.policy import Policy
from tests.support.policy_texts import policy
from tests.support.reference_counts import ChosenEncoder, dataset_of, one_axis_each

BOTH = policy(decision="top_label", id="both")
GUN, KNIFE, CAT = 0, 1, 3


def _guns_alone() -> Policy:
    labels = BOTH.model_dump(mode="json")["labels"]
    labels[KNIFE] |= {"action": None, "threshold": None}
    return policy(decision="top_label", id="guns", labels=labels)


def _subject(cells: Mapping[Any, Sequence[int]], *features: str, **more: Any) -> Subject:
    """Returns images that resemble one label each: guns, knives and cats of each cell."""
    axes = np.eye(len(BOTH.labels), dtype=np.float32)
    values: list[tuple[str, ...]] = []
    rows: list[int] = []
    for cell, counts in cells.items():
        for label, count in zip((GUN, KNIFE, CAT), counts, strict=True):
            values += [cell] * count
            rows += [label] * count
    columns = {name: list(of) for name, of in zip(features, zip(*values, strict=True), strict=True)}
    dataset = dataset_of(columns)
    ids = tuple(dataset.table["image_id"])
    encoder = ChosenEncoder(one_axis_each(BOTH.labels, "a photo of {}."))
    return Subject.of(EmbeddedDataset(dataset, axes[rows], ids, 0, 0), encoder, **more)


#: The young are flagged in 10 of 100 and the old in 50, whatever their race; a is mostly old.
SIMPSON = {
    ("a", "young"): (2, 0, 18),
    ("a", "old"): (90, 0, 90),
    ("b", "young"): (18, 0, 162),
    ("b", "old"): (10, 0, 10),
}


@pytest.fixture(scope="module")
def simpson() -> Results:
    """The audit of races that differ in age alone."""
    return run_audit(_subject(SIMPSON, "race", "age"), Named({"both": BOTH}, {}))


def _one(rows: Any, **wanted: Any) -> Any:
    [row] = [r for r in rows if all(getattr(r, key) == value for key, value in wanted.items())]
    return row


def test_a_gap_between_races_that_age_explains_is_gone_where_it_is_standardised(
    simpson: Results,
) -> None:
    for group, crude, apart in (("a", 0.46, 0.32), ("b", 0.14, -0.32)):
        row = _one(simpson.standardised, by="race", group=group, metric=FLAG)
        assert (row.standardised_for, row.crude_n, row.n) == ("age", 200, 200)
        assert (row.crude, row.crude_difference) == (pytest.approx(crude), pytest.approx(apart))
        assert row.crude_difference_low * row.crude_difference_high > 0
        assert (row.rate, row.rest) == (pytest.approx(0.3), pytest.approx(0.3))
        assert row.difference == pytest.approx(0, abs=1e-12)
        assert row.difference_low < 0 < row.difference_high
        assert row.p == pytest.approx(1)
    # By age the gap stays what it is.
    old = _one(simpson.standardised, by="age", group="old", metric=FLAG)
    assert (old.rate, old.difference) == (pytest.approx(0.5), pytest.approx(0.4))
    assert old.difference_low > 0
    assert old.p < 1e-6
    strata = _one(simpson.common_strata, by="race", metric=FLAG)
    assert (strata.strata, strata.common, strata.n, strata.common_n) == (2, 2, 400, 400)
    assert strata.left_out == ()


def test_the_summary_says_what_standardising_changes_most(simpson: Results) -> None:
    [said] = [text for text in simpson.summary if "one mix" in text]
    assert said.startswith("With one mix of age in all groups, 30.0 % of race a would be")
    assert "under both against 30.0 % of all others: 0.0 points [−" in said
    assert said.endswith("and as counted +32.0 points; so age may explain it.")
    assert all(row.claim for row in simpson.differences if (row.by, row.metric) == ("race", FLAG))


def test_with_one_feature_nothing_is_standardised_or_pooled() -> None:
    cells = {("a",): (10, 0, 90), ("b",): (20, 0, 80)}
    results = run_audit(_subject(cells, "race"), Named({"both": BOTH}, {}))
    assert (results.standardised, results.common_strata) == ((), ())
    assert (results.pooled, results.pooled_gaps, results.equivalences) == ((), (), ())


def test_the_features_of_an_intersection_are_standardised_for_too() -> None:
    named = Named({"both": BOTH}, {})
    results = run_audit(_subject(SIMPSON, "race", "age", by=[("race",), ("race", "age")]), named)
    assert {row.by for row in results.standardised} == {"race"}
    assert _one(results.standardised, group="a", metric=FLAG).rate == pytest.approx(0.3)
    results = run_audit(_subject(SIMPSON, "race", "age", by=[("race",)]), named)
    assert results.standardised == ()


def test_a_group_without_strata_is_named_and_left_out() -> None:
    cells = SIMPSON | {("c", "young"): (20, 0, 20), ("d", "old"): (3, 0, 3)}
    results = run_audit(_subject(cells, "race", "age"), Named({"both": BOTH}, {}))
    strata = _one(results.common_strata, by="race", metric=FLAG)
    assert strata.left_out == ("c", "d")
    assert (strata.common, strata.common_n) == (2, 446)
    rows = [row for row in results.standardised if (row.by, row.metric) == ("race", FLAG)]
    assert [row.group for row in rows] == ["a", "b"]
    # All others are those of c and d too.
    weights = np.array([240, 206]) / 446
    others = np.array([(18 + 20) / 220, (10 + 3) / 26])
    assert rows[0].rest == pytest.approx(float(others @ weights))


def test_cells_are_pooled_and_their_gap_shrinks() -> None:
    cells = {(race, age): (3, 0, 27) for race in "abcdef" for age in ("young", "old")} | {
        ("a", "young"): (2, 0, 1),
        ("b", "old"): (0, 0, 5),
    }
    results = run_audit(_subject(cells, "race", "age"), Named({"both": BOTH}, {}))
    gap = _one(results.pooled_gaps, by="race × age")
    assert (gap.cells, gap.n, gap.smallest_n) == (12, 308, 3)
    assert gap.raw_difference == pytest.approx(2 / 3)
    assert gap.difference < 0.2
    assert gap.difference_low == 0
    assert gap.highest == "a × young"
    few = _one(results.pooled, group="a × young")
    assert (few.count, few.n, few.support) == (2, 3, "suppressed")
    assert few.rate == pytest.approx(2 / 3)
    assert few.pooled_low < 0.1 < few.pooled < 0.3
    enough = _one(results.pooled, group="c × old")
    assert enough.pooled == pytest.approx(0.1, abs=0.02)
    [said] = [each for each in results.not_known if each.startswith("By race × age under both")]
    assert said.endswith("so all may have one rate.")


MARGIN_CELLS = {
    ("same", "x"): (170, 0, 1830),
    ("less", "x"): (130, 0, 1870),
    ("more", "x"): (200, 40, 1760),
    ("few", "x"): (1, 0, 19),
    ("small", "x"): (2, 0, 38),
}


def test_a_margin_tells_what_is_within_it_what_differs_and_what_is_not_known() -> None:
    subject = _subject(MARGIN_CELLS, "race", "kind")
    named = Named({"both": BOTH, "guns": _guns_alone()}, {})
    results = compare_audit(subject, named, margin=6)
    rows = results.equivalences
    assert {row.margin for row in rows} == {0.06}
    groups = {r.group: r for r in rows if (r.kind, r.policy, r.by) == ("group", "both", "race")}
    assert {name: row.answer for name, row in groups.items()} == {
        "same": "within", "less": "differs within", "more": "differs", "few": "neither",
        "small": "neither",
    }  # fmt: skip
    assert groups["few"].p is None
    assert groups["few"].p_adjusted is None
    rest = (130 + 240 + 1 + 2) / 4060
    assert groups["same"].difference == pytest.approx(0.085 - rest)
    shifts = {r.group: r for r in rows if (r.kind, r.by) == ("shift", "race")}
    assert {name: row.answer for name, row in shifts.items()} == {
        "same": "within", "less": "within", "more": "differs within", "few": "neither",
        "small": "neither",
    }  # fmt: skip
    assert shifts["more"].difference == pytest.approx(-0.02)
    claims = {
        r.group: r.claim
        for r in results.shifts
        if (r.by, r.metric) == ("race", FLAG) and not r.matched
    }
    assert claims["more"]
    whole = _one(rows, kind="shift", by="overall")
    assert (whole.before_policy, whole.policy, whole.answer) == ("both", "guns", "differs within")
    # One family: the smallest p is multiplied by all that were tested.
    tested = [row for row in rows if row.p is not None]
    least = min(tested, key=lambda row: row.p or 0.0)
    assert least.p_adjusted == pytest.approx(min(1.0, (least.p or 0.0) * len(tested)))
    [said] = [text for text in results.summary if text.startswith("Within 6 points")]
    within = sum("within" in row.answer for row in rows)
    assert f"by Holm over all {len(rows)} that are held to it: {within} (" in said
    assert not [row for row in rows if "×" in row.by]


def test_two_groups_are_one_comparison_with_a_margin() -> None:
    cells = {("a",): (50, 0, 950), ("b",): (55, 0, 945)}
    results = run_audit(_subject(cells, "race"), Named({"both": BOTH}, {}), margin=3)
    one, two = results.equivalences
    assert one.p == pytest.approx(two.p, abs=1e-6)
    assert (one.p_adjusted, two.p_adjusted) == (one.p, one.p)
    assert one.difference == pytest.approx(-(two.difference or 0.0))


def test_where_intersections_alone_are_asked_for_a_margin_holds_them() -> None:
    subject = _subject(SIMPSON, "race", "age", by=[("race", "age")])
    results = run_audit(subject, Named({"both": BOTH}, {}), margin=5)
    assert {row.by for row in results.equivalences} == {"race × age"}
    assert len(results.equivalences) == 4


@pytest.mark.parametrize("margin", [0, -1, 100, float("nan"), float("inf")])
def test_a_margin_in_which_nothing_or_everything_lies_is_refused(margin: float) -> None:
    with pytest.raises(AuditError, match=r"--margin: .* is not between 0 and 100\. Name one .*"):
        run_audit(_subject(SIMPSON, "race", "age"), Named({"both": BOTH}, {}), margin=margin)


def test_what_a_claim_of_one_label_needs_to_fall_is_known_too() -> None:
    labels = BOTH.model_dump(mode="json")["labels"]
    labels[KNIFE] |= {"category": "weapons/guns"}
    one_category = policy(decision="top_label", id="both", labels=labels)
    cells = {("a",): (60, 0, 40), ("b",): (0, 60, 40)}
    results = run_audit(_subject(cells, "race"), Named({"both": one_category}, {}))
    assert results.headline.metric == "fired:gun"
    assert {row.metric for row in results.tipping_points} == {"fired:gun", "fired:knife"}
