"""Both queues in one: who is served next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.messages.queues import BULK_TURN, FairQueue, QueueName

Put = tuple[QueueName, int]


def _filled(puts: list[Put]) -> FairQueue[Put]:
    queues: FairQueue[Put] = FairQueue()
    for queue, number in puts:
        queues.put((queue, number), queue)
    return queues


def _all(queue: QueueName, count: int) -> list[Put]:
    return [(queue, number) for number in range(count)]


def _drained(queues: FairQueue[Put]) -> list[Put]:
    return [queues.take() for _ in range(len(queues))]


@given(st.lists(st.tuples(st.sampled_from(("interactive", "bulk")), st.integers())))
def test_everything_comes_out_once_and_each_queue_in_order(puts: list[Put]) -> None:
    taken = _drained(_filled(puts))
    for queue in ("interactive", "bulk"):
        assert [item for item in taken if item[0] == queue] == [
            item for item in puts if item[0] == queue
        ]


def test_an_interactive_request_passes_a_backlog_of_bulk() -> None:
    queues = _filled(_all("bulk", 1000))
    queues.put(("interactive", 0), "interactive")
    assert queues.take() == ("interactive", 0)


@given(st.integers(1, 60), st.integers(1, 60))
def test_while_both_wait_every_fourth_is_bulk(interactive: int, bulk: int) -> None:
    taken = _drained(_filled(_all("interactive", interactive) + _all("bulk", bulk)))
    both_wait = taken[: min(interactive, (BULK_TURN - 1) * bulk)]
    turns = [queue for queue, _ in both_wait]
    every_fourth = range(BULK_TURN - 1, len(turns), BULK_TURN)
    expected = ["bulk" if i in every_fourth else "interactive" for i in range(len(turns))]
    assert turns == expected


def test_bulk_earns_no_turn_while_none_of_it_waits() -> None:
    queues = _filled(_all("interactive", 10))
    for _ in range(9):
        queues.take()
    queues.put(("bulk", 0), "bulk")
    assert [queue for queue, _ in _drained(queues)] == ["interactive", "bulk"]


def test_taking_from_empty_queues_is_an_error() -> None:
    with pytest.raises(IndexError):
        FairQueue[Put]().take()
