"""A policy checked against limits: pass, fail, insufficient data, and never a silent pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.datasets.groups import Groups
from audit.errors import LimitsError
from audit.gate.checks import Check, check_limits, worst_status
from audit.gate.counts import GateCounts, GateMarks, UnknownTruth, gate_counts
from audit.gate.limits import LIMITS, Limits, load_limits, refuse_unknown_groups
from audit.statistics.intervals import LEVEL, exact, simultaneous

TEXT = """\
schema_version: 1
metric: false_positive_rate
sensitive_features: [race, "race × gender", "age,gender"]
worst_group_rate: 0.05
"""


cells = st.lists(st.tuples(st.integers(0, 400), st.integers(400, 900)), min_size=2, max_size=5)


def _limits(**limits: Any) -> Limits:
    return Limits(schema_version=1, sensitive_features=("race",), **limits)


def _counts(
    *cells: tuple[int, int],
    changed: int = 0,
    small: tuple[str, ...] = (),
    missing: tuple[int, ...] = (),
) -> GateCounts:
    count, n = np.array(cells, np.float64).reshape(-1, 2).T
    return GateCounts(
        by="race",
        names=tuple(f"g{i}" for i in range(len(cells))),
        count=count,
        n=n,
        entered=np.full(len(cells), float(changed)),
        left=np.zeros(len(cells)),
        missing=np.array(missing or [0] * len(cells), np.float64),
        too_small=dict.fromkeys(small, 12),
        left_out={f"g{i}": (lost, lost + cells[i][1]) for i, lost in enumerate(missing) if lost},
    )


def _only(counts: GateCounts, **limits: Any) -> Check:
    [check] = check_limits(counts, counts, _limits(**limits), unchanged=False, recall=counts)
    return check


@pytest.mark.parametrize(
    ("limits", "cells", "status"),
    [
        ({"worst_group_rate": 0.05}, [(10, 1000), (20, 1000)], "pass"),
        ({"worst_group_rate": 0.05}, [(10, 1000), (100, 1000)], "fail"),
        ({"worst_group_rate": 0.05}, [(10, 1000), (45, 1000)], "insufficient data"),
        ({"gap": 0.05}, [(10, 1000), (20, 1000)], "pass"),
        ({"gap": 0.05}, [(10, 1000), (120, 1000)], "fail"),
        ({"gap": 0.05}, [(10, 1000), (55, 1000)], "insufficient data"),
        ({"ratio": 2.0}, [(500, 1000), (520, 1000)], "pass"),
        ({"ratio": 1.25}, [(10, 1000), (100, 1000)], "fail"),
        ({"ratio": 1.25}, [(0, 1000), (0, 1000)], "insufficient data"),
        ({"pass_ratio": 0.8}, [(10, 1000), (20, 1000)], "pass"),
        ({"pass_ratio": 0.8}, [(10, 1000), (400, 1000)], "fail"),
        ({"pass_ratio": 0.8}, [(10, 1000), (195, 1000)], "insufficient data"),
    ],
)
def test_a_limit_is_passed_failed_or_not_shown(
    limits: dict[str, float], cells: list[tuple[int, int]], status: str
) -> None:
    check = _only(_counts(*cells), **limits)
    assert check.status == status
    assert check.reason or status != "insufficient data"


@pytest.mark.parametrize(
    ("changed", "status"), [(0, "pass"), (200, "fail"), (20, "insufficient data")]
)
def test_a_rise_over_the_baseline_is_checked_by_its_paired_interval(
    changed: int, status: str
) -> None:
    check = _only(_counts((200, 1000), (200, 1000), changed=changed), regression=0.02)
    assert check.status == status


@pytest.mark.parametrize(
    ("limit", "kept", "broken"),
    [
        ("worst_group_rate", 0.545, 0.470),
        ("gap", 0.058, 0.155),
        ("ratio", 1.12, 1.45),
        ("pass_ratio", 0.89, 0.78),
        ("regression", 0.009, 0.04),
        ("recall_floor", 0.465, 0.34),
        ("recall_gap", 0.058, 0.155),
    ],
)
def test_every_limit_is_checked_at_the_level_that_is_asked_for(
    limit: str, kept: float, broken: float
) -> None:
    # At 95 % it is just shown that the limit is kept, or broken; at a higher level neither is.
    alike = _counts((500, 1000), (510, 1000), changed=3)
    unlike = _counts((300, 1000), (510, 1000), changed=60)
    for counts, allowed, shown in ((alike, kept, "pass"), (unlike, broken, "fail")):
        for level, status in ((LEVEL, shown), (0.9999, "insufficient data")):
            given = _limits(**{limit: allowed})
            [check] = check_limits(
                counts, counts, given, unchanged=False, recall=counts, level=level
            )
            assert check.status == status
            assert check.level == (simultaneous(level, 2) if status == "fail" else level)


@pytest.mark.parametrize("limit", ["worst_group_rate", "gap", "pass_ratio", "regression"])
def test_nothing_passes_where_no_level_is_left(limit: str) -> None:
    counts, given = _counts((0, 10**6), (0, 10**6)), _limits(**{limit: 0.5})
    for level, status in ((LEVEL, "pass"), (1.0, "insufficient data")):
        [check] = check_limits(counts, counts, given, unchanged=False, recall=counts, level=level)
        assert check.status == status
        for said in (check.reason, check.obstacle):
            assert ("no level is left" in said) == (level == 1)


def test_a_policy_that_is_its_baseline_has_no_regression_whatever_the_limit() -> None:
    counts, limits = _counts((5, 50)), _limits(regression=0.0)
    statuses = [
        check.status
        for unchanged in (True, False)
        for check in check_limits(counts, counts, limits, unchanged=unchanged, recall=counts)
    ]
    assert statuses == ["pass", "insufficient data"]


def test_small_groups_forbid_a_pass_and_do_not_hide_a_failure() -> None:
    fine, broken = [(10, 1000)], [(10, 1000), (200, 1000)]
    limits = {"worst_group_rate": 0.05}
    check = _only(_counts(*fine, small=("g9",)), **limits)
    assert check.status == "insufficient data"
    assert "g9" in check.reason
    assert _only(_counts(*broken, small=("g9",)), **limits).status == "fail"
    assert _only(_counts(small=("g8", "g9")), **limits).status == "insufficient data"


def test_a_gap_needs_two_groups_and_a_limit_one_and_the_reason_says_what_to_do() -> None:
    check = _only(_counts((10, 1000)), gap=0.5)
    assert (check.status, check.reason) == (
        "insufficient data",
        "gap compares two groups, and of race only g0 is checked: name a feature with two groups "
        "or more, and not all but one in ignored_groups",
    )
    part = Groups("race", ("a", "b"), np.arange(800) % 2)
    marks = GateMarks.of_known(np.arange(800) < 10, np.ones(800, bool))
    for limits in ({"gap": 0.5}, {"worst_group_rate": 0.5}):
        ignoring = _limits(ignored_groups=("a", "b"), **limits)
        check = _only(gate_counts(part, marks, marks, ignoring), **limits)
        assert check.status == "insufficient data"
        assert check.reason == "ignored_groups names every group of race: name fewer there"


def test_a_reason_says_how_many_images_there_are_and_what_to_do() -> None:
    check = _only(_counts((10, 1000), (45, 1000)), worst_group_rate=0.05)
    assert check.reason == (
        "the limit lies within the interval: the figure lies too near it for 1,000 images of g1. "
        "Add images of g1, or set another limit"
    )
    check = _only(_counts((0, 1000), (0, 1000)), worst_group_rate=0.0)
    assert check.reason.endswith("No number of images shows it: set another limit")
    part = Groups("race", ("south", "north"), (np.arange(800) >= 788).astype(int))
    marks = GateMarks.of_known(np.arange(800) < 0, np.ones(800, bool))
    limits = {"worst_group_rate": 0.05, "min_group_size": 50}
    check = _only(gate_counts(part, marks, marks, _limits(**limits)), **limits)
    assert check.reason == (
        "too few images of north (12): min_group_size asks for 50 of each. "
        "Add images of them, or name them in ignored_groups"
    )


def test_of_hundreds_of_groups_six_are_named_and_the_others_counted() -> None:
    small = tuple(f"s{i}" for i in range(300))
    check = _only(_counts((10, 1000), small=small), worst_group_rate=0.05)
    assert "s5 (12) and 294 other groups: " in check.reason
    assert "s6" not in check.reason
    check = _only(_counts(*[(0, 100)] * 60), ratio=2.0)
    assert "no image of g0, g1, g2, g3, g4, g5 and 54 other groups is flagged" in check.reason


def test_an_answer_names_its_group_with_the_interval_that_decided() -> None:
    check = _only(_counts((10, 1000), (200, 1000), (12, 1000)), worst_group_rate=0.05)
    strict = simultaneous(LEVEL, 3)
    assert (check.group, check.level) == ("g1", strict)
    assert [check.low, check.high] == pytest.approx([*map(float, exact(200, 1000, strict))])
    check = _only(_counts((10, 1000), (20, 1000), (12, 1000)), worst_group_rate=0.05)
    assert (check.status, check.group, check.level) == ("pass", "g1", LEVEL)
    assert [check.low, check.high] == pytest.approx([*map(float, exact(20, 1000))])
    check = _only(_counts((10, 1000), (400, 1000)), pass_ratio=0.8)
    assert check.group == "g1 against g0"
    assert check.value == pytest.approx(0.6 / 0.99)
    assert check.low < check.value < check.high < 0.8
    assert check.level == simultaneous(LEVEL, 2)


def test_a_limit_broken_at_95_per_cent_alone_is_too_little_data_with_both_intervals_said() -> None:
    counts = _counts(*[(68, 1000)] * 7)
    check = _only(counts, worst_group_rate=0.05)
    assert (check.status, check.level) == ("insufficient data", LEVEL)
    assert check.low > 0.05
    low, high = exact(68, 1000, simultaneous(LEVEL, 7))
    said = f"among 7 groups a fail takes that at 99.29 %, [{100 * low:.2f} %, {100 * high:.2f} %]"
    assert said in check.reason
    assert "lies within" not in check.reason


@pytest.mark.parametrize(
    ("limits", "cells", "missing", "status"),
    [
        ({"worst_group_rate": 0.05}, [(10, 1000), (20, 1000)], (0, 5), "pass"),
        ({"worst_group_rate": 0.05}, [(10, 1000), (20, 1000)], (0, 40), "insufficient data"),
        ({"worst_group_rate": 0.05}, [(10, 1000), (100, 1000)], (0, 100), "fail"),
        ({"worst_group_rate": 0.05}, [(10, 1000), (100, 1000)], (0, 1000), "insufficient data"),
        ({"gap": 0.05}, [(10, 1000), (20, 1000)], (5, 5), "pass"),
        ({"gap": 0.05}, [(10, 1000), (20, 1000)], (60, 0), "insufficient data"),
        ({"gap": 0.05}, [(10, 1000), (120, 1000)], (0, 2000), "insufficient data"),
        ({"ratio": 2.0}, [(500, 1000), (520, 1000)], (10, 0), "pass"),
        ({"ratio": 2.0}, [(500, 1000), (520, 1000)], (0, 900), "insufficient data"),
        ({"ratio": 1.25}, [(10, 1000), (100, 1000)], (300, 0), "insufficient data"),
        ({"pass_ratio": 0.8}, [(10, 1000), (20, 1000)], (0, 20), "pass"),
        ({"pass_ratio": 0.8}, [(10, 1000), (20, 1000)], (0, 300), "insufficient data"),
        ({"pass_ratio": 0.8}, [(10, 1000), (400, 1000)], (0, 900), "insufficient data"),
        ({"recall_floor": 0.8}, [(950, 1000), (900, 1000)], (0, 20), "pass"),
        ({"recall_floor": 0.8}, [(950, 1000), (900, 1000)], (0, 200), "insufficient data"),
        ({"recall_gap": 0.2}, [(950, 1000), (900, 1000)], (0, 300), "insufficient data"),
    ],
)
def test_images_that_were_left_out_take_an_answer_away_only_where_they_could_turn_it(
    limits: dict[str, float], cells: list[tuple[int, int]], missing: tuple[int, ...], status: str
) -> None:
    check = _only(_counts(*cells, missing=missing), **limits)
    assert check.status == status
    whole = _only(_counts(*cells), **limits)
    assert whole.status != "insufficient data"
    for group, lost in enumerate(missing):
        if status == "insufficient data" and lost:
            assert f"of g{group} {lost:,} of {lost + cells[group][1]:,} images" in check.reason
            assert f"without them this is a {whole.status}" in check.reason
            assert check.least < whole.value < check.most


def test_a_fail_is_corrected_over_groups_that_may_come_to_be_large_enough() -> None:
    """Six of 100 break a limit of 2 % by themselves, and do not among two groups."""
    flags, codes = np.arange(128) < 6, np.repeat([0, 1], (100, 28))
    every = np.ones(128, bool)
    marks = GateMarks.of_known(flags, every)
    for left_out, status in (((0, 0), "fail"), ((0, 1), "fail"), ((0, 5), "insufficient data")):
        part = Groups("race", ("a", "b"), codes, left_out)
        counts = gate_counts(part, marks, marks, _limits(worst_group_rate=0.02))
        check = _only(counts, worst_group_rate=0.02)
        assert check.status == status
    assert (
        "of b 5 of 33 images were left out: without them this is a fail, but with them more "
        in (check.reason)
    )


#: The limits that are hardest to break, and hardest to keep.
EXTREMES = {
    "worst_group_rate": (0.999, 0.0),
    "gap": (0.999, 0.0),
    "ratio": (1e9, 1.0),
    "pass_ratio": (1e-9, 1.0),
    "regression": (0.999, 0.0),
    "recall_floor": (1e-9, 1.0),
}


@given(cells, st.lists(st.sampled_from([0, 40]), min_size=5, max_size=5), st.data())
def test_an_answer_holds_whatever_the_images_were_that_were_left_out(
    groups: list[tuple[int, int]], lost: list[int], data: st.DataObject
) -> None:
    missing = tuple(lost[: len(groups)])
    hits = np.array([data.draw(st.sampled_from([0, m // 2, m])) for m in missing], float)
    seen = _counts(*groups, missing=missing)
    whole = replace(
        _counts(*groups),
        count=seen.count + hits,
        n=seen.n + missing,
        entered=hits,
        left=missing - hits,
    )
    limit = data.draw(st.sampled_from(list(EXTREMES)))
    from_below = limit in ("pass_ratio", "recall_floor")
    for allowed, status in zip(EXTREMES[limit], ("pass", "fail"), strict=True):
        check = _only(seen, **{limit: allowed})
        if check.status != status:
            continue
        # The limit at which the answer is only just still this.
        edge = check.low if from_below == (status == "pass") else check.high
        nudged = edge * (1 + (1e-6 if (status == "pass") != from_below else -1e-6))
        if (limit == "ratio" and nudged >= 1) or (limit != "ratio" and 0 < nudged < 1):
            assert _only(seen, **{limit: nudged}).status == status
            assert _only(whole, **{limit: nudged}).status == status


def test_a_rise_counts_what_was_left_out_as_entered_or_as_left() -> None:
    steady, risen = (_counts((200, 1000), (200, 1000), changed=k) for k in (0, 200))
    assert _only(_lost(steady, 5), regression=0.02).status == "pass"
    check = _only(_lost(steady, 30), regression=0.02)
    assert check.status == "insufficient data"
    assert "anywhere from -2.91 % to 2.91 %" in check.reason
    assert _only(_lost(risen, 100), regression=0.02).status == "fail"
    assert _only(_lost(risen, 1000), regression=0.02).status == "insufficient data"


def _lost(counts: GateCounts, lost: int) -> GateCounts:
    return replace(counts, missing=np.full(len(counts.n), float(lost)), unplaced=lost)


def test_an_image_of_an_unknown_group_may_be_of_any() -> None:
    part = Groups("race", ("a", "b"), np.arange(1000) % 2, left_out=(0, 3), unplaced=30)
    marks = GateMarks.of_known(np.arange(1000) < 10, np.ones(1000, bool))
    limits = _limits(worst_group_rate=0.05)
    counts = gate_counts(part, marks, marks, limits)
    assert counts.missing.tolist() == [30, 33]
    [check] = check_limits(counts, counts, limits, unchanged=False, recall=counts)
    assert check.status == "insufficient data"
    assert (check.missing, check.most) == (33, 38 / 533)
    assert "of b 3 of 503 images and 30 images whose group is not known" in check.reason


def _unknown(counts: GateCounts, *unknown: tuple[int, int]) -> GateCounts:
    """Returns counts with so many images of unknown truth that are flagged, and that are not."""
    hits, misses = np.array(unknown, np.float64).T
    untold = {f"g{i}": (sum(each), sum(each) + int(counts.n[i])) for i, each in enumerate(unknown)}
    truth = UnknownTruth(hits, misses, hits, np.zeros_like(hits))
    return replace(counts, unknown=truth, untold={k: v for k, v in untold.items() if v[0]})


@pytest.mark.parametrize(
    ("limits", "unknown", "status"),
    [
        ({"recall_floor": 0.8}, (0, 10), "pass"),
        ({"recall_floor": 0.8}, (400, 0), "pass"),  # flagged: they could only raise it
        ({"recall_floor": 0.8}, (0, 200), "insufficient data"),
        ({"recall_floor": 0.95}, (0, 400), "fail"),  # not flagged: they could only lower it
        ({"recall_floor": 0.95}, (4000, 0), "insufficient data"),
        ({"recall_gap": 0.2}, (0, 400), "insufficient data"),
        ({"metric": "true_positive_rate", "gap": 0.2}, (0, 400), "insufficient data"),
        ({"metric": "true_positive_rate", "ratio": 1.25}, (0, 400), "insufficient data"),
    ],
)
def test_images_of_unknown_truth_take_an_answer_away_only_where_they_could_turn_it(
    limits: dict[str, Any], unknown: tuple[int, int], status: str
) -> None:
    known = _counts((1000, 1000), (900, 1000))
    whole = _only(known, **limits)
    check = _only(_unknown(known, (0, 0), unknown), **limits)
    assert (whole.status, check.status) != ("insufficient data", status)
    assert check.status == status
    if status == "insufficient data":
        lost = sum(unknown)
        assert (
            f"of g1 the truth of {lost:,} of {lost + 1000:,} images is not known: "
            f"without them this is a {whole.status}" in check.reason
        )
        assert "--truth CLASS=LABEL or CLASS=allow" in check.reason
        assert check.unknown == lost
        assert check.least <= whole.value <= check.most


@given(
    cells, st.lists(st.tuples(*[st.sampled_from([0, 40])] * 2), min_size=5, max_size=5), st.data()
)
def test_an_answer_holds_whatever_the_truth_is_of_which_it_was_not_known(
    groups: list[tuple[int, int]], unknown: list[tuple[int, int]], data: st.DataObject
) -> None:
    known = _counts(*groups)
    seen = _unknown(known, *unknown[: len(groups)])
    hits, misses = np.array(
        [[data.draw(st.sampled_from([0, m // 2, m])) for m in each] for each in unknown], float
    )[: len(groups)].T
    whole = replace(known, count=known.count + hits, n=known.n + hits + misses, entered=hits)
    limit = data.draw(st.sampled_from([*EXTREMES, "recall_gap"]))
    allowed = data.draw(st.floats(0.01, 0.99))
    allowed = 1 / allowed if limit == "ratio" else allowed
    check = _only(seen, **{limit: allowed})
    if check.status != "insufficient data":
        assert _only(whole, **{limit: allowed}).status == check.status


def test_a_rise_counts_images_of_unknown_truth_by_whether_their_flag_changes() -> None:
    n = 1000
    part, truth = Groups("race", ("a",), np.zeros(n, int)), np.arange(n) < 500
    flagged = np.arange(n) % 2 == 0
    for changed, status in ((0, "pass"), (100, "insufficient data")):
        after = GateMarks(flagged | (np.arange(n) >= n - changed), truth, ~truth)
        counts = gate_counts(
            part, after, GateMarks(flagged, truth, ~truth), _limits(regression=0.05), shared=True
        )
        assert counts.n.tolist() == [500]
        assert counts.unknown.entered.tolist() == [changed / 2]
        assert _only(counts, regression=0.05).status == status


@pytest.mark.parametrize("limit", LIMITS)
def test_a_group_that_is_missing_as_a_whole_never_passes(limit: str) -> None:
    part = Groups("race", ("a", "b", "c"), np.arange(800) % 2, left_out=(0, 0, 400))
    marks = GateMarks.of_known(np.arange(800) < 760, np.ones(800, bool))
    allowed = {"ratio": 99.0, "pass_ratio": 0.01, "recall_floor": 0.01}.get(limit, 0.99)
    limits = _limits(**{limit: allowed})
    counts = gate_counts(part, marks, marks, limits)
    [check] = check_limits(counts, counts, limits, unchanged=False, recall=counts)
    assert check.status == "insufficient data"
    assert "too few images of c (0; 400 of 400 were left out)" in check.reason
    there = gate_counts(replace(part, names=("a", "b"), left_out=()), marks, marks, limits)
    [check] = check_limits(there, there, limits, unchanged=False, recall=there)
    assert check.status == "pass"


@pytest.mark.parametrize(
    ("limits", "cells", "status"),
    [
        ({"recall_floor": 0.8}, [(950, 1000), (900, 1000)], "pass"),
        ({"recall_floor": 0.8}, [(950, 1000), (700, 1000)], "fail"),
        ({"recall_floor": 0.8}, [(950, 1000), (810, 1000)], "insufficient data"),
        ({"recall_gap": 0.1}, [(950, 1000), (930, 1000)], "pass"),
        ({"recall_gap": 0.1}, [(950, 1000), (700, 1000)], "fail"),
        ({"recall_gap": 0.1}, [(950, 1000), (860, 1000)], "insufficient data"),
    ],
)
def test_recall_has_limits_beside_whatever_metric_there_is(
    limits: dict[str, float], cells: list[tuple[int, int]], status: str
) -> None:
    flags, recall = _counts((10, 1000), (10, 1000)), _counts(*cells)
    given = _limits(worst_group_rate=0.05, **limits)
    first, check = check_limits(flags, flags, given, unchanged=False, recall=recall)
    assert (first.metric, first.status) == ("selection_rate", "pass")
    assert (check.metric, check.status) == ("true_positive_rate", status)
    if "recall_floor" in limits:
        assert check.group == "g1"
        assert check.value == pytest.approx(cells[1][0] / 1000)
        assert check.low < check.value < check.high


def test_a_policy_that_flags_nothing_passes_no_limit_on_recall() -> None:
    nothing = _counts((0, 500), (0, 500))
    assert _only(nothing, recall_floor=0.05).status == "fail"
    assert _only(_counts((0, 30), (0, 30)), recall_floor=0.05).status == "insufficient data"
    for limits in (
        {"recall_gap": 0.1},
        {"metric": "true_positive_rate", "gap": 0.1},
        {"metric": "true_positive_rate", "ratio": 2.0},
    ):
        check = _only(nothing, **limits)
        assert check.status == "insufficient data"
        assert "no image of any group that should be flagged is flagged" in check.reason
        assert "Limit recall_floor too" in check.reason
        assert ("a ratio of nothing to nothing says nothing" in check.reason) == ("ratio" in limits)


def test_a_ratio_of_nothing_to_nothing_is_said_to_be_that() -> None:
    remedy = "limit gap or worst_group_rate instead"
    check = _only(_counts((0, 350), (0, 350)), ratio=1.25)
    both = "no image of g0 or g1 is flagged, and a ratio of nothing to nothing says nothing"
    assert (check.status, check.reason) == ("insufficient data", f"{both}: {remedy}")
    check = _only(_counts((0, 350), (5, 350)), ratio=1.25)
    one = "no image of g0 is flagged, so a ratio to it has no upper bound"
    assert check.reason == f"{one}: {remedy}"
    check = _only(_counts((0, 350), (1, 350)), ratio=1.25)
    within = "of other pairs the limit lies within the interval"
    assert check.reason.startswith(f"{one}: {remedy}; {within}: ")
    assert _only(_counts((0, 350), (20, 350)), ratio=1.25).status == "fail"
    check = _only(_counts((350, 350), (350, 350)), pass_ratio=0.8)
    assert check.reason.startswith("every image of g0 or g1 is flagged, and a ratio of nothing")
    check = _only(_counts((0, 350), (0, 350)), metric="category:person", ratio=1.25)
    assert check.reason.startswith("no image of g0 or g1 counts under category:person")


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "insufficient data"], "insufficient data"),
        (["insufficient data", "fail", "pass"], "fail"),
        ([], "insufficient data"),
    ],
)
def test_the_worst_status_counts_and_no_check_is_not_a_pass(
    statuses: list[str], status: str
) -> None:
    checks = [Check("gap", "race", 0.1, each, "g", 0, 0, 0, 1) for each in statuses]  # type: ignore[arg-type]
    assert worst_status(checks) == status


@given(cells, st.sampled_from(["worst_group_rate", "gap", "pass_ratio"]), st.floats(0.01, 0.9))
def test_a_looser_limit_never_turns_a_pass_into_less(
    groups: list[tuple[int, int]], limit: str, allowed: float
) -> None:
    order = ["fail", "insufficient data", "pass"]
    looser = allowed * 0.9 if limit == "pass_ratio" else min(0.99, allowed * 1.1)
    tight, loose = (_only(_counts(*groups), **{limit: each}) for each in (allowed, looser))
    assert order.index(loose.status) >= order.index(tight.status)


@given(cells, st.sampled_from(["worst_group_rate", "gap", "pass_ratio", "regression"]))
def test_the_order_of_groups_changes_no_answer(groups: list[tuple[int, int]], limit: str) -> None:
    one, other = (
        _only(_counts(*order), **{limit: 0.3}) for order in (groups, list(reversed(groups)))
    )
    assert one.status == other.status


def test_a_policy_beyond_the_limit_passes_at_most_at_the_stated_rate() -> None:
    rng = np.random.default_rng(6)
    draws, passes = 1000, 0
    for _ in range(draws):
        hits = rng.binomial(1000, [0.05, 0.02, 0.02])
        check = _only(_counts(*((h, 1000) for h in hits)), worst_group_rate=0.0499)
        passes += check.status == "pass"
    # One-sided 0.025, and three standard errors.
    assert passes / draws <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / draws)


def test_limits_are_read_with_intersections_in_either_spelling(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(TEXT, encoding="utf-8")
    limits = load_limits(tmp_path / "limits.yaml")
    assert limits.by == [("race",), ("race", "gender"), ("age", "gender")]
    assert limits.metric == "false_positive_rate"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("worst_group_rate: 0.05", ""), "there is no limit in it"),
        (("worst_group_rate: 0.05", "worst_group_rate: 5"), "limits.yaml:4:"),
        (("worst_group_rate", "worst_group"), "Did you mean 'worst_group_rate'"),
        (("schema_version: 1", "schema_version: 2"), "schema_version is 2, and"),
        (("schema_version: 1", "schema_version: true"), "schema_version is true, and"),
        (("worst_group_rate: 0.05", "worst_group_rate: 0,05"), "Write 0.05, with a point"),
        (("schema_version: 1", "schema_version: 0x1"), "limits.yaml:1:17: 0x1 would be read as 1"),
        (('sensitive_features: [race, "race × gender", "age,gender"]', ""), "sensitive_features"),
        (("worst_group_rate: 0.05", "ratio: 0.5"), "limits.yaml:4:"),
        (("metric:", "metric: [:"), "limits.yaml:2:"),
        (("worst_group_rate: 0.05", "min_group_size: 3\ngap: 0.1"), "limits.yaml:4:"),
        (("worst_group_rate: 0.05", "worst_group_rate: 1"), "Use less than 1"),
        (("worst_group_rate: 0.05", "pass_ratio: 0"), "Use more than 0"),
        (('"age,gender"', '"gender, race"'), "named twice"),
        (("false_positive_rate", "true_positive_rate"), "would fail an improvement"),
        (("false_positive_rate", "action:allow"), "would fail an improvement"),
        (("false_positive_rate", "label:cat"), "not a harm by itself"),
    ],
)
def test_limits_that_cannot_be_used_are_refused_with_their_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(TEXT.replace(*change), encoding="utf-8")
    with pytest.raises(LimitsError) as caught:
        load_limits(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "held"),
    [("", "nothing"), ("# no limits\n", "nothing"), ("- gap", "a list"), ("gap", "gap")],
)
def test_a_file_without_keys_is_refused_as_limits(tmp_path: Path, text: str, held: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LimitsError) as caught:
        load_limits(path)
    message = f"{path}:1:1: a file of limits is a mapping of keys to values, but this file holds"
    assert str(caught.value).startswith(f"{message} {held}. Start")
    assert "policy" not in str(caught.value).removeprefix(str(path))


def test_a_rise_is_checked_on_images_whose_truth_both_policies_know() -> None:
    n = 700
    part = Groups("g", ("a", "b"), np.arange(n) % 2)
    known, everything = np.arange(n) < 10, np.ones(n, bool)
    flagged, none = np.arange(n) < 5, np.zeros(n, bool)
    limits = _limits(regression=0.05)
    new, old = GateMarks.of_known(flagged, everything), GateMarks.of_known(none, known)
    shared = gate_counts(part, new, old, limits, shared=True)
    assert shared.too_small == {"a": 5, "b": 5}
    counts = gate_counts(part, new, old, limits)
    [check] = check_limits(counts, shared, limits, unchanged=False, recall=counts)
    assert check.status == "insufficient data"
    assert "too few images of a (5), b (5): min_group_size asks for 30 of each" in check.reason


def test_an_unknown_group_to_ignore_is_refused_and_a_known_one_is_left_out() -> None:
    part = Groups("race", ("a", "b"), np.arange(80) % 2)
    refuse_unknown_groups(_limits(gap=0.1, ignored_groups=("b",)), [part])
    with pytest.raises(LimitsError, match="no group B to ignore"):
        refuse_unknown_groups(_limits(gap=0.1, ignored_groups=("B",)), [part])
    all_of_b = GateMarks.of_known(part.codes > 0, part.codes >= 0)
    limits = _limits(worst_group_rate=0.5, ignored_groups=("b",))
    counts = gate_counts(part, all_of_b, all_of_b, limits)
    assert counts.names == ("a",)


def test_a_group_to_ignore_may_be_typed_in_another_spelling_of_unicode() -> None:
    part = Groups("region", ("M\u00e9tis", "b"), np.arange(80) % 2)
    limits = _limits(gap=0.1, ignored_groups=("Me\u0301tis",))
    refuse_unknown_groups(limits, [part])
    assert limits.ignored_groups == ("M\u00e9tis",)
    with pytest.raises(LimitsError) as caught:
        refuse_unknown_groups(_limits(gap=0.1, ignored_groups=("x" * 10**6,)), [part])
    assert len(str(caught.value)) < 1500


def test_a_ratio_without_a_bound_is_nearest_to_its_limit() -> None:
    check = _only(_counts((0, 100), (1, 100), (0, 100)), ratio=2.0)
    assert check.group in ("g1 against g0", "g1 against g2", "g0 against g2", "g2 against g0")
    assert not np.isfinite(check.high)


def test_a_missing_limits_file_is_refused() -> None:
    with pytest.raises(LimitsError, match="cannot be read"):
        load_limits(Path("nowhere.yaml"))


def test_every_limit_is_a_key_of_the_file() -> None:
    assert set(LIMITS) < set(Limits.model_fields)
    assert json.dumps(_limits(gap=0.1).model_dump(mode="json"))
