"""What a report claims: one correction over all that it tests, and one answer in all its parts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats

from audit.audits.assessment import Assessed, Assessment
from audit.datasets.dataset import Dataset
from audit.datasets.groups import Groups, Marks, overall_group
from audit.metrics.chance import Counted, GroupChance, Hypotheses, SwapChance
from audit.metrics.claims import Claims, report_claims
from audit.metrics.disparity import differences_to_overall
from audit.metrics.predictions import PolicyPredictions
from audit.metrics.rates import FLAG, rate_table
from audit.metrics.shift import matched_shift_table, shift_table
from audit.statistics.significance import holm, independence_p, mcnemar_p, westfall_young
from benchmarks.false_claims import FILE, permuted, real_flags, report_of
from tests.support.policy_texts import policy
from tests.support.reference_counts import dataset_of, group_of, rows_of
from tests.support.sample_header import header

#: A report holds a false claim in one case of twenty; three standard errors are allowed for.
NOMINAL, REPORTS = 0.05, 40
MOST_FALSE = NOMINAL + 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / REPORTS)

Flags = npt.NDArray[np.bool_]


def _said(flags: Flags, name: str = "small") -> PolicyPredictions:
    """Returns the predictions of a policy that blocks these images."""
    outcomes = np.zeros((len(flags), 4), np.int8)
    outcomes[:, 1] = 2 * flags
    zeros = np.zeros((len(flags), 4), np.float32)
    return PolicyPredictions(
        policy=policy(), similarities=zeros, scores=zeros, outcomes=outcomes, name=name
    )


def _assessed(dataset: Dataset, *flags: Flags) -> Assessment:
    names = tuple("abc"[: len(flags)])
    made = header(names)
    made = made.model_copy(
        update={"dataset": made.dataset.model_copy(update={"n": len(dataset)}), "by": ()}
    )
    features = dataset.sensitive_features
    by: list[tuple[str, ...]] = [(one,) for one in features]
    by += [(one, two) for i, one in enumerate(features) for two in features[i + 1 :]]
    said = [_said(each, name) for each, name in zip(flags, names, strict=True)]
    return Assessed(made, said, dataset.partitions(by)).found()[0]


# The correction


def test_hypotheses_that_are_independent_are_corrected_as_by_sidak() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random((20_000, 10)).astype(np.float32)
    found = westfall_young(np.array([0.004, *[0.5] * 9]), chance)
    assert found.adjusted[0] == pytest.approx(1 - (1 - 0.004) ** 10, abs=0.004)
    assert found.critical == pytest.approx(1 - 0.95 ** (1 / 10), abs=0.0006)


def test_hypotheses_that_are_one_and_the_same_count_as_one() -> None:
    rng = np.random.default_rng(1)
    one = rng.random((20_000, 1)).astype(np.float32)
    found = westfall_young(np.full(50, 0.03), np.repeat(one, 50, axis=1))
    assert found.adjusted == pytest.approx(np.full(50, 0.03), abs=0.004)


def test_the_correction_steps_down_and_leaves_out_what_is_not_tested() -> None:
    rng = np.random.default_rng(2)
    p = np.array([1e-9, np.nan, 0.02, 0.9])
    found = westfall_young(p, rng.random((20_000, 4)).astype(np.float32)).adjusted
    assert np.isnan(found[1])
    assert found[0] == pytest.approx(1 / 20_001)
    assert found[2] == pytest.approx(1 - (1 - 0.02) ** 2, abs=0.004)  # the first one is out
    assert found[3] == pytest.approx(0.9, abs=0.01)
    assert westfall_young(np.array([np.nan]), np.ones((9, 1), np.float32)).critical < 0.051


def test_what_is_below_the_critical_p_is_claimed_and_what_is_at_it_is_not() -> None:
    rng = np.random.default_rng(3)
    chance = rng.choice([0.001, 1 / 7, 0.3, 1.0], (999, 5)).astype(np.float32)
    for at in (0.0005, 0.001, 1 / 7):
        found = westfall_young(np.array([at, 1, 1, 1, 1]), chance)
        assert (found.adjusted[0] <= NOMINAL) == (at < found.critical)
        assert found.critical <= NOMINAL


@pytest.mark.parametrize("hits", [3, 40])
def test_the_tables_drawn_have_the_p_of_tables_with_these_margins(hits: int) -> None:
    groups = group_of([0] * 40 + [1] * 160)
    flags = np.arange(200) < hits
    table = differences_to_overall(rate_table(_said(flags), [overall_group(200), groups]))
    table = table[table["metric"] == FLAG]
    chance = GroupChance({("small", FLAG): Counted(flags, np.ones(200, bool))}, [groups])
    drawn = chance(table, 4000)
    assert (drawn[:, 0] == drawn[:, 1]).all()  # two groups are one comparison
    counts = np.arange(hits + 1)
    exact = independence_p(counts, 40, hits - counts, 160)
    weights = stats.hypergeom.pmf(counts, 200, hits, 40)
    for at in (0.01, 0.05, 0.2):
        assert (drawn[:, 0] <= at).mean() == pytest.approx(weights[exact <= at].sum(), abs=0.02)


def test_images_of_one_group_are_swapped_as_a_fair_coin_falls() -> None:
    before, after = np.arange(100) < 12, (np.arange(100) >= 4) & (np.arange(100) < 12)
    groups = group_of([0] * 100)
    table = shift_table({FLAG: (before, after)}, [groups])
    drawn = SwapChance({(FLAG,): (before, after)}, [groups])(table, 4000)[:, 0]
    exact = mcnemar_p(np.arange(5), 4 - np.arange(5))
    weights = stats.binom.pmf(np.arange(5), 4, 0.5)
    for at in (0.125, 0.625):
        assert (drawn <= at + 1e-6).mean() == pytest.approx(
            weights[exact <= at + 1e-6].sum(), abs=0.03
        )


# One answer in all parts of a report


def test_two_groups_are_one_comparison_with_one_p_in_every_part() -> None:
    women, men = 200, 260
    flags = np.r_[np.arange(women) < 31, np.arange(men) < 20]
    found = _assessed(dataset_of({"gender": ["f"] * women + ["m"] * men}), flags)
    [gap] = [gap for gap in found["gaps"] if gap.metric == FLAG]
    rows = [row for row in found["differences"] if row.metric == FLAG]
    assert len(rows) == 3  # each against all images, and the pair
    expected = float(independence_p(31, women, 20, men))
    assert {row.p for row in rows} == {gap.p} == {expected}
    assert {row.p_adjusted for row in rows} == {expected}
    assert len({row.p_report for row in rows}) == 1
    assert {row.claim for row in rows} == {gap.claim} == {True}


def test_a_group_that_is_called_as_the_whole_is_is_not_taken_for_it() -> None:
    groups = np.repeat(["a", "overall", "c"], 100)
    flags = np.r_[np.arange(100) < 20, np.arange(100) < 5, np.arange(100) < 5]
    named, other = (
        _assessed(dataset_of({"race": np.where(groups == "overall", name, groups).tolist()}), flags)
        for name in ("overall", "b")
    )
    for one, two in zip(named["differences"], other["differences"], strict=True):
        assert (one.p, one.p_report, one.claim) == (two.p, two.p_report, two.claim)


def test_the_order_of_images_changes_no_claim() -> None:
    rng = np.random.default_rng(8)
    race, age = rng.integers(0, 5, 600), rng.integers(0, 4, 600)
    before, after = rng.random((2, 600)) < 0.1 + 0.08 * (race == 2)
    found = []
    for order in (np.arange(600), rng.permutation(600)):
        parts = [overall_group(600), group_of(race[order].tolist(), "race")]
        parts.append(group_of(age[order].tolist(), "age"))
        marks = before[order], after[order]
        shifts = shift_table({FLAG: marks}, parts)
        rates = rate_table(_said(marks[0]), parts)
        counted: dict[tuple[str, ...], Counted] = {
            ("small", FLAG): Counted(marks[0], np.ones(600, bool))
        }
        tests = [
            Hypotheses(shifts, SwapChance({(FLAG,): marks}, parts)),
            Hypotheses(
                differences_to_overall(rates[rates["metric"] == FLAG]),
                GroupChance(counted, parts[1:]),
            ),
        ]
        found.append(report_claims(tests))
    for one, two in zip(found[0].tables, found[1].tables, strict=True):
        assert one["p_report"].tolist() == pytest.approx(two["p_report"].tolist(), nan_ok=True)
    assert found[0].critical == found[1].critical


def test_a_gap_is_claimed_where_a_group_is_and_only_there() -> None:
    for hits in ((2, 2, 2), (3, 3, 40), (0, 0, 0)):
        flags = np.r_[tuple(np.arange(200) < each for each in hits)]
        found = _assessed(dataset_of({"race": [*"a" * 200, *"b" * 200, *"c" * 200]}), flags)
        claims = {row.group for row in found["differences"] if row.claim and row.metric == FLAG}
        [gap] = [gap for gap in found["gaps"] if gap.metric == FLAG]
        assert gap.claim == bool(claims) == (hits == (3, 3, 40))


def test_the_report_says_what_it_was_corrected_over() -> None:
    flags = np.arange(400) % 9 == 0
    found = _assessed(dataset_of({"race": ["a"] * 150 + ["b"] * 229 + ["c"] * 21}), flags)
    tested = [row for row in found["differences"] if row.p_report is not None]
    assert found["correction"].hypotheses == len(tested)
    assert all("c" not in (row.group, row.reference) for row in tested)  # too few images
    assert all(row.p_report >= row.p for row in tested)  # type: ignore[operator]
    assert found["correction"].draws == 999
    assert 0 < (found["correction"].critical_p or 0) < 0.05


# The matched comparison


def _matched(entered: Iterable[int], left: Iterable[int], sizes: Iterable[int]) -> pd.DataFrame:
    before, after, codes = [], [], []
    for code, (new, old, n) in enumerate(zip(entered, left, sizes, strict=True)):
        before += [False] * new + [True] * old + [False] * (n - new - old)
        after += [True] * new + [False] * (n - new)
        codes += [code] * n
    parts = [overall_group(len(codes)), group_of(codes)]
    return matched_shift_table(np.array(before), np.array(after), parts)


def test_at_one_flag_rate_it_is_compared_who_entered_with_who_left() -> None:
    whole, women, men = rows_of(_matched((51, 75), (72, 54), (2000, 2000)))
    expected = stats.fisher_exact(np.array([[51, 75], [72, 54]])).pvalue
    assert women.p == pytest.approx(expected, abs=0.004)
    assert women.p == men.p == men.p_adjusted
    assert np.isnan(whole.p)  # its totals are made equal
    # McNemar's test asks each group by itself, although one's gain is the other's loss.
    assert holm(mcnemar_p([51, 75], [72, 54])).min() > 0.1


def test_at_one_flag_rate_nothing_that_changed_is_no_difference() -> None:
    assert (_matched((0, 0), (0, 0), (50, 50))["p"].dropna() == 1).all()
    assert (_matched((0, 3), (0, 3), (50, 50))["p"].dropna() == 1).all()


@pytest.mark.slow
def test_at_one_flag_rate_5_comparisons_of_100_err() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(1000):
        who = rng.permutation(np.r_[np.zeros(126, int), np.ones(126, int)])
        entered, left = np.bincount(who[:126], minlength=2), np.bincount(who[126:], minlength=2)
        found.append(_matched(entered, left, (500, 500))["p"].iloc[1])
    # Conditional on the totals a count is discrete, so not all of the error can be used.
    assert 0.03 <= np.mean(np.array(found) < 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


# Over the whole report


@pytest.mark.slow
def test_where_groups_are_permuted_a_report_claims_something_in_5_cases_of_100() -> None:
    if not FILE.is_file():
        pytest.skip("real predictions of ../shared/data/predictions are not here")
    table, flags = real_flags(1500)
    rng = np.random.default_rng(6)
    found = [report_of(permuted(table, rng), flags) for _ in range(REPORTS)]
    assert np.mean([claims.over_report > 0 for claims in found]) <= MOST_FALSE
    # Corrected in each family alone, far more reports would: this test can fail.
    assert np.mean([claims.by_family > 0 for claims in found]) > 0.2


@pytest.mark.slow
def test_label_sets_that_flag_alike_are_claimed_to_differ_in_5_reports_of_100() -> None:
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(5), 120)
    parts = [overall_group(600), Groups("race", tuple("abcde"), codes)]
    false = 0
    for _ in range(200):
        changes: dict[tuple[str, ...], tuple[Marks, Marks]] = {
            (f"change {i}",): tuple(rng.random((2, 600)) < 0.1) for i in range(8)
        }
        table = shift_table({key[0]: marks for key, marks in changes.items()}, parts)
        claims: Claims = report_claims([Hypotheses(table, SwapChance(changes, parts))])
        false += bool(claims.tables[0]["claim"].any())
    assert false / 200 <= NOMINAL + 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / 200)


def test_a_planted_disparity_is_claimed_in_a_report_of_many_tests() -> None:
    race = np.repeat(list("abcdefg"), 300)
    flags = np.arange(2100) % 20 == 0
    flags |= (race == "d") & (np.arange(2100) % 10 == 1)
    age = np.array(["young", "old", "older"])[np.arange(2100) % 3]
    found = _assessed(dataset_of({"race": race.tolist(), "age": age.tolist()}), flags)
    claims = {row.group for row in found["differences"] if row.claim and row.by == "race"}
    assert "d" in claims


def test_a_report_without_groups_tests_nothing() -> None:
    found = _assessed(dataset_of({"race": ["a"] * 100}), np.arange(100) < 9)
    assert found["correction"].hypotheses == 0  # one group has no other images to differ from
    assert not any(row.claim for row in found["differences"])
    assert not any(gap.claim for gap in found["gaps"])
    nothing = Assessed(header(("a",)), [_said(np.arange(100) < 9, "a")], [overall_group(100)])
    assert nothing.found()[0]["gaps"] == ()


def test_small_groups_that_differ_claim_no_gap_of_the_others() -> None:
    sizes, hits = (200, 200, 25, 25, 25, 25), (10, 10, 24, 24, 24, 24)
    race = np.repeat(list("abcdef"), sizes)
    flags = np.concatenate([np.arange(n) < k for n, k in zip(sizes, hits, strict=True)])
    found = _assessed(dataset_of({"race": race.tolist()}), flags)
    claims = {row.group for row in found["differences"] if row.claim and row.metric == FLAG}
    assert claims == {"a", "b"}  # each against all others, whose small groups are flagged
    [gap] = [gap for gap in found["gaps"] if gap.metric == FLAG]
    assert (gap.difference, gap.claim) == (0.0, False)
