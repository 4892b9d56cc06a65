"""Turns to write: one thread at a time, each in its order, and none for ever."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from moderation.decision_log.database import Database, Vanished
from moderation.decision_log.writers_turn import WritersTurn
from moderation.errors import LogUnavailable
from tests.support.decision_samples import at_once
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
def turn() -> WritersTurn:
    return WritersTurn("log.db", seconds=PATIENCE_SECONDS)


def test_one_thread_at_a_time_has_the_turn(turn: WritersTurn) -> None:
    inside: list[int] = []
    most: list[int] = []

    def act(number: int) -> None:
        for _ in range(50):
            with turn.held():
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    at_once(8, act)
    assert most == [1] * 400


def test_threads_have_the_turn_in_the_order_in_which_they_ask(turn: WritersTurn) -> None:
    order: list[int] = []

    def act(number: int) -> None:
        with turn.held():
            order.append(number)

    with ThreadPoolExecutor(5) as pool:
        with turn.held():
            asked: list[Future[None]] = []
            for number in range(5):
                asked.append(pool.submit(act, number))
                until(lambda: len(turn._waiting) == len(asked))
        # Whoever asks again at once is behind them all.
        with turn.held():
            assert order == [0, 1, 2, 3, 4]


def test_a_turn_that_does_not_come_in_time_is_an_error_and_goes_to_the_next() -> None:
    turn = WritersTurn("log.db", seconds=0.05)
    with turn.held(), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(turn.held().__enter__)
        with pytest.raises(LogUnavailable, match=r"no turn to write within 0\.05 s") as caught:
            asked.result()
        assert caught.value.where == "log.db"
    with turn.held():  # that of the thread which gave up is not kept for it
        pass


def test_a_turn_that_comes_as_its_thread_gives_up_is_passed_on(turn: WritersTurn) -> None:
    mine = threading.Lock()
    mine.acquire()
    with turn.held():
        turn._waiting.append(mine)
    turn._give_up(mine)  # it was handed over when the block ended
    with turn.held():
        pass


def test_a_failure_ends_the_turn(turn: WritersTurn) -> None:
    with pytest.raises(KeyboardInterrupt), turn.held():
        raise KeyboardInterrupt
    with turn.held():
        pass


def test_work_that_is_tried_again_and_again_pauses_without_the_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "numbers.db"
    file.touch()
    database = Database(make_url(f"sqlite:///{file}"), threads=2)
    held: list[bool] = []
    here, sleep = threading.current_thread(), time.sleep

    def vanishing(_: object) -> int:
        raise Vanished

    def look(seconds: float) -> None:
        if threading.current_thread() is here:
            held.append(database._turn._is_taken)
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", look)
    with pytest.raises(LogUnavailable, match="again and again"):
        database.write(vanishing)
    assert held == [False] * 7
    with database.writing() as connection:
        connection.execute(text("SELECT 1"))
    database.close()
