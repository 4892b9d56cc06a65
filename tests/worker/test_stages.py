"""The threads of a worker: batches form by themselves, bytes are bounded, suspects take turns."""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from moderation.messages import TASK_NAME, QueueName
from moderation.queue.envelope import Envelope
from moderation.worker.arrival import Arrival, read_arrived_request
from moderation.worker.budget import ByteBudget
from moderation.worker.job import Job
from moderation.worker.stage import Stage
from moderation.worker.suspects import Suspects
from tests.support.waiting import until


class HeldWork:
    """Work that waits until the test opens its gate, and notes its batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self.gate.wait()


def put(stage: Stage[int], *items: int, queue: QueueName = "interactive") -> None:
    stage.put((item, queue) for item in items)


def test_a_lone_item_waits_for_nobody_and_what_gathers_meanwhile_is_one_batch() -> None:
    work = HeldWork()
    stage = Stage("stage", work, most=3)
    put(stage, 1)
    until(lambda: work.batches == [[1]])
    put(stage, 2, 3)
    put(stage, 4, 5)
    work.gate.set()
    stage.close()
    assert work.batches == [[1], [2, 3, 4], [5]]


def test_interactive_goes_first_and_bulk_keeps_every_fourth_place() -> None:
    work = HeldWork()
    stage = Stage("stage", work)
    put(stage, 0)
    until(lambda: work.batches == [[0]])
    put(stage, *range(100, 103), queue="bulk")
    put(stage, *range(1, 7))
    work.gate.set()
    stage.close()
    order = [item for [item] in work.batches]
    assert order == [0, 1, 2, 3, 100, 4, 5, 6, 101, 102]


def test_a_stage_with_threads_works_on_as_many_batches_at_a_time() -> None:
    work = HeldWork()
    stage = Stage("stage", work, threads=3)
    put(stage, *range(5))
    until(lambda: len(work.batches) == 3)
    work.gate.set()
    stage.close()
    assert sorted(work.batches) == [[0], [1], [2], [3], [4]]


def test_work_that_fails_is_logged_and_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    done: list[list[int]] = []

    def fail_first(batch: list[int]) -> None:
        if batch == [1]:
            raise OSError("first")
        done.append(batch)

    stage = Stage("stage", fail_first)
    put(stage, 1, 2)
    stage.close()
    assert done == [[2]]
    assert "a batch of 1 could not be finished" in caplog.text


def test_bytes_are_shared_and_one_that_is_too_large_comes_alone() -> None:
    budget, lock = ByteBudget(100), threading.Lock()
    held = {"now": 0, "most": 0}

    def use(n: int) -> None:
        size = 250 if n % 10 == 0 else 40
        budget.reserve(f"{n}", size)
        with lock:
            assert not held["now"] or held["now"] + size <= 100
            held["now"] += size
        time.sleep(0.001)
        with lock:
            held["now"] -= size
        budget.hold(f"{n}", 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(100)))


def test_what_a_request_holds_can_shrink_and_lets_others_in() -> None:
    budget = ByteBudget(100)
    budget.reserve("a", 100)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.reserve, "b", 50)
        time.sleep(0.02)
        assert not waiting.done()
        budget.hold("a", 50)
        waiting.result(timeout=5)


def job(name: str, strikes: int = 0) -> Job:
    request = read_arrived_request({}, Arrival(name, "interactive"))
    envelope = Envelope(TASK_NAME, name, {}, strikes=strikes)
    return Job(name, dataclasses.replace(request, envelope=envelope), 0)


def test_suspects_are_tried_one_at_a_time_in_order() -> None:
    suspects = Suspects()
    ordinary, first, second, third = job("o", 5), job("1", 6), job("2", 9), job("3", 6)
    assert [suspects.must_wait(each) for each in (ordinary, first, second, third)] == [
        False,
        False,
        True,
        True,
    ]
    assert suspects.ended(ordinary) is None
    assert suspects.ended(first) is second
    assert suspects.ended(first) is None
    assert suspects.ended(second) is third
    assert suspects.ended(third) is None
    assert not suspects.must_wait(job("4", 6))


def test_a_worker_that_ends_gives_up_the_suspects_that_wait() -> None:
    suspects = Suspects()
    first, second = job("1", 6), job("2", 6)
    assert [suspects.must_wait(first), suspects.must_wait(second)] == [False, True]
    assert suspects.give_up() == [second]
    assert suspects.ended(first) is None


@pytest.mark.parametrize(("strikes", "deaths"), [(0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (15, 5)])
def test_three_who_did_not_come_back_count_as_one_death(strikes: int, deaths: int) -> None:
    assert job("a", strikes).deaths == deaths
