"""Gates on one dataset: which one a run is, at what level, and how often any passes falsely."""

from __future__ import annotations

from itertools import product
from math import comb
from typing import Any

import numpy as np
import pytest
from scipy import stats

from audit.gate.runs import GateQuestion, GateRun
from audit.gate.spending import FALSE_PASS, Standing, gate_numbers, spent_level
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import exact_paired_difference
from benchmarks.repeated_gates import (
    edited_after_answers,
    edited_after_figures,
    fixed_policies,
    most_that_pass,
)
from tests.support.gate_runs import gate_run


def _error(number: int, passes: int = 0) -> float:
    """Returns the chance of a false pass at the level of a gate."""
    return (1 - spent_level(number, passes)) / 2


def test_the_errors_of_all_gates_add_up_to_that_of_one() -> None:
    assert pytest.approx(0.025) == FALSE_PASS
    assert [_error(number) for number in (1, 2, 3)] == pytest.approx(
        [0.0125, 0.025 / 6, 0.025 / 12]
    )
    # After the n-th gate of the series FALSE_PASS / (n + 1) is left.
    assert sum(_error(number) for number in range(1, 1000)) == pytest.approx(0.025 * 999 / 1000)


@pytest.mark.parametrize("passes", [0, 1, 2, 5])
def test_all_that_could_be_gated_after_so_many_passes_shares_the_error_of_one(passes: int) -> None:
    # An author who learns answers alone has one next policy for each way that they could have gone.
    ways = {number: comb(number - 1, passes) for number in range(passes + 1, 20)}
    shared = [ways[number] * _error(number, passes) for number in ways]
    assert sum(shared) == pytest.approx(FALSE_PASS * (1 / (passes + 1) - 1 / 20))


def test_a_level_beyond_all_digits_passes_nothing() -> None:
    assert spent_level(3000, 1500) == spent_level(5100, 0) == spent_level(20, 10) == 1
    assert spent_level(4900, 0) < 1
    assert most_that_pass(1.0, 1000, 0.5) == -1
    assert most_that_pass(0.95, 1000, 0.5) > 400


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 10])
def test_what_breaks_a_limit_passes_at_most_at_the_error_of_its_gate(number: int) -> None:
    # Exact sums over all counts, as for the plain level: nothing is simulated.
    level, error, n = spent_level(number, 0), _error(number), 100.0
    for images, allowed in product((100, 350, 2000), (0.01, 0.05, 0.1)):
        most = most_that_pass(level, images, allowed)
        assert stats.binom.cdf(most, images, allowed) <= error
    counts = np.arange(25.0)
    shares = ExactShares(np.tile(counts, 2), np.full(50, n), np.zeros(50))
    first, second = shares.pairs.T
    across = (first < 25) & (second >= 25)
    gaps = shares.differences(level).high[across].reshape(25, 25)
    entered, left = np.meshgrid(counts, counts, indexing="ij")
    rises = exact_paired_difference(entered, left, n, level).high
    moves = np.stack([entered, left, n - entered - left], axis=-1)
    for allowed, rate in product((0.0, 0.02, 0.05), (0.01, 0.03)):
        one, other = (stats.binom.pmf(counts, n, p) for p in (rate + allowed, rate))
        assert one @ (gaps <= allowed) @ other <= error
        shifted = np.array([rate + allowed, rate, 1 - 2 * rate - allowed])
        moved = stats.multinomial.pmf(moves, int(n), shifted)
        assert moved[rises < allowed - 1e-9].sum() <= error


@pytest.mark.slow
def test_of_policies_gated_until_one_passes_falsely_spending_holds_the_share_of_a_single_gate() -> (
    None
):
    rng = np.random.default_rng(0)
    found = fixed_policies(20, 20_000, rng).shares
    assert 0.3 < found["plain"] < 1 - (1 - FALSE_PASS) ** 20
    # Three standard errors of 20,000 draws are 0.3 points.
    assert found["spent"] <= FALSE_PASS + 0.003
    # Whoever edits after answers reaches no more; after figures the level does not help.
    after_answers = edited_after_answers(20, 200, rng).shares
    assert after_answers["plain"] > 0.5
    assert after_answers["spent"] <= FALSE_PASS
    assert edited_after_figures(50, 100, rng).shares["spent"] > 0.3


def _standing(earlier: list[GateRun], asked: GateRun, *, spend: bool = True) -> Standing:
    return Standing.after(earlier, asked, spend=spend, figures=not spend)


def test_a_gate_is_counted_once_for_each_question_on_a_dataset() -> None:
    first, second = gate_run(gate="a", answer="no pass"), gate_run(gate="b", answer="pass")
    third = gate_run(gate="c")
    elsewhere = gate_run(gate="d", dataset="other", annotations="2", images="2")
    earlier = [first, elsewhere, second, first]
    standing = _standing(earlier, third)
    assert (standing.number, standing.of, standing.passes) == (3, 3, 1)
    assert standing.level == spent_level(3, 1)
    # Again it costs nothing, whatever came in between.
    again = _standing(earlier, first)
    assert (again.number, again.of, again.passes) == (1, 2, 0)
    assert again.level == spent_level(1, 0)
    assert _standing(earlier, elsewhere).number == 1
    assert gate_numbers([*earlier, third]) == [1, 1, 2, 1, 3]


def test_the_numbers_of_a_record_are_those_that_each_run_had() -> None:
    rng = np.random.default_rng(0)
    names = [[str(value) for value in row] for row in rng.integers(0, 4, (300, 3))]
    runs = [
        gate_run(gate=str(rng.integers(40)), dataset=name, annotations=notes, images=images)
        for name, notes, images in names
    ]
    had = [_standing(runs[:i], run).number for i, run in enumerate(runs)]
    assert gate_numbers(runs) == had
    assert max(had) > 20


def test_a_long_record_is_numbered_without_holding_each_run_against_each_other() -> None:
    held: list[GateRun] = []

    class Held(GateRun):
        def on_dataset_of(self, other: GateQuestion) -> bool:
            held.append(self)
            return super().on_dataset_of(other)

    runs = [Held(**gate_run(gate=str(i)).model_dump()) for i in range(500)]
    assert gate_numbers(runs) == [*range(1, 501)]
    assert 0 < len(held) <= 500


@pytest.mark.parametrize(
    "changed",
    [
        {"images": "2", "annotations": "2"},
        {"images": "2", "dataset": "other"},
        {"annotations": "2", "dataset": "other"},
    ],
)
def test_a_dataset_that_grew_or_was_moved_or_mended_is_the_same(changed: dict[str, Any]) -> None:
    assert _standing([gate_run(gate="a")], gate_run(gate="b", **changed)).number == 2


def test_spending_is_promised_only_where_no_figure_was_shown() -> None:
    hidden, shown = gate_run(gate="a"), gate_run(gate="b", figures_shown=True)
    standing = _standing([hidden], gate_run(gate="c"))
    assert standing.holds
    assert "the chance that one passes falsely is 2.5 % at most" in standing.text
    assert standing.text.startswith(
        "Gate 2 of 2 on this dataset, by the record, so it is checked at 99.17 %: what "
        "breaks a limit passes here with a chance of 0.417 % at most."
    )
    withdrawn = _standing([hidden, shown], gate_run(gate="c"))
    assert not withdrawn.holds
    assert "An earlier run on this dataset showed figures, so nothing is promised" in withdrawn.text
    assert "passes falsely is 2.5 %" not in withdrawn.text
    now = Standing.after([hidden], gate_run(gate="c"), spend=True, figures=True)
    assert not now.holds
    assert "This run shows figures, so nothing is promised" in now.text


def test_without_spending_it_says_what_a_pass_after_so_many_tries_is_worth() -> None:
    earlier = [gate_run(gate=str(i), figures_shown=True) for i in range(4)]
    standing = _standing(earlier, gate_run(gate="x"), spend=False)
    assert standing.level == 0.95
    assert standing.bound == pytest.approx(0.125)
    assert "Gate 5 of 5 on this dataset" in standing.text
    assert "A pass after 5 tries is worth less" in standing.text
    assert "a chance of up to 12.5 %, where a first one has 2.5 %" in standing.text
    many = [gate_run(gate=str(i)) for i in range(50)]
    assert _standing(many, gate_run(gate="x"), spend=False).bound == 1
    assert "tries" not in _standing([], gate_run(gate="x"), spend=False).text
