"""The simulated machine: cases whose answer is known without a simulation."""

from __future__ import annotations

import pytest

from benchmarks.photographs import MIXED
from benchmarks.simulated_machine import CASES, NUMBERS, chosen, enough, outcomes
from benchmarks.simulated_time import Cores, SimulatedClock, Turns
from benchmarks.simulated_worker import (
    CORES,
    ENCODER,
    GPU,
    LINES,
    LOG,
    REDIS,
    REQUESTS,
    Costs,
    Forward,
    Outcome,
    simulate,
)
from moderation.commands.doctor.plan import SIMULATED_WORKERS
from tests.conftest import ROOT
from tests.support.pages import read_sections, table

PAGE = ROOT / "docs" / "scaling.md"

#: Nothing that counts, so that a case is what it changes.
NOTHING = Costs(
    decode=1e-6,
    before=1e-6,
    after=1e-6,
    taking=1e-6,
    answering=1e-6,
    encoder=1e-6,
    question=1e-6,
    redis=1e-6,
    log=1e-6,
    commit=1e-6,
    hosts=1e-6,
    forward=Forward(least=1e-3, each=1e-3, most=256),
)


def test_one_line_process_does_one_thing_at_a_time() -> None:
    costs = NOTHING._replace(before=1.5, after=0.5)
    found = simulate(costs, cores=16, lines=1)
    assert found.images_per_second == pytest.approx(500, rel=0.03)  # 64 come at a time
    assert found.limit == LINES
    assert found.busy[LINES] == pytest.approx(1, abs=0.02)
    assert found.busy[CORES] == pytest.approx(1 / 16, abs=0.01)


def test_line_processes_do_as_many_things_as_there_are_of_them_until_the_cores_are_taken() -> None:
    costs = NOTHING._replace(before=1.5, after=0.5)
    rates = [simulate(costs, cores=4, lines=n).images_per_second for n in (1, 2, 4, 8)]
    assert rates == pytest.approx([500, 1000, 2000, 2000], rel=0.03)


@pytest.mark.parametrize("lines", [1, 4])
def test_decoding_is_done_on_all_cores(lines: int) -> None:
    found = simulate(NOTHING._replace(decode=8.0), cores=16, lines=lines)
    assert found.images_per_second == pytest.approx(2000, rel=0.02)
    assert found.limit == CORES
    assert found.busy[CORES] == pytest.approx(1, abs=0.02)


def test_a_busy_core_does_the_sum_of_all_parts() -> None:
    costs = Costs(
        decode=4.0,
        before=1.0,
        after=0.5,
        taking=0.0,
        answering=0.0,
        encoder=0.25,
        question=0.25,
        redis=0.16,
        log=0.1,
        commit=0.0,
        hosts=0.35,
        forward=Forward(1.0, 1.0, 16, cores=1),
    )
    found = simulate(costs, cores=1, lines=1)
    whole = 4.0 + 1.0 + 0.5 + 0.16 + 0.1 + 0.35 + 1.0  # there is no encoder process to ask
    assert found.images_per_second == pytest.approx(1000 / whole, rel=0.03)
    assert found.limit == CORES


def test_a_batch_costs_a_line_less_an_image_the_more_it_holds() -> None:
    """64 in hand go round in two batches, whatever their sizes: so 64 cost two times 8 ms."""
    found = simulate(NOTHING._replace(answering=8.0), cores=16, lines=1)
    assert found.images_per_second == pytest.approx(64 / 0.016, rel=0.03)
    assert found.limit == LINES


@pytest.mark.parametrize(
    ("part", "costs"),
    [
        (REDIS, NOTHING._replace(redis=0.5)),
        (LOG, NOTHING._replace(log=0.5)),
        (ENCODER, NOTHING._replace(encoder=0.5)),
        (GPU, NOTHING._replace(forward=Forward(0.5, 0.5, 256))),
    ],
)
def test_what_there_is_one_of_is_the_limit_of_all_lines(part: str, costs: Costs) -> None:
    for lines in (2, 8):
        found = simulate(costs, cores=16, lines=lines)
        assert found.images_per_second == pytest.approx(2000, rel=0.03)
        assert found.limit == part


def test_of_what_is_in_hand_one_part_waits_while_the_other_is_encoded() -> None:
    """6 ms a batch, 64 in hand: two batches hold them, whatever their sizes, so 64 take 12 ms."""
    costs = NOTHING._replace(forward=Forward(least=6.0, each=0.05, most=256))
    found = simulate(costs, cores=16, lines=1)
    assert found.images_per_second == pytest.approx(64 / 0.012, rel=0.02)
    assert found.limit == REQUESTS


def test_a_transaction_is_shared_by_what_is_answered_together() -> None:
    """A commit takes 10 ms and nobody has two at a time: what a line has in hand takes two."""
    for lines in (1, 2, 4):
        found = simulate(NOTHING._replace(commit=10.0), cores=2, lines=lines)
        assert found.images_per_second == pytest.approx(64 / 0.020, rel=0.02)
        assert found.limit == LOG
        assert found.busy[CORES] == pytest.approx(0, abs=0.01)


def test_several_lines_wait_for_their_turn_at_a_log_that_takes_one_writer() -> None:
    """A transaction takes 10 ms, and 6 more where lines share one turn; each has half in hand."""
    costs = NOTHING._replace(commit=10.0, turn=6.0)
    assert simulate(costs, 2, 1).images_per_second == pytest.approx(64 / 0.020, rel=0.02)
    assert simulate(costs, 2, 2).images_per_second == pytest.approx(64 / 0.032, rel=0.02)
    costs = costs._replace(writers=2)
    assert simulate(costs, 2, 2).images_per_second == pytest.approx(2 * 64 / 0.020, rel=0.02)


def test_a_model_on_the_cores_takes_them_from_decoders() -> None:
    """Two cores: 11.6 ms of both and 6.7 of one are 29.9 ms of a core an image."""
    costs = NOTHING._replace(decode=6.7, forward=Forward(11.6, 11.6, 16, cores=2))
    found = simulate(costs, cores=2, lines=1)
    assert found.images_per_second == pytest.approx(2000 / 29.9, rel=0.06)


def test_other_programs_take_what_they_use_of_the_cores() -> None:
    costs = NOTHING._replace(decode=8.0)
    found = simulate(costs, cores=4, lines=1, others=1.5)
    # Six want four cores, each for a slice in turn, and the others rest for a quarter of the time.
    alone = simulate(costs, cores=4, lines=1).images_per_second
    assert found.images_per_second == pytest.approx(alone * (4 - 1.5) / 4, rel=0.15)
    assert found.busy[CORES] == pytest.approx(1, abs=0.02)


def test_who_has_a_lock_keeps_it_while_another_has_the_core() -> None:
    clock, done = SimulatedClock(), []
    cores, lock = Cores(clock, 1), Turns(1)
    for name in ("first", "second"):
        cores.compute_alone(lock, "", 2.0, lambda name=name: done.append((name, clock.now)))  # type: ignore[misc]
    cores.compute("", 2.0, lambda: done.append(("free", clock.now)))
    clock.run(100)
    # The first and the free one have the core in turn; the second only begins after the first.
    assert done == [("first", 3.0), ("free", 4.0), ("second", 6.0)]


@pytest.fixture(scope="module")
def simulated() -> dict[str, dict[int, Outcome]]:
    """What the program prints."""
    return {case.name: outcomes(case, NUMBERS) for case in CASES}


def test_auto_takes_about_as_many_lines_as_are_best(
    simulated: dict[str, dict[int, Outcome]],
) -> None:
    assert (chosen(has_gpu=True), chosen(has_gpu=False)) == (4, 2)
    for case in CASES:
        rates = {n: one.images_per_second for n, one in simulated[case.name].items()}
        assert rates[chosen(has_gpu=case.has_gpu)] >= 0.9 * max(rates.values())


def test_enough_is_the_smallest_number_that_is_not_much_slower_than_the_best() -> None:
    rates = {1: 500.0, 2: 970.0, 4: 1000.0, 8: 900.0}
    assert enough({n: Outcome(rate, {}) for n, rate in rates.items()}) == 2


def test_the_table_on_the_page_is_what_the_simulation_says(
    simulated: dict[str, dict[int, Outcome]],
) -> None:
    head = f"| line processes | {CASES[0].name} |"
    [prose] = [part.prose for part in read_sections(PAGE) if head in part.prose]
    assert table(prose[prose.index(head) :]) == [
        {
            "line processes": str(lines),
            **{
                name: f"{found[lines].images_per_second:,.0f}, {found[lines].limit}"
                for name, found in simulated.items()
            },
        }
        for lines in NUMBERS
    ]


def test_the_plan_takes_simulated_workers_from_the_simulation(
    simulated: dict[str, dict[int, Outcome]],
) -> None:
    by_gpu = {case.has_gpu: case.name for case in CASES if MIXED in case.name}
    for kind, has_gpu in zip(SIMULATED_WORKERS, (False, True), strict=True):
        lines = chosen(has_gpu=has_gpu)
        assert kind.line_processes == lines
        found = simulated[by_gpu[has_gpu]][lines].images_per_second
        assert kind.images_per_second == pytest.approx(found, rel=0.01)
