from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import equalized_odds_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.gaps import equalized_odds, widest_gaps
from audit.metrics.predictions import predict
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE, rate_table
from audit.metrics.truth import truth_of
from audit.statistics.intervals import difference, ratio
from audit.statistics.significance import holm
from tests.support.policy_texts import policy
from tests.support.reference_counts import confusion, dataset_of, rate_rows, rows_of, said
from tests.support.stub_encoder import StubEncoder, random_features

#: (count, n) of each group.
GroupCells = Sequence[tuple[int, int]]

CELL = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TABLES = st.lists(CELL, min_size=1, max_size=7)


def rates_of(counts: GroupCells, metric: str = FLAG) -> pd.DataFrame:
    """Returns the rows that `rate_table` gives for such counts."""
    count, n = np.array(counts).T
    return rate_rows(count, n, list("abcdefghijkl"[: len(counts)]), metric=metric)


@given(TABLES)
@settings(max_examples=60)
def test_a_difference_to_overall_is_that_to_the_rest_less_the_groups_own_part(
    counts: GroupCells,
) -> None:
    table = differences_to_overall(rates_of(counts))
    total, everyone = map(sum, zip(*counts, strict=True))
    for row, (count, n) in zip(rows_of(table), counts, strict=True):
        assert row.difference == pytest.approx(count / n - total / everyone, abs=1e-12)
        if n == everyone:
            assert math.isnan(row.difference_low)
            continue
        rest_rate = (total - count) / (everyone - n)
        away = (1 - n / everyone) * (count / n - rest_rate)
        assert row.difference == pytest.approx(away, abs=1e-12)
        assert row.difference_low - 1e-12 <= row.difference <= row.difference_high + 1e-12


@given(TABLES)
@settings(max_examples=60)
def test_a_ratio_to_overall_is_that_to_the_rest_seen_from_the_whole(counts: GroupCells) -> None:
    table = differences_to_overall(rates_of(counts))
    total, everyone = map(sum, zip(*counts, strict=True))
    for row, (count, n) in zip(rows_of(table), counts, strict=True):
        if not total or n == everyone:
            assert math.isnan(row.ratio_low)
            continue
        assert row.ratio_low <= row.ratio + 1e-9
        assert row.ratio <= row.ratio_high + 1e-9
        assert row.ratio_high <= everyone / n + 1e-9  # all hits in the group: the most there can be
        for bound, rest in zip(
            (row.ratio_low, row.ratio_high), ratio(count, n, total - count, everyone - n),
            strict=True,
        ):  # fmt: skip
            if np.isfinite(rest):
                # At rates R q and q, the group's rate over that of the whole.
                whole = n / everyone * rest + (1 - n / everyone)
                assert bound == pytest.approx(float(rest) / whole, rel=1e-9, abs=1e-12)


@given(TABLES)
@settings(max_examples=60)
def test_each_interval_of_pairs_and_gaps_holds_its_estimate(counts: GroupCells) -> None:
    rates = rates_of(counts)
    for table in (differences_between_groups(rates), widest_gaps(rates)):
        for row in table.to_dict("records"):
            for name in ("difference", "ratio", "pass_ratio"):
                value = row.get(name, math.nan)
                if not math.isnan(value):
                    assert row[f"{name}_low"] - 1e-9 <= value <= row[f"{name}_high"] + 1e-9, name


@given(st.lists(CELL, min_size=2, max_size=6), st.data())
@settings(max_examples=30)
def test_the_order_of_groups_changes_no_figure(counts: GroupCells, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(counts))))
    shuffled = rates_of(counts).iloc[order].reset_index(drop=True)
    for table_of in (differences_to_overall, widest_gaps):
        one, other = table_of(rates_of(counts)), table_of(shuffled)
        if "group" in one:
            one, other = (t.sort_values("group").reset_index(drop=True) for t in (one, other))
        same = ["difference", "ratio", "p"]
        assert one[same].to_numpy() == pytest.approx(other[same].to_numpy(), nan_ok=True)


def test_suppressed_cells_are_not_tested_and_are_not_part_of_the_family() -> None:
    small = (25, 29)  # far from the others, and too small
    with_small = differences_to_overall(rates_of([(10, 400), (30, 300), (12, 300), small]))
    assert with_small["support"].tolist() == ["full", "full", "full", "suppressed"]
    assert with_small[["p", "p_adjusted"]].iloc[3].isna().all()
    family = with_small["p"].to_numpy()[:3]
    assert with_small["p_adjusted"].to_numpy()[:3] == pytest.approx(holm(family))
    pairs = differences_between_groups(rates_of([(10, 400), (30, 300), (12, 300), small]))
    assert pairs.loc[pairs["reference"] == "d", "p_adjusted"].isna().all()
    assert pairs["p_adjusted"].notna().sum() == 3


def test_a_group_against_too_few_other_images_claims_nothing() -> None:
    table = differences_to_overall(rates_of([(5, 400), (20, 25)]))
    assert table["support"].tolist() == ["suppressed", "suppressed"]
    assert table["p"].isna().all()


def test_cells_of_30_to_99_images_are_indicative_and_may_claim() -> None:
    table = differences_to_overall(rates_of([(40, 60), (5, 400), (6, 400)]))
    assert table["support"].tolist() == ["indicative", "full", "full"]
    assert table["p_adjusted"].iloc[0] < 0.05


def test_the_worst_race_of_the_published_run_is_white_with_a_simultaneous_interval() -> None:
    dataset, features = confusion()
    table = rate_table(said(features), dataset.partitions([["race"]]))
    crime = table[table["metric"] == "category:egregious/crime-related"]
    [gap] = rows_of(widest_gaps(crime))
    assert (gap.worst, gap.best, gap.compared) == ("White", "Indian", 7)
    assert (gap.worst_count, gap.best_count) == (147, 9)
    bounds = difference(147, 2085, 9, 1516, 1 - 0.05 / 21)
    assert (gap.difference_low, gap.difference_high) == tuple(bounds)
    assert gap.difference == pytest.approx(147 / 2085 - 9 / 1516)
    assert gap.ratio == pytest.approx((147 / 2085) / (9 / 1516))
    assert gap.pass_ratio == pytest.approx((1 - 147 / 2085) / (1 - 9 / 1516))
    claims = differences_to_overall(crime)
    assert set(claims.loc[claims["p_adjusted"] < 0.05, "group"]) == {
        "Black", "White", "Indian", "Middle Eastern", "Southeast Asian"
    }  # fmt: skip


def test_a_gap_without_a_difference_is_still_between_two_groups() -> None:
    [gap] = rows_of(widest_gaps(rates_of([(0, 400), (0, 300), (0, 50)])))
    assert (gap.worst, gap.best, gap.difference) == ("a", "c", 0)
    assert gap.difference_low == 0 < gap.difference_high
    assert math.isnan(gap.ratio)
    assert (gap.ratio_low, gap.ratio_high) == (1, math.inf)  # two groups without a hit
    assert gap.pass_ratio_low < gap.pass_ratio == gap.pass_ratio_high == 1


def test_a_small_group_widens_the_interval_of_the_gap_though_it_is_not_the_worst() -> None:
    large = [(100, 2000), (2, 2000)]
    [without], [with_small] = (
        rows_of(widest_gaps(rates_of(counts))) for counts in (large, [*large, (1, 35)])
    )
    assert (with_small.worst, with_small.best) == (without.worst, without.best)
    assert with_small.difference_high > without.difference_high + 0.05


def test_a_gap_leaves_out_what_has_too_few_images_and_is_undefined_without_two_groups() -> None:
    [gap] = rows_of(widest_gaps(rates_of([(3, 400), (9, 300), (29, 29)])))
    assert (gap.worst, gap.best, gap.compared, gap.left_out) == ("b", "a", 2, ("c",))
    [none] = rows_of(widest_gaps(rates_of([(3, 400), (29, 29)])))
    assert (none.worst, none.best, none.compared) == (None, None, 1)
    assert math.isnan(none.difference)
    assert math.isnan(none.p)


def test_a_pass_ratio_hides_what_the_flag_ratio_shows() -> None:
    [gap] = rows_of(widest_gaps(rates_of([(50, 1000), (10, 1000)])))
    assert gap.ratio == pytest.approx(5)
    assert gap.pass_ratio == pytest.approx(0.9596, abs=1e-4)


def test_equalized_odds_difference_is_that_of_fairlearn_where_all_groups_have_support() -> None:
    rng = np.random.default_rng(5)
    n = 900
    groups, y_true = rng.choice(["a", "b", "c"], n).tolist(), rng.choice(["gun", "cat"], n).tolist()
    dataset = dataset_of({"group": groups}, y_true)
    object.__setattr__(dataset, "benign", False)
    top = policy(decision="top_label")
    truth = truth_of(dataset, top.labels)
    predictions = predict(top, StubEncoder(), random_features(n), truth=truth)
    rates = rate_table(predictions, dataset.partitions([["group"]]))
    [row] = rows_of(equalized_odds(rates.astype({"policy": object, "by": object})))
    theirs = equalized_odds_difference(
        truth.positive, predictions.flagged, sensitive_features=groups
    )
    assert row.difference == pytest.approx(theirs)
    assert row.low <= row.difference <= row.high
    assert (row.n, row.compared) == (n, 3)


def test_equalized_odds_hold_both_gaps_at_once_and_need_both() -> None:
    positives = rates_of([(90, 100), (60, 100)], TRUE_POSITIVE)
    negatives = rates_of([(5, 200), (9, 200)], FALSE_POSITIVE)
    [row] = rows_of(equalized_odds(pd.concat([positives, negatives], ignore_index=True)))
    bounds = difference(90, 100, 60, 100, 0.975)
    assert (row.low, row.high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
    assert not len(equalized_odds(positives))
    few = rates_of([(20, 25), (9, 20)], TRUE_POSITIVE)
    [none] = rows_of(equalized_odds(pd.concat([few, negatives], ignore_index=True)))
    assert all(map(math.isnan, (none.difference, none.low, none.high)))
    assert none.compared == 0
