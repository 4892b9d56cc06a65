"""Scores -> decisions: thresholds, top labels, categories, and which frame decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.encoders.encoder import Float32s
from moderation.policy import Policy
from moderation.scoring.verdict import (
    ACTIONS,
    Decision,
    actions,
    decide,
    deciding_look,
    deciding_looks,
    outcomes,
)
from tests.support.policy_texts import policy

SCORES = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)


def _decided(of: Policy, *scores: float) -> Decision:
    row = np.array(scores, np.float32)
    return decide(of, row, row)


@pytest.mark.parametrize(
    ("gun", "knife", "action"),
    [
        (0.8, 0.0, "block"),  # a score that equals its threshold fires
        (0.79, 0.0, "review"),  # between the two thresholds
        (0.4, 0.0, "review"),
        (0.39, 0.0, "allow"),
        (0.0, 0.5, "review"),
        (0.9, 0.9, "block"),  # the most severe wins
        (0.0, 0.0, "allow"),
    ],
)
def test_thresholds_are_inclusive_and_the_most_severe_action_wins(
    gun: float, knife: float, action: str
) -> None:
    decision = _decided(policy(), gun, knife, 0.0, 0.0)
    assert decision.action == action
    assert decision.flagged == (action != "allow")


def test_every_threshold_that_a_policy_can_hold_is_reached_by_the_equal_score() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    for hundredths in range(101):
        labels[1]["threshold"] = hundredths / 100
        decision = _decided(policy(labels=labels), 0.0, hundredths / 100, 0.0, 0.0)
        assert decision.labels[1].fired, hundredths


def test_each_label_has_its_score_thresholds_and_outcome() -> None:
    gun, knife, thing, _ = _decided(policy(), 0.6, 0.2, 0.1, 0.1).labels
    assert (gun.label, gun.fired, gun.outcome, gun.action) == ("gun", True, "review", "block")
    assert (gun.threshold, gun.review_threshold) == (0.8, 0.4)
    assert (knife.fired, knife.outcome) == (False, None)
    assert (thing.action, thing.category, thing.fired) == (None, None, False)


def test_category_scores_are_sums_under_softmax_and_otherwise_the_highest() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    labels[1]["category"] = "weapons/guns"
    for scoring, expected in (("softmax", 0.7), ("contrast", 0.4)):
        decision = _decided(policy(labels=labels, scoring=scoring), 0.3, 0.4, 0.2, 0.1)
        assert decision.category_scores == {"weapons/guns": pytest.approx(expected, abs=1e-6)}
        assert decision.categories == {"weapons/guns": False}


def test_a_category_is_true_where_one_of_its_labels_asks_for_review_or_block() -> None:
    decision = _decided(policy(), 0.9, 0.0, 0.0, 0.0)
    assert decision.categories == {"weapons/guns": True, "knife": False}


def test_an_allow_label_fires_and_flags_nothing() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    labels[2] |= {"action": "allow", "threshold": 0.5}
    decision = _decided(policy(labels=labels), 0.0, 0.0, 0.9, 0.0)
    assert decision.labels[2].outcome == "allow"
    assert not decision.flagged
    assert decision.categories["thing"] is False


def test_top_label_acts_on_the_highest_score_alone() -> None:
    top = policy(decision="top_label")
    assert _decided(top, 0.85, 0.9, 0.0, 0.0).action == "review"
    assert _decided(top, 0.9, 0.85, 0.0, 0.0).action == "block"
    assert _decided(top, 0.85, 0.8, 0.9, 0.0).action == "allow"


def test_top_label_needs_no_threshold_but_keeps_one_that_is_given() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    del labels[0]["threshold"], labels[0]["review_threshold"]
    top = policy(decision="top_label", labels=labels)
    assert _decided(top, 0.1, 0.05, 0.05, 0.05).action == "block"
    assert _decided(top, 0.05, 0.4, 0.05, 0.05).action == "allow"


def test_equal_top_labels_can_all_fire_whatever_their_order() -> None:
    top = policy(decision="top_label")
    assert _decided(top, 0.85, 0.85, 0.85, 0.0).action == "block"
    labels = policy().model_dump(mode="json")["labels"][::-1]
    reversed_labels = policy(decision="top_label", labels=labels)
    assert _decided(reversed_labels, 0.0, 0.85, 0.85, 0.85).action == "block"


def test_the_top_label_is_the_most_similar_one_though_rounding_made_the_scores_equal() -> None:
    similarities, scores = (np.array([row], np.float32) for row in ([0.1, 0.2, 0, 0], [0.9] * 4))
    assert outcomes(policy(decision="top_label"), similarities, scores).tolist() == [[0, 2, 0, 0]]


@given(st.lists(SCORES, min_size=1, max_size=5), st.sampled_from(["threshold", "top_label"]))
def test_many_images_at_once_equal_one_by_one(rows: list[list[float]], decision: str) -> None:
    of = policy(decision=decision)
    scores = np.array(rows, np.float32)
    at_once = [ACTIONS[int(i)] for i in actions(outcomes(of, scores, scores))]
    assert at_once == [_decided(of, *row).action for row in rows]


@given(SCORES, st.integers(0, 1), st.floats(0, 1, width=32))
def test_a_higher_score_never_makes_the_action_milder(
    row: list[float], label: int, more: float
) -> None:
    raised = list(row)
    raised[label] = max(row[label], more)
    severity = {"allow": 0, "review": 1, "block": 2}
    before, after = _decided(policy(), *row).action, _decided(policy(), *raised).action
    assert severity[after] >= severity[before]


@given(st.lists(SCORES, min_size=1, max_size=6))
def test_the_deciding_look_has_the_most_severe_action_of_all(rows: list[list[float]]) -> None:
    scores = np.array(rows, np.float32)
    frame = deciding_look(policy(), scores, scores)
    every = [_decided(policy(), *row).action for row in rows]
    assert every[frame] == max(every, key=("allow", "review", "block").index)


@st.composite
def seen_images(draw: st.DrawFn) -> tuple[Float32s, Float32s, list[int]]:
    """Returns similarities and scores of looks, many of them equal, and how many each image has."""
    looks = draw(st.lists(st.integers(1, 6), min_size=1, max_size=8))
    value = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 1.0])
    rows = st.lists(
        st.lists(value, min_size=4, max_size=4), min_size=sum(looks), max_size=sum(looks)
    )
    similarities, scores = (np.array(draw(rows), np.float32) for _ in range(2))
    return similarities, scores, looks


@given(seen=seen_images(), decision=st.sampled_from(["threshold", "top_label"]))
def test_the_looks_that_decide_on_many_images_are_those_of_each_by_itself(
    seen: tuple[Float32s, Float32s, list[int]], decision: str
) -> None:
    similarities, scores, looks = seen
    on = policy(decision=decision)
    expected, start = [], 0
    for count in looks:
        rows = range(start, start + count)
        worst = max(
            rows,  # max() keeps the first of equals
            key=lambda row: (
                int(actions(outcomes(on, similarities[[row]], scores[[row]]))[0]),
                max(float(scores[row, j]) for j, label in enumerate(on.labels) if label.acts),
            ),
        )
        expected.append(worst)
        start += count
    found = deciding_looks(on, similarities, scores, np.array(looks))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("guns", "expected"), [([0.81, 0.9, 0.9], 1), ([0.5, 0.9], 1), ([0.1, 0.2, 0.2], 1), ([0.7], 0)]
)
def test_among_equally_severe_frames_the_highest_score_decides_and_then_the_first(
    guns: list[float], expected: int
) -> None:
    # The fourth label only competes: however high its score, it decides nothing.
    scores = np.array([[gun, 0.0, 0.0, 0.95 - gun] for gun in guns], np.float32)
    assert deciding_look(policy(), scores, scores) == expected
