"""Sentences on adjusted figures say what their rows say, and none without rows."""

from __future__ import annotations

from audit.metrics.rates import FLAG
from audit.results.adjusted_rows import Equivalent, PooledGap, Standardised
from audit.results.adjusted_sentences import (
    equivalence_sentence,
    pooled_finding,
    standardised_sentence,
)
from audit.results.rows import Difference
from tests.support.sample_results import SAMPLES

SAMPLE = SAMPLES["compare"]


def _standardised(group: str, difference: float, low: float, **more: object) -> Standardised:
    row = SAMPLE.standardised[0]
    given = {"group": group, "difference": difference, "difference_low": low, **more}
    return row.model_copy(update={"crude_difference": 0.1, "difference_high": 0.2, **given})


def _claim(group: str, *, claim: bool = True) -> Difference:
    row = next(r for r in SAMPLE.differences if r.metric == "selection_rate" and r.by == "race")
    return row.model_copy(update={"group": group, "claim": claim})


def test_of_claims_the_one_that_standardising_changes_most_is_told() -> None:
    rows = [_standardised("a", 0.09, 0.02), _standardised("b", 0.05, -0.01)]
    rows += [_standardised("c", 0.0, -0.1), _standardised("d", -0.1, -0.2, support="suppressed")]
    claims = [_claim("a"), _claim("b"), _claim("c", claim=False), _claim("d")]
    [said] = standardised_sentence(rows, claims)
    assert "of race b would be flagged under person-labels against 9.7 % of all others" in said
    assert "+5.0 points [−1.0 to +20.0], and as counted +10.0 points;" in said
    assert said.endswith("so age, in years may explain it.")
    # What changes a claim's meaning comes before what changes its size.
    [said] = standardised_sentence([*rows, _standardised("a", 0.3, 0.2)], claims)
    assert "of race b" in said
    [said] = standardised_sentence(rows[:1], claims)
    assert said.endswith("so age, in years alone cannot explain it.")
    assert not list(standardised_sentence(rows, claims[2:]))
    assert not list(standardised_sentence([], claims))


def test_the_intersection_that_pooling_draws_together_most_is_told() -> None:
    [gap, *_] = SAMPLE.pooled_gaps

    def drawn(by: str, raw: float) -> PooledGap:
        return gap.model_copy(update={"by": by, "raw_difference": raw})

    rows = [drawn("a × b", 0.2), drawn("a × c", 0.41), drawn("b × c", 0.3)]
    [finding] = pooled_finding(rows)
    said = finding.text
    assert said.startswith("By a × c under person-labels, the shares flagged of 11 groups lie 41")
    assert "41.0 points apart as counted, but the smallest group has 1 image." in said
    assert said.endswith("they lie 13.0 points apart [0.0 to 22.0], so all may have one rate.")
    assert not finding.claimed
    [apart] = pooled_finding([rows[1].model_copy(update={"difference_low": 0.02})])
    assert apart.text.endswith("they lie 13.0 points apart [2.0 to 22.0].")
    assert apart.claimed
    assert not list(pooled_finding([]))


def test_a_margin_is_told_with_what_is_within_it_and_what_is_not_known() -> None:
    one, *_ = SAMPLE.equivalences

    def row(answer: str, kind: str = "group", by: str = "race", group: str = "a") -> Equivalent:
        given = {"answer": answer, "kind": kind, "by": by, "group": group, "policy": "new"}
        return one.model_copy(update=given)

    [said] = equivalence_sentence(
        [row("within"), row("differs within", "shift", "overall"), row("differs"), row("neither")],
        FLAG,
    )
    assert said == (
        "Within 5 points in the share flagged, by Holm over all 4 that are held to it: 2 (race a "
        "under new, the shift of all images to new); shown to differ: 2, of them 1 by less than "
        "that; neither is shown of 1."
    )
    [said] = equivalence_sentence([row("within", group=str(i)) for i in range(9)], FLAG)
    assert "race 5 under new and 3 more); shown to differ: 0; neither is shown of 0." in said
    [said] = equivalence_sentence([row("neither")], FLAG)
    assert "over all 1 that is held to it: 0; shown to differ: 0; neither is shown of 1." in said
    assert not list(equivalence_sentence([], FLAG))
