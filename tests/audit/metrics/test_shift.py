from __future__ import annotations

import math

import numpy as np
import pytest

from audit.datasets.dataset import Dataset
from audit.datasets.groups import OVERALL, Groups, Marks, overall_group
from audit.metrics.flow import flow_table, price_table
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.rates import FLAG
from audit.metrics.shift import shift_agreement_table, shift_marks, shift_table
from audit.metrics.thresholds import matched_threshold_flags
from audit.metrics.truth import truth_of
from audit.statistics.intervals import difference_of, paired_difference, wilson
from audit.statistics.significance import cochran_p, holm, mcnemar_p
from tests.support.policy_texts import policy
from tests.support.reference_counts import ages, dataset_of, group_of, row_of, rows_of, said
from tests.support.stub_encoder import StubEncoder, random_features

TOP = policy(decision="top_label")


def _marks(*counts: tuple[int, int, int, int]) -> tuple[Marks, Marks, Groups]:
    """Returns marks before and after, of (kept, left, entered, never) images in each group."""
    before = [mark for k, le, e, no in counts for mark in [True] * (k + le) + [False] * (e + no)]
    after = [
        mark
        for k, le, e, no in counts
        for mark in [True] * k + [False] * le + [True] * e + [False] * no
    ]
    codes = np.repeat(np.arange(len(counts)), [sum(cells) for cells in counts])
    return np.array(before), np.array(after), group_of(codes.tolist())


def _before_and_after(
    dataset: Dataset | None = None,
) -> tuple[PolicyPredictions, PolicyPredictions]:
    """Returns what a label set says of 400 images, and what it says with one label more."""
    labels, features = policy().model_dump(mode="json")["labels"], random_features(400)
    more = [*labels, {"id": "dog", "prompts": ["a dog"]}]
    truth = truth_of(dataset, TOP.labels) if dataset else None
    return (
        predict(TOP, StubEncoder(), features, truth=truth),
        predict(policy(decision="top_label", labels=more), StubEncoder(), features),
    )


def test_a_shift_counts_what_entered_and_left_with_its_interval_and_exact_p() -> None:
    before, after, groups = _marks((20, 12, 3, 165), (5, 1, 1, 93))
    table = shift_table({FLAG: (before, after)}, [overall_group(300), groups])
    row = row_of(table, FLAG, "a")
    assert (row.n, row.before_count, row.after_count, row.entered, row.left) == (200, 32, 23, 3, 12)
    assert row.net == pytest.approx(-9 / 200)
    assert (row.net_low, row.net_high) == tuple(map(float, paired_difference(3, 12, 200)))
    assert row.left_share == pytest.approx(12 / 32)
    assert (row.left_share_low, row.left_share_high) == tuple(map(float, wilson(12, 32)))
    assert row.p == pytest.approx(mcnemar_p(3, 12))
    family = holm([float(mcnemar_p(3, 12)), float(mcnemar_p(1, 1))])
    assert row.p_adjusted == pytest.approx(family[0])
    whole = row_of(table, FLAG, OVERALL)
    assert (whole.entered, whole.left, whole.p_adjusted) == (4, 13, whole.p)


def test_a_groups_change_against_the_rest_has_the_interval_of_two_independent_changes() -> None:
    before, after, groups = _marks((20, 12, 3, 165), (5, 1, 1, 93), (0, 0, 4, 60))
    row = row_of(shift_table({FLAG: (before, after)}, [groups]), FLAG, "a")
    assert row.net_to_rest == pytest.approx(-9 / 200 - 4 / 164)
    bounds = difference_of(
        -9 / 200, paired_difference(3, 12, 200), 4 / 164, paired_difference(5, 1, 164)
    )
    assert (row.net_to_rest_low, row.net_to_rest_high) == tuple(map(float, bounds))
    whole = shift_table({FLAG: (before, after)}, [overall_group(len(before))])
    assert math.isnan(whole["net_to_rest"].iloc[0])


def test_suppressed_groups_claim_no_shift_and_are_not_part_of_the_family() -> None:
    before, after, groups = _marks((0, 20, 0, 9), (9, 11, 1, 100), (9, 2, 2, 30))
    table = shift_table({FLAG: (before, after)}, [groups])
    assert table["support"].tolist() == ["suppressed", "full", "indicative"]
    assert table["p"].iloc[0] < 1e-5
    assert math.isnan(table["p_adjusted"].iloc[0])
    assert table["p_adjusted"].to_numpy()[1:] == pytest.approx(holm(table["p"].to_numpy()[1:]))


def test_a_label_that_one_label_set_lacks_marks_no_image_under_it() -> None:
    before, after = _before_and_after()
    metrics = shift_marks(before, after)
    assert not metrics["label:dog"][0].any()
    assert metrics["label:dog"][1].any()
    backwards = shift_marks(after, before)
    assert backwards["label:dog"][0].any()
    assert metrics.keys() == backwards.keys()


def test_the_published_counts_by_age_shift_as_the_published_table_does() -> None:
    dataset, features = ages()
    before, after = said(features), said(features, child=True)
    groups = dataset.partitions([["age"], ["age_band"]])
    table = shift_table(shift_marks(before, after), groups)
    young = row_of(table, FLAG, "0-19")
    assert (young.entered, young.left, young.n) == (0, 60 + 475 + 348 - 5 - 58 - 174, 2736)
    assert round(100 * young.before, 1) == 32.3
    assert round(100 * young.after, 1) == 8.7
    assert young.net_to_rest_high < 0
    flags = table[(table["metric"] == FLAG) & (table["by"] == "age")]
    points = (100 * flags["net"]).to_numpy()
    published = [-28.0, -30.7, -14.8, -1.3, -0.5, -0.3, -0.5, -0.7, -1.0]
    # Counts are whole images: half an image of 118, before and after, is 0.85 points.
    assert points == pytest.approx(published, abs=0.9)
    assert (flags["p_adjusted"] < 0.05).tolist() == [
        True,
        True,
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_flows_sum_to_the_images_of_each_group_and_to_the_counts_of_each_label() -> None:
    before, after = _before_and_after()
    groups = group_of([0, 0, 1, 2] * 100)
    flows = flow_table(before, after, [groups])
    for kind in ("label", "action"):
        totals = (
            flows[flows["kind"] == kind]
            .groupby("group")[["count", "n"]]
            .agg({"count": "sum", "n": "first"})
        )
        assert totals["count"].tolist() == totals["n"].tolist() == groups.sizes.tolist()
    labels = flows[flows["kind"] == "label"]
    ends: tuple[tuple[str, PolicyPredictions], ...] = (("source", before), ("target", after))
    for end, said_by in ends:
        counts = labels.groupby(["group", end])["count"].sum()
        columns = np.arange(len(said_by.label_ids))
        expected = groups.count(np.asarray(said_by.y_pred[:, np.newaxis] == columns))
        found = [[counts.get((g, name), 0) for name in said_by.label_ids] for g in groups.names]
        assert found == expected.tolist()
    assert (flows["count"] > 0).all()


def test_the_price_of_a_label_is_what_it_took_from_images_that_passed() -> None:
    dataset, features = ages()
    before, after = said(features, dataset=dataset), said(features, child=True)
    groups = dataset.groups(["age_band"])
    [young, old] = rows_of(price_table(before, after, [groups]))
    assert (young.label, young.group, young.n) == ("child", "0-19", 2736)
    assert (young.captured, young.from_flagged, young.from_passed) == (646, 646, 0)
    assert young.relief == pytest.approx(646 / 883)
    assert (young.relief_low, young.relief_high) == tuple(map(float, wilson(646, 883)))
    assert young.over_capture == 0
    assert young.over_capture_high > 0
    assert young.from_correct is None
    assert old.captured == old.from_flagged


def test_the_price_counts_what_was_correctly_classified_before() -> None:
    before, after = _before_and_after(dataset_of({"group": ["a"] * 400}, ["cat"] * 400))
    [row] = rows_of(price_table(before, after, [overall_group(400)]))
    dog = after.label_ids.index("dog")
    cat = before.label_ids.index("cat")
    assert row.from_correct == int(((after.y_pred == dog) & (before.y_pred == cat)).sum())
    assert price_table(after, before, [overall_group(400)]).empty


def test_cochrans_q_is_over_the_flags_of_each_group_and_suppresses_small_ones() -> None:
    before, after = _before_and_after()
    third = predict(policy(), StubEncoder(), random_features(400))
    groups = group_of([0] * 371 + [1] * 29)
    table = shift_agreement_table([before, after, third], [groups])
    flags = np.stack([each.flagged for each in (before, after, third)], axis=1)
    assert table["p"].iloc[0] == pytest.approx(cochran_p(flags[:371]))
    assert table["p_adjusted"].iloc[0] == table["p"].iloc[0]
    assert math.isnan(table["p_adjusted"].iloc[1])
    changing = np.asarray(flags.any(axis=1) & ~flags.all(axis=1), bool)
    assert table["changing"].tolist() == groups.count(changing).tolist()


def test_matching_flags_as_many_images_as_the_first_label_set() -> None:
    before, after = _before_and_after()
    count = int(before.flagged.sum())
    assert int(after.flagged.sum()) != count
    matched = matched_threshold_flags(after, count)
    assert int(matched.sum()) == count  # no two images are equal here
    table = shift_table({FLAG: (before.flagged, matched)}, [overall_group(400)])
    row = row_of(table, FLAG, OVERALL)
    assert (row.entered - row.left, row.net, row.p) == (0, 0, 1)


def test_a_label_set_that_cannot_flag_flags_nothing_at_any_matched_rate() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    for label in labels:
        label |= {"review_threshold": None}
        label["action"] = "allow" if label["action"] else None
    harmless = predict(policy(labels=labels), StubEncoder(), random_features(50))
    for count in (0, 20, 50):
        assert not matched_threshold_flags(harmless, count).any()
