"""Threads that share transactions: each gets its own result, and none another's failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy import event as events
from sqlalchemy.exc import IntegrityError

from moderation.decision_log.database import Database, Vanished
from moderation.decision_log.group_commit import GroupCommit, Work
from moderation.errors import LogError, LogUnavailable, RequestError
from tests.support.decision_samples import at_once
from tests.support.waiting import PATIENCE_SECONDS, until


class SharedDatabase:
    """A new SQLite database of numbers, with its own turns; it counts its transactions."""

    def __init__(self, folder: Path) -> None:
        file = folder / "numbers.db"
        file.touch()
        self.database = Database(make_url(f"sqlite:///{file}"), threads=20)
        with self.database.writing() as connection:
            connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
        self.turns = GroupCommit("numbers.db", seconds=PATIENCE_SECONDS)
        self.begun = self.commits = 0
        self.away: type[Exception] | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self.begun += 1
        with self.database._transaction() as connection:
            yield connection
            if self.away is not None:
                raise self.away("it is away")
        self.commits += 1

    def write(self, work: Work[int]) -> int:
        return self.turns.commit(work, self.transaction)

    def together(self, works: list[Work[int]]) -> list[Future[int]]:
        """Returns the results of works that all wait for one turn, in order."""
        with ThreadPoolExecutor(len(works)) as pool:
            with self.turns.turn():
                asked: list[Future[int]] = []
                for work in works:
                    asked.append(pool.submit(self.write, work))
                    until(lambda: len(self.turns._waiting) == len(asked))
            return asked

    def numbers(self) -> list[int]:
        with self.database.reading() as connection:
            return list(connection.scalars(text("SELECT n FROM numbers ORDER BY n")))


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[SharedDatabase]:
    made = SharedDatabase(tmp_path)
    yield made
    made.database.close()


def adding(n: int) -> Work[int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": n})
        return n

    return work


@pytest.mark.parametrize(("count", "commits"), [(20, 1), (100, 2)])
def test_as_many_as_may_share_a_commit_and_each_gets_its_own_result(
    count: int, commits: int, shared: SharedDatabase
) -> None:
    answers = shared.together([adding(n) for n in range(count)])
    assert [answer.result() for answer in answers] == list(range(count))
    assert shared.numbers() == list(range(count))
    assert shared.commits == commits


def _refused(_: Connection) -> int:
    raise RequestError("not this one")


@pytest.mark.parametrize(
    ("bad", "error"),
    [(_refused, RequestError), (adding(3), IntegrityError)],
    ids=["refused", "twice"],
)
def test_one_that_fails_fails_alone(
    bad: Work[int], error: type[Exception], shared: SharedDatabase
) -> None:
    good: list[Work[int]] = [adding(n) for n in range(10)]
    answers = shared.together([*good[:5], bad, *good[5:]])
    with pytest.raises(error):
        answers.pop(5).result()
    assert [answer.result() for answer in answers] == list(range(10))
    assert shared.numbers() == list(range(10))
    assert shared.commits == 1


@pytest.mark.parametrize("failure", [LogUnavailable, LogError])
def test_a_commit_that_fails_fails_for_all_and_is_tried_once(
    failure: type[Exception], shared: SharedDatabase
) -> None:
    shared.away = failure
    answers = shared.together([adding(n) for n in range(10)])
    for answer in answers:
        with pytest.raises(failure, match="it is away"):
            answer.result()
    assert shared.begun == 1
    shared.away = None
    assert shared.write(adding(1)) == 1
    assert shared.numbers() == [1]


def test_threads_get_each_an_error_of_its_own(shared: SharedDatabase) -> None:
    shared.away = LogUnavailable
    errors = [answer.exception() for answer in shared.together([adding(1), adding(2)])]
    assert errors[0] is not errors[1]


def test_work_that_gets_no_turn_in_time_fails_and_is_never_written(shared: SharedDatabase) -> None:
    shared.turns = GroupCommit("numbers.db", seconds=0.1)
    with shared.turns.turn(), pytest.raises(LogUnavailable, match="no turn to write"):
        shared.write(adding(1))
    assert shared.write(adding(2)) == 2
    assert shared.numbers() == [2]


def test_work_that_another_thread_writes_has_its_result_though_its_turn_never_comes(
    shared: SharedDatabase,
) -> None:
    is_written = threading.Event()

    class Never:
        """A turn that never comes; a thread that waits for it gives up once all is written."""

        def acquire(self, timeout: float) -> bool:
            return not is_written.wait()

    shared.turns._turn = Never()  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shared.write, adding(1))
        until(lambda: shared.turns._waiting)
        shared.turns._lead_group(shared.transaction)
        is_written.set()
        assert asked.result() == 1


def test_a_leader_that_is_broken_off_leaves_nobody_waiting(shared: SharedDatabase) -> None:
    def broken_off(_: Connection) -> int:
        raise KeyboardInterrupt

    answers = shared.together([broken_off, adding(1)])
    leader, other = (type(answer.exception()) for answer in answers)
    assert {leader, other} == {KeyboardInterrupt, LogUnavailable}
    assert shared.write(adding(2)) == 2
    assert shared.numbers() == [2]


def test_many_threads_lose_nothing_and_write_nothing_twice(shared: SharedDatabase) -> None:
    def many(first: int) -> list[int]:
        return [shared.write(adding(n)) for n in range(first, 400, 16)]

    results = sorted(n for some in at_once(16, many) for n in some)
    assert results == shared.numbers() == list(range(400))


# The same with the turns of the database itself


def test_writes_to_sqlite_share_commits(shared: SharedDatabase) -> None:
    database = shared.database
    database._group_commit = GroupCommit("numbers.db", seconds=PATIENCE_SECONDS)
    commits: list[Connection] = []
    events.listen(database.engine, "commit", commits.append)
    with ThreadPoolExecutor(8) as pool:
        with database.writing():
            asked = [pool.submit(database.write, adding(n)) for n in range(8)]
            until(lambda: len(database._group_commit._waiting) == 8)
        assert [answer.result() for answer in asked] == list(range(8))
    assert len(commits) == 2  # that of the turn's holder, and that of all others


def test_work_that_is_tried_again_and_again_pauses_without_the_turn(
    shared: SharedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanishing(_: Connection) -> int:
        raise Vanished

    held: list[bool] = []
    here, sleep = threading.current_thread(), time.sleep

    def look(seconds: float) -> None:
        if threading.current_thread() is here:
            held.append(shared.database._group_commit._turn.locked())
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "sleep", look)
    with pytest.raises(LogUnavailable, match="again and again"):
        shared.database.write(vanishing)
    assert held == [False] * 7
