"""Sentences say what the rows claim, whatever was counted and whatever stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.datasets.groups import OVERALL
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.gaps import claimed_gaps, widest_gaps
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.results.ablation_rows import Ablation, Carried, SplitHalf, WordingGap
from audit.results.ablation_sentences import (
    carried_sentences,
    held_out_sentences,
    largest_move_findings,
    wording_gap_findings,
)
from audit.results.finding import Finding
from audit.results.formatting import moved
from audit.results.gap_sentences import gap_findings, strongest_claims
from audit.results.robustness_rows import DistinctClaim, LabelNoise, TippingPoint
from audit.results.robustness_sentences import ClaimsHold, robustness_findings
from audit.results.rows import CommonImages, Difference, Gap, Rate, Shift, records
from audit.results.shift_sentences import (
    common_images_sentences,
    group_changes,
    harm_changes,
    truth_changes,
)
from audit.statistics.intervals import paired_difference, simultaneous
from tests.support.reference_counts import rate_rows
from tests.support.sample_header import header

#: What no sentence may say as if it were found.
NEVER = re.compile(r"\b(alike|equal|equally|the same)\b|\b1 images\b|\b0 of 0\b|\bOf 0\b|\bnan\b")

POLICY = header(("small",)).policies[0]


def _said_of_groups(
    counts: Sequence[int], sizes: Sequence[int], claimed: Sequence[tuple[str, str]] = ()
) -> tuple[Finding, Gap]:
    """Returns the sentence on groups a, b, c... of which these differences are claimed."""
    rates = rate_rows(counts, sizes, list("abcdefg"[: len(sizes)]))
    tables = [differences_to_overall(rates), differences_between_groups(rates)]
    table = pd.concat(tables, ignore_index=True)
    pairs = zip(table["group"], table["reference"], strict=True)
    claims = [pair in claimed or pair[::-1] in claimed for pair in pairs]
    table = table.assign(p_report=0.5, claim=claims)
    gaps = records(Gap, claimed_gaps(widest_gaps(rates), table))
    differences = records(Difference, table)
    [finding] = gap_findings(gaps, records(Rate, rates), differences, several=False)
    return finding, gaps[0]


def test_groups_of_which_nothing_is_flagged_are_said_to_hide_a_rate() -> None:
    finding, _ = _said_of_groups([0, 0, 0], [350, 350, 30])
    assert finding == Finding(
        "By group, no image of 3 groups is flagged; a rate of up to 1,135 of every 10,000 may hide "
        "in a group of 30, as c is.",
        claimed=False,
    )


def test_groups_with_one_count_are_said_to_lie_apart_by_as_much_as_they_may() -> None:
    finding, gap = _said_of_groups([2, 2], [350, 350])
    assert gap.difference_high is not None
    assert finding.text == (
        "By group, 2 of 350 of a and 2 of 350 of b are flagged; their true rates may lie up to "
        f"{gap.difference_high * 10_000:.0f} of every 10,000 apart."
    )
    many, _ = _said_of_groups([5, 10, 5], [100, 200, 100])
    assert "their true rates may lie up to" in many.text


def test_a_pair_that_is_claimed_is_named() -> None:
    finding, _ = _said_of_groups([60, 5, 30], [100, 100, 100], [("a", "b")])
    assert finding.claimed
    assert finding.text.startswith(
        "By group, a is flagged more often than b: 60 of 100 against 5 of 100, 5,500 more of "
    )


def test_a_claim_of_one_group_does_not_become_one_of_the_two_furthest_apart() -> None:
    finding, _ = _said_of_groups([30, 12, 20], [100, 100, 100], [("b", OVERALL)])
    assert finding.claimed
    assert finding.text == (
        "By group, groups are shown to differ: b is flagged less often than all others (12 of 100 "
        "against 50 of 200). The highest rate that was counted is that of a (30 of 100), the "
        "lowest that of b (12 of 100): 1,800 more of every 10,000 [418 to 3,115]; that these "
        "differ from each other is not shown, though the interval of that gap, by itself, leaves "
        "out 0."
    )
    other, _ = _said_of_groups([30, 12, 20], [100, 100, 100], [("a", "c")])
    assert "a is flagged more often than c (30 of 100 against 20 of 100)" in other.text


def test_a_small_p_of_all_groups_stands_in_the_sentence_that_claims_nothing() -> None:
    finding, gap = _said_of_groups([40, 12, 20], [100, 100, 100])
    assert gap.p is not None
    assert gap.p < 0.0001
    assert finding.text.endswith(
        "it is not shown that any group differs in the share flagged, corrected over all that "
        "this report tests. The highest rate that was counted is that of a (40 of 100), the lowest "
        "that of b (12 of 100): 2,800 more of every 10,000 [1,329 to 4,128]. One test of all "
        "groups, by itself, gives p < 0.0001: look again on other images."
    )
    assert not finding.claimed
    assert "by itself" not in _said_of_groups([20, 19, 20], [100, 100, 100])[0].text


def test_a_group_that_shares_the_lowest_rate_is_not_named_alone() -> None:
    finding, _ = _said_of_groups([1, 0, 0, 0], [100, 100, 50, 60])
    assert "is that of a (1 of 100), the lowest that of b (0 of 100) and 2 others" in finding.text


@st.composite
def groups_with_claims(draw: st.DrawFn) -> tuple[list[int], list[int], list[tuple[str, str]]]:
    """Draws counts of groups, and any of their differences that are not 0 as claimed."""
    sizes = draw(st.lists(st.sampled_from([1, 29, 30, 50, 350]), min_size=2, max_size=6))
    counts = [
        draw(st.one_of(st.just(0), st.just(min(2, n)), st.just(n), st.integers(0, n)))
        for n in sizes
    ]
    names = "abcdef"[: len(sizes)]
    shares = dict(zip(names, np.divide(counts, sizes), strict=True))
    shares[OVERALL] = sum(counts) / sum(sizes)
    pairs = [(a, b) for a in names for b in (OVERALL, *names) if shares[a] != shares[b]]
    return counts, sizes, draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []


@given(groups_with_claims())
@settings(max_examples=120)
def test_no_sentence_on_groups_contradicts_a_claim(
    drawn: tuple[list[int], list[int], list[tuple[str, str]]],
) -> None:
    counts, sizes, claimed = drawn
    finding, gap = _said_of_groups(counts, sizes, claimed)
    assert not NEVER.search(finding.text)
    shares = dict(zip("abcdef", np.divide(counts, sizes), strict=False))
    shown = re.findall(r"(\w) is flagged (more|less) often than (all others|\w)", finding.text)
    assert bool(shown) == finding.claimed == bool(claimed)
    # Those that are too small to be compared may be the only ones that differ.
    assert gap.claim == bool(claimed) or gap.left_out
    assert finding.claimed or not gap.claim
    for group, direction, other in shown:
        pair = (group, OVERALL if other == "all others" else other)
        assert pair in claimed or pair[::-1] in claimed
        reference = sum(counts) / sum(sizes) if other == "all others" else shares[other]
        assert (shares[group] > reference) == (direction == "more")
    if not claimed and gap.worst is not None and gap.difference:
        assert "it is not shown that any group differs" in finding.text
        small = gap.p is not None and gap.p < 0.05
        assert ("look again" in finding.text) == bool(small or gap.difference_low)
    if claimed:
        assert "any group differs" not in finding.text
        assert "nothing can be said" not in finding.text


def _difference(metric: str, by: str, group: str, count: int, p_report: float, n: int) -> Any:
    return Difference(
        policy="small", by=by, metric=metric, group=group, reference="overall",
        comparison="to_overall", count=count, n=n, reference_count=36, reference_n=700,
        difference=count / n - 36 / 700, difference_low=0, difference_high=1, ratio=2, ratio_low=1,
        ratio_high=3, p=p_report / 10, p_adjusted=p_report / 5, p_report=p_report, support="full",
        claim=p_report < 0.05,
    )  # fmt: skip


def test_the_most_certain_claim_by_category_is_said_with_its_counts() -> None:
    rows = [
        _difference("category:egregious/non-human", "race", "Black", 14, 0.0001, 100),
        _difference("category:egregious/non-human", "age", "3-9", 1, 0.01, 100),
        _difference("category:crime", "race", "White", 50, 0.2, 100),
        # In a benign dataset each flag is false.
        _difference(FALSE_POSITIVE, "race", "Black", 15, 0.0001, 100),
        _difference(FLAG, "race", "Black", 15, 0.0001, 100),
    ]
    said = list(strongest_claims(["small", "other"], rows))
    assert said == [
        Finding(
            "Under small, by race, Black is flagged as egregious/non-human more often than all "
            "others: 14 of 100 against 22 of 600 (the strongest of 2 such claims).",
            claimed=True,
            rows=(rows[0],),
        )
    ]
    same = [row.model_copy(update={"policy": "other"}) for row in rows]
    [both] = strongest_claims(["small", "other"], [*rows, *same])
    assert both.text.startswith("Under small and other, by race, Black is flagged as egregious/")
    # In another, false positives are a claim of their own.
    assert len(list(strongest_claims(["small"], rows[:-1]))) == 2
    flags = [rows[0].model_copy(update={"metric": FLAG}), rows[0]]
    assert not list(strongest_claims(["small"], flags))


def _shift(metric: str, group: str, entered: int, left: int, **changes: Any) -> Shift:
    n = changes.pop("n", 500)
    low, high = map(float, paired_difference(entered, left, n))
    nothing: dict[str, Any] = dict.fromkeys(Shift.model_fields)
    by = OVERALL if group == OVERALL else "race"
    return Shift.model_validate(
        nothing
        | {"before_policy": "old", "after_policy": "new", "matched": False, "by": by}
        | {"group": group, "metric": metric, "n": n, "before_count": 40}
        | {"after_count": 40 + entered - left, "entered": entered, "left": left}
        | {"net": (entered - left) / n, "net_low": low, "net_high": high, "p": 0.5}
        | {"p_report": 0.9, "support": "full" if n >= 30 else "suppressed", "claim": False}
        | changes
    )


def test_a_comparison_says_what_comes_and_goes_of_the_images_whose_truth_is_known() -> None:
    rows = [
        _shift(FALSE_POSITIVE, OVERALL, 11, 22, n=504, claim=True),
        _shift(TRUE_POSITIVE, OVERALL, 0, 1, n=60),
    ]
    assert [finding.text for finding in truth_changes("old", rows)] == [
        "From old to new, of 504 images that should not be flagged under both, 11 come to be "
        "flagged and 22 no longer are: 218 fewer of every 10,000 [−446 to +11].",
        "From old to new, of 60 images that should be flagged under both, 0 come to be flagged "
        "and 1 no longer is: 167 fewer of every 10,000 [−707 to +385], which is not shown to be "
        "more than chance, corrected over all that this report tests.",
    ]
    women = _shift(FALSE_POSITIVE, "women", 2, 12, n=250)
    men = _shift(FALSE_POSITIVE, "men", 9, 10, n=254)
    others = _shift(FALSE_POSITIVE, "others", 9, 0, n=12)
    same = _shift(TRUE_POSITIVE, "women", 0, 0, n=30)
    [by_group, without] = truth_changes("old", [*rows, men, women, others, same])
    assert by_group.text.endswith(
        "[−446 to +11]. By race, come and go: women 2 and 12 of 250, men 9 and 10 of 254."
    )
    assert "come and go" not in without.text
    third = [row.model_copy(update={"after_policy": "newer"}) for row in rows]
    texts = [finding.text for finding in truth_changes("old", [*rows, *third])]
    assert all("flagged under all 3 policies, " in text for text in texts)
    [none] = (each.text for each in harm_changes("old", [_shift(FLAG, OVERALL, 0, 0)], FLAG))
    assert none.startswith("From old to new, of 500 images, 0 come to be flagged and 0 no longer ")
    assert "no net change [" in none
    [few] = (each.text for each in harm_changes("old", [_shift(FLAG, OVERALL, 1, 0, n=1)], FLAG))
    assert few.endswith(
        "of 1 image, 1 comes to be flagged and 0 no longer are, too few images for a claim."
    )
    assert moved(1, 1) == "1 comes to be flagged and 1 no longer is"


def test_images_that_only_some_policies_know_are_said_to_be_left_out() -> None:
    rows = [
        CommonImages(policy="old", metric=FALSE_POSITIVE, n=504, common=500, contradicted=4),
        CommonImages(policy="new", metric=FALSE_POSITIVE, n=1516, common=500, contradicted=0),
        CommonImages(policy="old", metric=TRUE_POSITIVE, n=9, common=0, contradicted=0),
        CommonImages(policy="new", metric=TRUE_POSITIVE, n=0, common=0, contradicted=0),
    ]
    assert list(common_images_sentences(rows)) == [
        "Every policy knows of 500 images that they should not be flagged, and only on these is "
        "that compared: by itself, 504 under old and 1,516 under new (of 4 images another policy "
        "says the opposite).",
        "Of no image every policy knows that it should be flagged, so that is not compared: by "
        "itself, 9 under old and 0 under new.",
    ]
    same = [row.model_copy(update={"n": row.common}) for row in rows]
    assert not list(common_images_sentences(same))


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_no_group_is_said_to_be_unchanged_in_what_one_is_shown_to_change_in(
    claims: list[bool],
) -> None:
    metrics = (FLAG, FALSE_POSITIVE, TRUE_POSITIVE, "category:crime", "category:gone")
    rows = [
        _shift(metric, group, 3 + place, 30, claim=claims[2 * place + second])
        for place, metric in enumerate(metrics)
        for second, group in enumerate("ab")
    ]
    found = list(group_changes("new", rows, {"crime"}))
    said = " ".join(each.text for each in found)
    names = ("the share flagged", "false positives", "true positives", "the share flagged as crime")
    for metric, what in zip(metrics, names, strict=False):
        stands = any(row.claim for row in rows if row.metric == metric)
        assert stands == (f"Shown to change in {what} under new" in said)
        if not metric.startswith("category"):
            denied = re.search(rf"No group is shown to change in [\w ]*{what}( or| under)", said)
            assert stands != bool(denied)
    assert "gone" not in said
    assert [each.claimed for each in found] == sorted((e.claimed for e in found), reverse=True)


def test_a_claim_on_whom_the_policies_flag_at_one_rate_is_said() -> None:
    row = _shift(FLAG, "a", 51, 72, matched=True, claim=True)
    assert [each.text for each in group_changes("new", [row], set())] == [
        "At one overall flag rate, shown to gain or to lose flags against all others under new, "
        "most first: race a (51 entered, 72 left, of 500)."
    ]


def _said_of_strongest(several: bool = False, **changes: Any) -> list[str]:
    """Returns what is said of how far a claim on 14 of 100 against 22 of 600 holds."""
    rates = rate_rows([14, 22], [100, 600], ["a", "b"], metric=changes.pop("metric", FLAG))
    table = differences_to_overall(rates).assign(p_report=0.01, claim=[True, False])
    rows = records(Difference, table)
    of = {name: getattr(rows[0], name) for name in ("policy", "by", "metric", "group")}
    counts = {"count": 14, "n": 100, "others_count": 22, "others_n": 600}
    noise = {"noise": "group", "stands": 301, "redraws": 500, "share": 0.6, "low": 0.5, "high": 0.7}
    points = [
        TippingPoint.model_validate(
            of | counts | {"images": "counted_of_group", "fewest": 2, "of": 14} | each
        )
        for each in changes.pop("points", [{"noise": "group"}])
    ]
    redraws = [
        LabelNoise.model_validate(of | counts | noise | {"replaced": replaced})
        for replaced in (0.05, 0.1)
    ]
    distinct = [
        DistinctClaim.model_validate(
            of
            | {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.2, "p": 0.001}
            | {"support": "indicative"}
            | each
        )
        for each in changes.pop("distinct", [])
    ]
    holds = ClaimsHold(points, redraws, distinct)
    return [each.text for each in robustness_findings(rows[0], holds, several=several)]


def test_a_claim_is_said_to_fall_with_the_fewest_wrong_annotations() -> None:
    assert _said_of_strongest() == [
        "By group, the claim that a is flagged more often than all others no longer stands if 2 of "
        "the 14 images of a that are flagged belong to other groups; with one in ten annotations "
        "of group made wrong at random it stands in 301 of 500 tries."
    ]
    [several] = _said_of_strongest(several=True)
    assert several.startswith("Under small, by group, the claim that a is flagged")


@pytest.mark.parametrize(
    ("images", "fewest", "of", "said"),
    [
        ("counted_of_group", 1, 14, "1 of the 14 images of a that are flagged belongs to other"),
        ("counted_of_group", 1, 1, "1 of the 1 image of a that is flagged belongs to other groups"),
        (
            "counted_of_others",
            3,
            22,
            "3 of the 22 images of other groups that are flagged belong",
        ),
        (
            "uncounted_of_group",
            3,
            86,
            "3 of the 86 images of a that are not flagged belong to",
        ),
        ("uncounted_of_others", 9, 578, "9 of the 578 images of other groups that are not flagged"),
    ],
)
def test_it_is_said_which_images_would_be_wrong(
    images: str, fewest: int, of: int, said: str
) -> None:
    point = {"noise": "group", "images": images, "fewest": fewest, "of": of}
    [text] = _said_of_strongest(points=[point])
    assert said in text


def test_a_wrong_truth_is_said_beside_a_wrong_group() -> None:
    points = [{"noise": "group"}, {"noise": "truth", "fewest": 1}]
    [text] = _said_of_strongest(metric=TRUE_POSITIVE, points=points)
    assert "the claim that a is rightly flagged more often than all others no longer" in text
    assert (
        "2 of the 14 images of a that are rightly flagged belong to other groups, or if 1 of the "
        "14 images of a that are rightly flagged has a wrong truth; with" in text
    )


@pytest.mark.parametrize(("stands", "said"), [(True, "stands"), (False, "no longer stands")])
def test_it_is_said_whether_a_claim_stands_without_near_duplicates(stands: bool, said: str) -> None:
    counts = {"count": 13, "n": 97, "others_count": 22, "others_n": 590, "stands": stands}
    [text] = _said_of_strongest(distinct=[counts])
    assert text.endswith(
        f"tries. Where near-duplicates count once, it {said}: 13 of 97 against 22 of 590."
    )
    unchanged = {"count": 14, "n": 100, "others_count": 22, "others_n": 600, "stands": True}
    [text] = _said_of_strongest(distinct=[unchanged])
    assert text.endswith("tries.")


def test_policies_of_which_a_claim_holds_as_far_are_named_together() -> None:
    rates = [rate_rows([14, 22], [100, 600], ["a", "b"], policy=name) for name in ("one", "two")]
    table = differences_to_overall(pd.concat(rates)).assign(p_report=0.01)
    rows = records(Difference, table.assign(claim=table["group"] == "a"))
    point = {"by": "group", "metric": FLAG, "group": "a", "count": 14, "n": 100, "of": 14}
    point |= {"others_count": 22, "others_n": 600, "noise": "group", "images": "counted_of_group"}
    for fewest, named in ((2, "one and two"), (3, "one")):
        points = [
            TippingPoint.model_validate(point | {"policy": name, "fewest": count})
            for name, count in (("one", 2), ("two", fewest))
        ]
        [said] = robustness_findings(rows[0], ClaimsHold(points), several=True)
        assert said.claimed
        assert said.text.startswith(f"Under {named}, by group, the claim that a is flagged more")


def test_where_nothing_is_claimed_nothing_is_said_of_how_far_it_holds() -> None:
    assert _said_of_strongest(points=[]) == []


def _ablation(change: str, entered: int, left: int, **changes: Any) -> Ablation:
    row = _shift(FLAG, OVERALL, entered, left, **changes).model_dump()
    kept = {name: row[name] for name in Ablation.model_fields if name in row}
    return Ablation.model_validate(kept | {"policy": "small", "kind": "with", "change": change})


def test_the_largest_move_of_many_has_an_interval_for_all_of_them() -> None:
    rows = [_ablation(str(i), 0, 10 + i % 3, claim=True) for i in range(30)]
    [(text, *_)] = largest_move_findings(POLICY, rows)
    low, high = paired_difference(0, 12, 500, simultaneous(0.95, 30))
    bounds = f"[{1e4 * low:,.0f} to {1e4 * high:+,.0f}]".replace("-", "−")
    assert text == (
        "Of 30 changes of other labels and of wording, `with 2` shows the largest net move of the "
        "flags (as do 9 more); of 500 images, 0 come to be flagged and 12 no longer are: 240 fewer "
        f"of every 10,000 {bounds}, an interval that holds for all of them together; the largest "
        "of many looks larger than it is."
    )
    assert f"[{1e4 * paired_difference(0, 12, 500).low:,.0f}" not in text
    [(still, *_)] = largest_move_findings(POLICY, [_ablation("a", 0, 0), _ablation("b", 0, 0)])
    assert "none lets an image come to be flagged or no longer be" in still
    [(one, *_)] = largest_move_findings(POLICY, [_ablation("a", 0, 3, n=20)])
    assert one.endswith("0 come to be flagged and 3 no longer are, too few images for a claim.")
    assert not list(largest_move_findings(POLICY, []))


def _half(half: Any, entered: int, left: int) -> SplitHalf:
    low, high = map(float, paired_difference(entered, left, 350))
    return SplitHalf(
        policy="small", change="with hat", searched=4, half=half, n=350, before_count=80,
        after_count=80 + entered - left, entered=entered, left=left, net=(entered - left) / 350,
        net_low=low, net_high=high,
    )  # fmt: skip


def test_the_half_that_was_held_out_speaks_for_a_change_that_lowers_flags() -> None:
    [text] = held_out_sentences([_half("chosen on", 0, 84), _half("held out", 0, 79)])
    assert text.startswith(
        "Chosen among 4 on one half of the images, `with hat` lowers the flags most there; on the "
        "other half, of 350 images, 0 come to be flagged and 79 no longer are: 2,257 fewer of "
    )
    [none] = held_out_sentences([_half("chosen on", 2, 2), _half("held out", 0, 5)])
    assert none.startswith("None of 4 changes that were searched lowers the flags on the half")
    alone = [half.model_copy(update={"searched": 1})
             for half in (_half("chosen on", 0, 0), _half("held out", 0, 5))]  # fmt: skip
    assert list(held_out_sentences(alone)) == [
        "The 1 change that was searched does not lower the flags on the half of the images that it "
        "was tried on (350 images)."
    ]
    assert not list(held_out_sentences([]))


def _wording_gap(kind: Any, mean: float, **changes: Any) -> WordingGap:
    row = WordingGap(
        policy="small", kind=kind, by="race", comparison="between_groups", group="a", n=100,
        reference="b", reference_n=100, wordings=9, own=0.04, lowest=-0.019, mean=mean,
        highest=0.113, low=0.0123, high=0.0987, images_low=0.02, images_high=0.09,
        of_wordings=0.2, together=21, undefined=None, support="full",
    )  # fmt: skip
    return row.model_copy(update=changes)


def test_the_widest_mean_gap_of_each_kind_of_wording_is_said_with_its_interval() -> None:
    rows = [
        _wording_gap("template", 0.056),
        _wording_gap("template", 0.04),
        _wording_gap("template", 0.3, low=None, high=None, undefined="fewer than 30 images"),
        _wording_gap("template", 0.2, comparison="to_others"),
        _wording_gap("article", 0.01, low=-0.03, by="gender", wordings=3, together=1),
        _wording_gap("synonym", 0.0),
    ]
    found = list(wording_gap_findings(rows))
    assert [each.claimed for each in found] == [True, False]
    assert [each.text for each in found] == [
        "Averaged over 9 templates, the gap by race in the share flagged is widest between a and "
        "b: 560 of every 10,000 [+123 to +987, for other wordings as well as other images and for "
        "all 21 pairs together]. With a single one it lies between −190 and +1,130.",
        "Averaged over 3 uses of articles, the gap by gender in the share flagged is widest "
        "between a and b: 100 of every 10,000 [−300 to +987, for other wordings as well as other "
        "images], so no gap is shown. With a single one it lies between −190 and +1,130.",
    ]


@pytest.mark.parametrize(
    ("count", "n", "end"), [(1, 1, "1 of 1 flag."), (33, 66, "33 of 66 flags (50.0 %).")]
)
def test_a_share_of_few_hits_is_not_said(count: int, n: int, end: str) -> None:
    row = Carried(policy="small", category="x", label="y", count=count, n=n, share=count / n,
                  low=0, high=1)  # fmt: skip
    [text] = carried_sentences([row])
    assert text.endswith(end)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("searched", "entered", "left"), [(30, 0.005, 0.025), (30, 0.0, 0.02), (4, 0.1, 0.12)]
)
def test_the_largest_of_many_equal_moves_lies_in_its_interval_and_looks_larger(
    searched: int, entered: float, left: float
) -> None:
    rng = np.random.default_rng(searched)
    draws, n, true = 400, 700, round(1e4 * (entered - left))
    nets, held, alone = [], [], []
    for _ in range(draws):
        moves = rng.multinomial(n, [entered, left, 1 - entered - left], searched)[:, :2]
        rows = [_ablation(str(i), int(e), int(o), n=n) for i, (e, o) in enumerate(moves)]
        [(text, *_)] = largest_move_findings(POLICY, rows)
        low, high = re.findall(r"[−+]?[\d,]+", text.partition("[")[2].partition("]")[0])
        bounds = [int(each.replace("−", "-").replace(",", "")) for each in (low, high)]
        held.append(bounds[0] <= true <= bounds[1])
        top = moves[int(np.abs(moves[:, 0] - moves[:, 1]).argmax())]
        nets.append(1e4 * (int(top[0]) - int(top[1])) / n)
        one = paired_difference(int(top[0]), int(top[1]), n)
        alone.append(1e4 * one.low <= true <= 1e4 * one.high)
    assert np.mean(nets) < true - 30  # the winner's curse
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / draws)
    assert np.mean(alone) < np.mean(held)  # the interval of one change by itself is too narrow
