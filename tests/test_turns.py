"""Threads that share transactions: each gets its own answer, and nobody another's failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from moderation.decision_log.turns import Turns, Work
from moderation.errors import LogUnavailable, RequestError


class Shared:
    """A SQLite file with a table of numbers, written through turns; counts its commits."""

    def __init__(self, folder: Path, seconds: float = 20.0) -> None:
        self.engine: Engine = create_engine(f"sqlite:///{folder}/numbers.db")
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        self.turns = Turns("numbers.db", seconds=seconds)
        self.commits = 0
        self.away = False

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self.away:
            raise LogUnavailable("it is away", "numbers.db")
        with self.engine.begin() as connection:
            yield connection
        self.commits += 1

    def _alone(self, work: Work[int]) -> int:
        with self._transaction() as connection:
            return work(connection)

    def write(self, work: Work[int]) -> int:
        return self.turns.share(work, self._transaction, self._alone)

    def together(self, works: list[Work[int]]) -> list[Future[int]]:
        """Returns what becomes of works that all wait for one turn, in order."""
        with ThreadPoolExecutor(len(works)) as pool:
            with self.turns.turn():
                asked = []
                for count, work in enumerate(works, start=1):
                    asked.append(pool.submit(self.write, work))
                    while len(self.turns._waiting) < count:
                        time.sleep(0.001)
            return asked

    def numbers(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.scalars(text("SELECT n FROM numbers ORDER BY n")))


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    made = Shared(tmp_path)
    yield made
    made.engine.dispose()


def adding(n: int) -> Work[int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": n})
        return n

    return work


def test_those_that_wait_share_one_commit_and_each_gets_its_own_answer(shared: Shared) -> None:
    answers = shared.together([adding(n) for n in range(20)])
    assert [answer.result() for answer in answers] == list(range(20))
    assert shared.numbers() == list(range(20))
    assert shared.commits == 1


def test_more_than_may_share_one_take_several(shared: Shared) -> None:
    answers = shared.together([adding(n) for n in range(100)])
    assert [answer.result() for answer in answers] == list(range(100))
    assert shared.commits == 2


def _refused(_: Connection) -> int:
    raise RequestError("not this one")


@pytest.mark.parametrize(
    ("bad", "error"), [(_refused, RequestError), (adding(3), Exception)], ids=["refused", "twice"]
)
def test_one_that_fails_fails_alone(bad: Work[int], error: type[Exception], shared: Shared) -> None:
    good: list[Work[int]] = [adding(n) for n in range(10)]
    answers = shared.together([*good[:5], bad, *good[5:]])
    with pytest.raises(error):
        answers.pop(5).result()
    assert [answer.result() for answer in answers] == list(range(10))
    assert shared.numbers() == list(range(10))


def test_a_database_that_is_away_is_asked_once_for_all_of_them(shared: Shared) -> None:
    shared.away = True
    for answer in shared.together([adding(n) for n in range(10)]):
        with pytest.raises(LogUnavailable, match="it is away"):
            answer.result()
    shared.away = False
    assert shared.write(adding(1)) == 1
    assert shared.numbers() == [1]


def test_who_gets_no_turn_in_time_is_told_so_and_never_written(tmp_path: Path) -> None:
    shared = Shared(tmp_path, seconds=0.1)
    with shared.turns.turn(), pytest.raises(LogUnavailable, match="no turn to write"):
        shared.write(adding(1))
    assert shared.write(adding(2)) == 2
    assert shared.numbers() == [2]
    shared.engine.dispose()


def test_a_thread_that_is_broken_off_leaves_no_other_waiting(shared: Shared) -> None:
    def broken_off(_: Connection) -> int:
        raise KeyboardInterrupt

    answers = shared.together([broken_off, adding(1)])
    with pytest.raises((KeyboardInterrupt, LogUnavailable)):
        answers[0].result()
    with pytest.raises((KeyboardInterrupt, LogUnavailable)):
        answers[1].result()
    assert shared.write(adding(2)) == 2
    assert shared.numbers() == [2]


def test_many_threads_lose_and_double_nothing(shared: Shared) -> None:
    start = threading.Barrier(16)

    def many(first: int) -> list[int]:
        start.wait()
        return [shared.write(adding(n)) for n in range(first, 400, 16)]

    with ThreadPoolExecutor(16) as pool:
        told = sorted(n for some in pool.map(many, range(16)) for n in some)
    assert told == shared.numbers() == list(range(400))
