from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.datasets.groups import Groups, Marks, overall_group
from audit.metrics.ablation import Trial, run_ablation
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.variants import Synonym, Variant, with_each_synonym
from audit.metrics.wording_gaps import (
    ALL_OTHERS,
    FEW_IMAGES,
    FEW_WORDINGS,
    UNEVEN_WORDINGS,
    wording_gap_table,
)
from audit.results.ablation_rows import WordingGap
from audit.results.rows import records
from audit.statistics.crossed import CrossedCounts, crossed_gaps
from audit.statistics.intervals import simultaneous
from tests.conftest import SHARED
from tests.support.policy_texts import policy
from tests.support.reference_counts import ChosenEncoder, group_of

REAL = SHARED / "data" / "clip_fairface_rn50"
SMALL = policy()
#: Sizes of groups a to d; the last has too few images.
SIZES = (60, 120, 200, 20)
CODES = group_of([code for code, n in enumerate(SIZES) for _ in range(n)])


def _said(flagged: Marks) -> PolicyPredictions:
    outcomes = np.zeros((len(flagged), 4), np.int8)
    outcomes[:, 1] = 2 * flagged
    zeros = np.zeros((len(flagged), 4), np.float32)
    return PolicyPredictions(
        policy=SMALL, similarities=zeros, scores=zeros, outcomes=outcomes, name="small"
    )


def _reworded(flags: Marks, kind: Any = "template") -> tuple[PolicyPredictions, list[Trial]]:
    """Returns what a policy says, the first of (n, w) flags, and what its other wordings say."""
    before, *others = map(_said, flags.T)
    variants = [Variant(kind, str(i), SMALL) for i, _ in enumerate(others)]
    return before, list(map(Trial, variants, others))


def _flags(w: int, seed: int = 1) -> Marks:
    rng = np.random.default_rng(seed)
    n = len(CODES.codes)
    leaning = rng.normal(size=(n, 1)) + rng.normal(0, 0.3, w) + rng.normal(size=(n, w))
    return np.asarray(leaning > 1.2 - 0.3 * CODES.codes[:, np.newaxis])


def _alone(flags: Marks) -> CrossedCounts:
    return CrossedCounts.of(flags, np.zeros(len(flags), np.intp), 1)


def _rows(table: pd.DataFrame, comparison: str) -> tuple[Any, ...]:
    return records(WordingGap, table[table["comparison"] == comparison])


def test_each_pair_has_its_mean_gap_and_an_interval_that_holds_with_the_others() -> None:
    flags = _flags(9)
    table = wording_gap_table(*_reworded(flags), [overall_group(400), CODES])
    assert set(table["by"]) == {"group"}
    pairs = _rows(table, "between_groups")
    assert {frozenset((row.group, row.reference)) for row in pairs} == set(
        map(frozenset, combinations("abcd", 2))
    )
    for row in pairs:
        one, two = (flags[CODES.codes == "abcd".index(name)] for name in (row.group, row.reference))
        gaps = one.mean(axis=0) - two.mean(axis=0)
        assert row.mean == pytest.approx(gaps.mean())
        assert row.mean >= 0  # the group that is flagged more often comes first
        assert (row.own, row.lowest, row.highest) == pytest.approx(
            (gaps[0], gaps.min(), gaps.max())
        )
        assert (row.n, row.reference_n, row.wordings) == (len(one), len(two), 9)
        if "d" in (row.group, row.reference):
            assert (row.support, row.undefined) == ("suppressed", FEW_IMAGES)
            assert {row.low, row.high, row.images_low, row.of_wordings} == {None}
            continue
        # Three pairs have support, and hold together.
        found = crossed_gaps(_alone(one), _alone(two), simultaneous(0.95, 3))
        assert (row.low, row.high) == pytest.approx(tuple(end[0] for end in found.over_both))
        assert (row.images_low, row.images_high) == pytest.approx(
            tuple(end[0] for end in found.over_images)
        )
        assert row.of_wordings == pytest.approx(found.of_wordings[0])
        assert (row.together, row.undefined) == (3, None)


def test_each_group_is_held_against_all_others_unless_there_are_two() -> None:
    flags = _flags(9)
    others = _rows(wording_gap_table(*_reworded(flags), [CODES]), "to_others")
    assert [(row.group, row.reference) for row in others] == [(g, ALL_OTHERS) for g in "abcd"]
    inside = CODES.codes == 1
    assert others[1].mean == pytest.approx(flags[inside].mean() - flags[~inside].mean())
    assert (others[1].n, others[1].reference_n, others[1].together) == (120, 280, 3)
    assert [row.undefined for row in others] == [None, None, None, FEW_IMAGES]
    two = Groups("two", ("x", "left out", "y"), np.where(CODES.codes > 1, 2, 0))
    [alone] = records(WordingGap, wording_gap_table(*_reworded(flags), [two]))
    assert (alone.comparison, {alone.group, alone.reference}) == ("between_groups", {"x", "y"})
    assert wording_gap_table(_said(flags[:, 0]), [], [CODES]).empty


def test_what_is_not_known_of_wordings_has_a_reason() -> None:
    two = _rows(wording_gap_table(*_reworded(_flags(2)), [CODES]), "between_groups")
    assert {row.undefined for row in two} == {FEW_WORDINGS, FEW_IMAGES}
    known = [row for row in two if row.undefined == FEW_WORDINGS]
    assert {(row.low, row.high, row.of_wordings) for row in known} == {(None, None, None)}
    assert all(row.images_low < row.mean < row.images_high for row in known)
    once = _flags(9) & (np.arange(9) == 4)
    uneven = _rows(wording_gap_table(*_reworded(once), [CODES]), "between_groups")
    assert {row.undefined for row in uneven} == {UNEVEN_WORDINGS, FEW_IMAGES}
    never = _rows(wording_gap_table(*_reworded(_flags(9) & False), [CODES]), "between_groups")
    assert {row.undefined for row in never} == {None, FEW_IMAGES}
    # No flag proves nothing: the interval has a width.
    assert all(row.low < 0 < row.high for row in never if row.undefined is None)


def test_kinds_of_wording_are_apart() -> None:
    before, templates = _reworded(_flags(4))
    _, synonyms = _reworded(_flags(6, seed=2), "synonym")
    table = wording_gap_table(before, [*templates, *synonyms], [CODES])
    found = table.groupby("kind")["wordings"].first()
    assert found.to_dict() == {"template": 4, "synonym": 6}


#: Words for early humans, each of which is another classifier; the first is the policy's own.
EARLY = (
    *("Neanderthal", "Homo_erectus", "Neandertal", "Neanderthal_man", "Neandertal_man"),
    *("Homo_habilis", "Homo_soloensis", "Homo_rhodesiensis", "hominid"),
)


def _real_features() -> tuple[pd.DataFrame, Any, ChosenEncoder]:
    """Returns annotations of faces, CLIP RN50's features of them, and an encoder of its words."""
    if not REAL.is_dir():
        pytest.skip("the real features of ../shared/data are not here")
    names = json.loads((REAL / "text_labels.json").read_text())
    stored = np.load(REAL / "text_features_rn50_f16.npz")
    rows = {
        word: row
        for part in ("gender_synms", "woman_synms", "man_synms")
        for word, row in zip(names[part], stored[part].astype(np.float32), strict=True)
    }
    features = np.load(REAL / "image_features_rn50_f16.npy").astype(np.float32)
    return pd.read_csv(REAL / "labels.csv"), features, ChosenEncoder(rows, logit_scale=100)


def test_a_real_gap_is_not_what_one_word_says() -> None:
    # Whom CLIP RN50 takes for an early human, rather than a man or a woman: men, by race.
    faces, features, encoder = _real_features()
    men = (faces["folder"] == "man").to_numpy()
    early = {"id": "early", "prompts": EARLY[:1], "action": "review", "threshold": 0}
    plain = [{"id": word, "prompts": [word]} for word in ("man", "woman")]
    asked = policy(templates=["{}"], decision="top_label", labels=[early, *plain])
    before = predict(asked, encoder, features[men])
    words = with_each_synonym(asked, [Synonym("early", word) for word in EARLY[1:]])
    trials = run_ablation(words, encoder, features[men])
    codes, races = pd.factorize(faces["race"][men], sort=True)
    table = wording_gap_table(before, trials, [Groups("race", tuple(races), codes)])
    [row] = (
        row
        for row in _rows(table, "between_groups")
        if (row.group, row.reference) == ("Southeast Asian", "White")
    )
    shown = [100 * each for each in (row.own, row.lowest, row.mean, row.highest)]
    assert shown == pytest.approx([1.2, 1.2, 23.0, 68.1], abs=0.05)
    # Over images alone it seems to be there; over words like these it may be 0.
    assert (row.images_low, row.images_high) == pytest.approx((0.122, 0.328), abs=5e-4)
    assert (row.low, row.high) == pytest.approx((-0.143, 0.676), abs=5e-4)
    assert row.of_wordings == pytest.approx(0.85, abs=0.005)
    assert (row.wordings, row.together) == (9, 21)
