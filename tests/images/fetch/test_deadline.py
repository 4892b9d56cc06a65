"""Calls that may hang, in real threads."""

from __future__ import annotations

import threading

import pytest

from moderation.errors import LogUnavailable, TransientError
from moderation.images.fetch.deadline import NoRoom, call_within
from tests.support.waiting import PATIENCE_SECONDS


def test_a_call_that_hangs_keeps_its_thread_and_its_place_until_it_ends() -> None:
    gate = threading.Event()
    asked: list[int] = []

    def hang() -> int:
        asked.append(len(asked))
        gate.wait()
        return len(asked)

    room = threading.BoundedSemaphore(1)
    for late in (TimeoutError, NoRoom, NoRoom):
        with pytest.raises(late):
            call_within(0.05, hang, room)
    with pytest.raises(NoRoom):
        call_within(PATIENCE_SECONDS, hang, room, wait=False)
    assert asked == [0]
    gate.set()
    # Its answer came too late for anybody: who asks now asks again.
    assert call_within(PATIENCE_SECONDS, hang, room) == len(asked) == 2


def test_a_call_that_fails_raises_where_it_was_asked() -> None:
    def fail() -> int:
        raise LogUnavailable("away")

    with pytest.raises(LogUnavailable, match="away"):
        call_within(PATIENCE_SECONDS, fail, threading.Semaphore(1))


def test_a_call_whose_thread_does_not_start_costs_no_place() -> None:
    room = threading.BoundedSemaphore(1)
    threading.stack_size(1 << 46)  # each would need more memory than there are addresses
    try:
        for _ in range(2):
            with pytest.raises(TransientError, match="no thread can be started"):
                call_within(PATIENCE_SECONDS, lambda: 7, room)
    finally:
        threading.stack_size(0)
    assert call_within(PATIENCE_SECONDS, lambda: 7, room) == 7
