"""The largest supported claim comes first, in plain words, with what it means and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audit.datasets.groups import OVERALL
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.metrics.shift import shift_table
from audit.results.ablation_rows import Ablation
from audit.results.cautions import source_cautions, tuned_on
from audit.results.headline import headline_of
from audit.results.headline_sentences import claim_sentence, no_claim_sentence
from audit.results.largest_claim import Claimable, SizedClaim, largest_claim
from audit.results.next_steps import next_steps
from audit.results.practice_sentences import meaning_sentences, note_sentences, practice_sentences
from audit.results.results import Header, LabelRecord
from audit.results.rows import Correction, Difference, Power, Rate, Shift, records
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import difference, wilson
from audit.statistics.support import support_of
from moderation.policy import Fitted
from tests.support.reference_counts import dataset_of, rate_rows
from tests.support.sample_header import header

CATEGORY = "category:egregious/non-human"
CORRECTION = Correction(hypotheses=400, draws=999, critical_p=0.0004)


def _header(*names: str, benign: bool = True) -> Header:
    found = header(names or ("small",))
    return found.model_copy(update={"dataset": found.dataset.model_copy(update={"benign": benign})})


def _differences(
    counts: Sequence[int],
    sizes: Sequence[int],
    claimed: Sequence[str],
    *,
    metric: str = FLAG,
    by: str = "race",
    names: str = "abcdefg",
    policy: str = "small",
) -> list[Difference]:
    """Returns each group against all others, and each pair; those of the named ones are claimed."""
    rates = rate_rows(counts, sizes, list(names[: len(sizes)]))
    rates = rates.assign(metric=metric, by=by, policy=policy)
    table = pd.concat([differences_to_overall(rates), differences_between_groups(rates)])
    claims = [
        f"{group}>{reference}" in claimed or (reference == OVERALL and group in claimed)
        for group, reference in zip(table["group"], table["reference"], strict=True)
    ]
    return list(records(Difference, table.assign(p_report=0.01, claim=claims)))


def _shifts(
    before: Sequence[bool], after: Sequence[bool], group: Sequence[str], claimed: Sequence[str],
    *, metric: str = FLAG, matched: bool = False,
) -> list[Shift]:  # fmt: skip
    dataset = dataset_of({"race": list(group)}, [None] * len(group))
    parts = dataset.partitions([("race",)])
    marks = {metric: (pd.array(before).to_numpy(bool), pd.array(after).to_numpy(bool))}
    table = shift_table(marks, parts).assign(
        before_policy="small", after_policy="large", matched=matched, p_report=0.01
    )
    return list(records(Shift, table.assign(claim=table["group"].isin(claimed))))


def _largest(rows: Claimable, *names: str, benign: bool = True) -> SizedClaim:
    claim = largest_claim(_header(*names, benign=benign), rows)
    assert claim is not None
    return claim


def _said(rows: Claimable, *names: str) -> str:
    found = _header(*names)
    claim = largest_claim(found, rows)
    assert claim is not None
    return claim_sentence(claim, found, CORRECTION, rows)


def test_the_largest_supported_difference_is_told_with_counts_and_an_interval_for_all() -> None:
    rows = _differences([14, 4, 4, 4, 4, 3, 3], [100] * 7, ["a"], metric=CATEGORY)
    shares = ExactShares(np.array([14.0, 22.0]), np.array([100.0, 600.0]), np.zeros(2))
    low, high = (end[0] for end in shares.differences(1 - 0.0004))
    assert _said(Claimable(rows, critical_p=0.0004)) == (
        "By race, a is blocked or sent to review as egregious/non-human more often than all "
        "others: 14 of 100 images against 22 of 600, 1,033 more of every 10,000 "
        f"[{10_000 * low:+,.0f} to {10_000 * high:+,.0f}]. By chance alone, at most 1 of "
        "20 such reports would claim anything; 400 differences were tested."
    )


def test_a_wide_difference_in_few_images_does_not_come_before_one_that_many_support() -> None:
    few = _differences([12, 3], [30, 30], ["a"], by="age", names="xy".replace("x", "a"))
    many = _differences([300, 100], [1000, 1000], ["a"], metric=CATEGORY, names="ab")
    claim = _largest(Claimable([*few, *many], critical_p=0.0004))
    assert abs(claim.apart) == pytest.approx(0.2)
    assert claim.others == 1
    assert claim.row.metric == CATEGORY


def test_two_sides_of_one_comparison_are_told_by_the_side_with_more() -> None:
    rows = _differences([80, 20], [200, 200], ["a", "b", "a>b", "b>a"], names="ab")
    claim = _largest(Claimable(rows))
    assert claim.row.group == "a"
    assert claim.apart > 0


def test_an_intersection_is_told_only_where_no_group_that_meets_in_it_differs_alike() -> None:
    crossed = _differences([60, 10, 10, 10], [100] * 4, ["a"], by="race × gender")
    [top, *_] = [row for row in crossed if row.claim]
    alone = top.model_copy(update={"group": "a × x"})
    assert _largest(Claimable([alone])).row.by == "race × gender"
    single = _differences([60, 20], [200, 200], ["a"], names="ab")
    assert _largest(Claimable([alone, *single])).row.by == "race"
    other_way = _differences([20, 60], [200, 200], ["a"], names="ab")
    assert _largest(Claimable([alone, *other_way])).row.by == "race × gender"


def test_a_category_that_holds_all_flags_is_told_as_flags_and_once() -> None:
    flags = _differences([40, 10], [100, 100], ["a"], names="ab")
    category = _differences([40, 10], [100, 100], ["a"], names="ab", metric=CATEGORY)
    false = _differences([40, 10], [100, 100], ["a"], names="ab", metric=FALSE_POSITIVE)
    claim = _largest(Claimable([*category, *flags, *false]))
    assert (claim.row.metric, claim.others) == (FLAG, 0)


def test_policies_of_which_the_very_same_is_claimed_are_told_together() -> None:
    rows = [
        row
        for name in ("small", "large")
        for row in _differences([40, 10], [100, 100], ["a"], names="ab", policy=name)
    ]
    assert _said(Claimable(rows), "small", "large").startswith(
        "Under small and large, by race, a is flagged more often than all others: 40 of 100"
    )


GROUPS = ["a"] * 100 + ["b"] * 100


def test_a_shift_of_a_group_is_told_with_who_enters_and_who_leaves() -> None:
    before, after = [False] * 200, [True] * 40 + [False] * 160
    rows = _shifts(before, after, GROUPS, ["a"])
    assert _said(Claimable([], rows), "small", "large").startswith(
        "From small to large, of 100 images of a (by race), 40 come to be flagged and 0 no longer "
        "are, 4,000 more of every 10,000 ["
    )
    matched = _shifts(before, after, GROUPS, ["a"], matched=True)
    assert _said(Claimable([], matched), "small", "large").startswith(
        "From small to large, with both set to flag as many images, a (by race) gains flags "
        "against all others: of 100 images 40 come to be flagged and 0 no longer are, of 100 "
        "others 0 and 0, "
    )


@pytest.mark.parametrize("metric", ["label:child", "category:new"])
def test_what_changes_by_its_name_is_not_told(metric: str) -> None:
    before, after = [False] * 200, [True] * 40 + [False] * 160
    rows = _shifts(before, after, GROUPS, ["a", OVERALL], metric=metric)
    assert largest_claim(_header("small", "large"), Claimable([], rows)) is None


def test_what_images_merely_resemble_comes_after_what_is_done_to_them() -> None:
    before, after = [False] * 200, [True] * 90 + [False] * 110
    resembled = _shifts(before, after, GROUPS, ["a"], metric="label:man")
    done = _shifts(before, [True] * 30 + [False] * 170, GROUPS, ["a"])
    assert _largest(Claimable([], [*resembled, *done]), "small", "large").row.metric == FLAG
    assert "60 come" not in _said(Claimable([], resembled), "small", "large")
    assert "come to resemble the label man most" in _said(
        Claimable([], resembled), "small", "large"
    )


def test_without_a_claim_it_says_so_and_which_rise_would_have_been_missed() -> None:
    found = _header()
    assert largest_claim(found, Claimable(_differences([5, 5], [100, 100], [], names="ab"))) is None
    assert no_claim_sentence(found, CORRECTION) == (
        "None of the 400 differences that were tested is shown to be more than chance; that is not "
        "proof that there is none."
    )
    seen = [
        Power(policy="small", by="race", group=group, n=n, rate=0.05, smallest_difference=rise,
              support=support_of(n).item())
        for group, n, rise in (("a", 100, 0.12), ("b", 400, 0.05), ("c", 12, 0.7))
    ]  # fmt: skip
    steps = list(next_steps(found, None, [], seen))
    assert steps[0] == (
        "Who decides whether it goes live: this does not prove that nobody fares worse; if a (100 "
        "images) were flagged in up to 1,200 more of every 10,000, this would probably not have "
        "shown it. Audit more images of the smallest groups."
    )
    assert next_steps_for(steps, "Who runs the workers")  # starter is a stand-in
    headline = headline_of(found, None, Claimable([]), CORRECTION, [WHOLE], seen)
    assert headline.finding.startswith(
        "small falsely flags 5 of 1,000 images: 50 of every 10,000 ["
    )
    assert (headline.kind, headline.claimed, headline.group) == ("none", False, None)
    assert headline.cautions == (
        "Brackets hold the range in which the true figure probably lies (95 %).",
        "The model is starter, a small stand-in for trying out: its figures are not CLIP's.",
    )


def next_steps_for(steps: Sequence[str], whom: str) -> list[str]:
    return [step for step in steps if step.startswith(f"{whom}: ")]


def _rate(metric: str, count: int, n: int, by: str = "race", group: str = "a") -> Rate:
    low, high = wilson(count, n)
    return Rate(
        policy="small", by=by, group=group, metric=metric, count=count, n=n, rate=count / n,
        low=float(low), high=float(high), support=support_of(n).item(),
    )  # fmt: skip


WHOLE = _rate(FLAG, 5, 1000, OVERALL, OVERALL)


def test_what_to_do_names_the_labels_that_flag_most_of_the_group_and_what_not_to_refuse() -> None:
    rows = _differences([14, 4], [100, 600], ["a"], metric=CATEGORY, names="ab")
    found = _header()
    rates = [_rate("fired:thief", 9, 100), _rate("fired:animal", 5, 100), _rate("fired:x", 70, 100)]
    author, decides, *_ = next_steps(found, largest_claim(found, Claimable(rows)), rates, [])
    assert author.startswith(
        "Who writes the policy: begin with thief, which flags 9 of 100 images of a. `audit ablate "
    )
    assert decides.endswith("`action: review` for thief, animal.")
    tied = [_rate("fired:thief", 7, 100), _rate("fired:animal", 7, 100)]
    [author, *_] = next_steps(found, largest_claim(found, Claimable(rows)), tied, [])
    assert "begin with thief and animal: each flags 7 of 100 images of a." in author


def test_the_interval_that_is_told_holds_at_its_level_for_few_images_and_rare_flags() -> None:
    # 40 images and 1,460 others, of which one in fifty is flagged whoever it is.
    (n, rest_n), rate, critical = (40, 1460), 0.02, 0.0004
    [row] = [each for each in _differences([4, 30], [n, rest_n], ["a"]) if each.claim]
    missed = {"told": 0.0, "ordered by": 0.0}
    for count in range(1, 11):
        for rest in range(18, 46):
            counts = {"count": count, "reference_count": count + rest}
            claim = largest_claim(
                _header(),
                Claimable([row.model_copy(update=counts)], critical_p=critical),
            )
            assert claim is not None
            chance = stats.binom.pmf(count, n, rate) * stats.binom.pmf(rest, rest_n, rate)
            missed["told"] += chance * (not claim.low <= 0 <= claim.high)
            newcombe = difference(count, n, rest, rest_n, 1 - critical)
            missed["ordered by"] += chance * (not newcombe.low <= 0 <= newcombe.high)
    assert missed["told"] <= critical / 2
    assert missed["ordered by"] > 2 * critical


def test_the_interval_of_a_claim_ends_at_0_whatever_test_makes_it() -> None:
    rows = _differences([14, 22], [100, 600], ["a", "b"])
    claim = largest_claim(_header(), Claimable(rows, critical_p=0.00001))
    assert claim is not None
    assert (claim.apart > 0, claim.low, claim.high > 0.2) == (True, 0.0, True)


def test_practice_counts_who_is_refused_and_who_waits_as_far_as_a_label_asks_for_it() -> None:
    found = _header()
    rates = [_rate("action:block", 20, 1000, OVERALL, OVERALL), _rate("action:block", 14, 100),
             _rate("action:review", 50, 1000, OVERALL, OVERALL)]  # fmt: skip
    [said] = practice_sentences(found, rates, ("race", "a"))
    assert said == (
        "Of 10,000 images such as those of faces & more, small refuses 200 [130 to 307] and lets "
        "500 [381 to 653] wait for a person; of 10,000 of race a, it "
        "refuses 1,400 [853 to 2,214]."
    )
    [policy] = found.policies
    hard = [label.model_copy(update={"review_threshold": None}) for label in policy.labels]
    only = policy.model_copy(update={"labels": tuple(hard)})
    [said] = practice_sentences(found.model_copy(update={"policies": (only,)}), rates, None)
    assert said.endswith("small refuses 200 [130 to 307].")
    # At a threshold of 0 each image waits.
    every = [label.model_copy(update={"review_threshold": 0.0}) for label in policy.labels]
    only = policy.model_copy(update={"labels": tuple(every)})
    [said] = practice_sentences(found.model_copy(update={"policies": (only,)}), rates, None)
    assert said.endswith("refuses 200 [130 to 307] and lets 500 [381 to 653] wait for a person.")


def test_what_flagged_means_is_read_off_the_policy() -> None:
    said = list(meaning_sentences(_header()))
    assert said == [
        "Under small: blocked or sent to review as egregious/non-human (thief, animal). An image "
        "is flagged where, of all labels, it resembles one of these most.",
        "Nothing in these images should be flagged: each flag is a wrong one.",
    ]
    [policy] = _header().policies
    mild = LabelRecord(id="gun", category="gun", action="review", threshold=0.5,
                       review_threshold=None, prompts=("a gun",))  # fmt: skip
    labels: Any = {"labels": (mild,), "decision": "threshold"}
    found = _header(benign=False).model_copy(
        update={"policies": (policy.model_copy(update=labels),)}
    )
    assert list(meaning_sentences(found)) == [
        "Under small: sent to review as gun. An image is flagged where the score of one of these "
        "reaches its threshold."
    ]


@pytest.mark.parametrize(
    ("named", "known"),
    [(["FairFace"], "FairFace"), (["other", "faces and more"], ""),
     (["Faces & More"], "Faces & More"), (["cd" * 32], "cd" * 32), (["cd" * 31], ""), ([], "")],
)  # fmt: skip
def test_a_dataset_that_a_policy_was_tuned_on_is_known_by_name_adapter_or_hash(
    named: list[str], known: str
) -> None:
    found = _header()
    policy = found.policies[0].model_copy(update={"tuned_on": tuple(named)})
    assert tuned_on(policy, found.dataset) == known
    tuned = found.model_copy(update={"policies": (policy,)})
    headline = headline_of(tuned, None, Claimable([]), CORRECTION, [WHOLE], [])
    assert any(
        f"were chosen on {known}, as its file says" in each for each in headline.cautions
    ) == (bool(known))


def test_a_policy_that_is_unfitted_or_fitted_on_these_images_is_told_of_with_its_figures() -> None:
    found = _header()
    [policy] = found.policies
    fitted = Fitted(
        model="other", preprocessing="0" * 16, data=("Faces & More",), n=9, date=date(2026, 11, 21)
    )
    told = policy.model_copy(update={"fitted": fitted, "unfitted": "unfitted: for a reason"})
    header = found.model_copy(update={"policies": (told,)})
    headline = headline_of(header, None, Claimable([]), CORRECTION, [WHOLE], [])
    said = " ".join(headline.cautions)
    assert "small is unfitted: for a reason: its figures are of those thresholds here." in said
    assert "were chosen on Faces & More, as its file says, and these images are from it" in said
    quiet = headline_of(found, None, Claimable([]), CORRECTION, [WHOLE], [])
    assert "unfitted" not in " ".join(quiet.cautions)


def test_the_file_of_a_policy_is_quoted_by_the_beginning_of_its_comment() -> None:
    [policy] = _header().policies
    noted = policy.model_copy(update={"notes": "For: a shop\nwithout weapons.\n\nIt cannot: see."})
    silent = policy.model_copy(update={"notes": ""})
    assert list(note_sentences([silent, noted])) == ["small: For: a shop without weapons."]
    [said] = note_sentences([policy.model_copy(update={"notes": "word " * 40_000})])
    assert len(said) < 700
    assert "(of 199,999 characters)" in said


def test_a_name_of_signs_alone_is_no_dataset_and_a_long_one_is_cut() -> None:
    found = _header()
    [policy] = found.policies
    dataset = found.dataset.model_copy(update={"name": "faces:!!!"})
    signs = policy.model_copy(update={"tuned_on": ("---", "")})
    assert tuned_on(signs, dataset) == ""
    long = policy.model_copy(update={"tuned_on": (f"fairface{'!' * 1900}",)})
    tuned = found.model_copy(update={"policies": (long,)})
    [said] = [each for each in source_cautions(tuned) if "were chosen on" in each]
    assert len(said) < 800


def _power(group: str, by: str = "race", n: int = 300, smallest: float | None = None) -> Power:
    return Power(policy="small", by=by, group=group, n=n, rate=1.0, support="full",
                 smallest_difference=smallest)  # fmt: skip


@pytest.mark.parametrize(
    ("power", "why"),
    [([], "no sensitive feature by itself has two groups with enough images"),
     ([_power("a"), _power("young", "age")], "no sensitive feature by itself has two groups"),
     ([_power("a"), _power("b")], "so few images of these groups that are flagged, or that are no"),
     ([_power("a"), _power("b", smallest=0.1)], "if b (300 images) were flagged in up to 1,000")],
)  # fmt: skip
def test_why_no_rise_is_named_that_would_have_been_shown_is_what_holds(
    power: list[Power], why: str
) -> None:
    step, *_ = next_steps(_header(), None, [], power)
    assert why in step
    assert "so little is flagged" not in step  # all may be


def _noted(found: Header, notes: str) -> Header:
    policies = tuple(each.model_copy(update={"notes": notes}) for each in found.policies)
    return found.model_copy(update={"policies": policies})


def test_no_step_brings_to_life_what_its_own_file_forbids_to_enforce() -> None:
    rows = _differences([14, 4], [100, 600], ["a"], metric=CATEGORY, names="ab")
    for names in (("small",), ("small", "large")):
        found = _noted(_header(*names), "For the audit only; never\nenforce it.")
        for claim in (largest_claim(found, Claimable(rows)), None):
            steps = list(next_steps(found, claim, [], []))
            [decides] = next_steps_for(steps, "Who decides whether it goes live")
            assert "never to enforce" in decides
            assert not [step for step in steps if "action: review" in step]
    assert "never to enforce" not in str(list(next_steps(_header(), None, [], [])))


def test_what_images_merely_resemble_is_said_to_flag_nobody() -> None:
    before, after = [False] * 200, [True] * 90 + [False] * 110
    rows = Claimable([], _shifts(before, after, GROUPS, ["a"], metric="label:man"))
    assert _said(rows, "small", "large").startswith(
        "Nothing is shown to differ in what is flagged, only in what images resemble. From small"
    )
    found = _header("small", "large")
    steps = list(next_steps(found, largest_claim(found, rows), [], []))
    [decides] = next_steps_for(steps, "Who decides whether it goes live")
    assert "it flags no image" in decides
    assert "more of these images are flagged" not in decides


def test_a_change_of_a_group_is_told_beside_that_of_all_images() -> None:
    before, after = [False] * 200, [True] * 40 + [False] * 150 + [True] * 10
    rows = Claimable([], _shifts(before, after, GROUPS, ["a"]))
    assert " Of all 200 images, 50 and 0. By chance alone" in _said(rows, "small", "large")
    whole = Claimable([], _shifts(before, after, GROUPS, [OVERALL]))
    assert "Of all" not in _said(whole, "small", "large")


def test_a_change_that_wrongly_flags_more_is_not_recommended() -> None:
    row = Ablation(
        policy="small", kind="without", change="hat", metric=FLAG, by=OVERALL, group=OVERALL,
        n=200, before_count=0, after_count=90, before=0.0, after=0.45, after_low=0.38,
        after_high=0.52, entered=90, left=0, net=0.45, net_low=0.38, net_high=0.52, p=1e-9,
        p_adjusted=1e-9, p_report=1e-9, claim=True, support="full",
    )  # fmt: skip
    rows = Claimable([], ablations=[row])
    assert _said(rows).startswith("With one change of small, its label hat left out, of 200 images")
    for benign, said in ((True, "wrongly flagged"), (False, "are flagged")):
        found = _header(benign=benign)
        [author] = next_steps_for(
            list(next_steps(found, largest_claim(found, rows), [], [])), "Who writes the policy"
        )
        assert "do not make that change: more images are " in author
        assert said in author


def test_a_group_that_is_called_by_a_number_is_called_a_group() -> None:
    rows = _differences([40, 10], [100, 100], ["7"], names="74", by="skin_tone")
    assert _said(Claimable(rows)).startswith(
        "By skin_tone, group 7 is flagged more often than all others: "
    )


def test_images_without_groups_are_not_said_to_be_too_few() -> None:
    found = _header(benign=False).model_copy(update={"by": ()})
    nothing = Correction(hypotheses=0, draws=0, critical_p=0.05)
    headline = headline_of(found, None, Claimable([]), nothing, [WHOLE], [])
    assert headline.finding.endswith(
        "The images are in no groups, so this report cannot say whom that hits."
    )
    assert "whose groups are annotated" in headline.next_steps[0]
    assert "It is not known which of these images should be flagged, so a flag may be right." in (
        headline.cautions
    )


def test_where_truth_is_known_right_and_wrong_flags_are_counted() -> None:
    found = _header(benign=False)
    known = [
        _rate(TRUE_POSITIVE, 20, 25, OVERALL, OVERALL),
        _rate(FALSE_POSITIVE, 7, 960, OVERALL, OVERALL),
    ]
    *_, said = practice_sentences(found, known, None)
    assert said == (
        "small flags, where it is known what it should: of 25 images that should be flagged, 20, "
        "too few images for a rate; of 960 images that should not be flagged, 7, or 73 [35 to 150] "
        "of every 10,000."
    )
    headline = headline_of(found, None, Claimable([]), CORRECTION, [WHOLE, *known], [])
    assert "only wrong and missed flags are errors" in headline.cautions[1]
