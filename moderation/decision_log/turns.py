"""Turns to write, of the threads of one process, to a database that takes one writer at a time.

A thread that waits for its turn leaves its work in a queue, and the thread that has the turn, the
leader, does all of it in one transaction: it is the commit that takes long, and the images of one
batch end at the same moment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection

from moderation.errors import LogUnavailable

T = TypeVar("T")
Work = Callable[[Connection], T]
#: A transaction that is committed at the end of its block.
Transaction = Callable[[], AbstractContextManager[Connection]]

#: How long to wait for a turn, in seconds.
_TURN_SECONDS = 5
#: So many share a transaction at most: other processes wait for it.
_MOST_TOGETHER = 64


class _Waiting(NamedTuple):
    """What is to be written, and where its answer goes."""

    work: Work[Any]
    answer: Future[Any]


class Turns:
    """The turns at one database."""

    def __init__(self, where: str, *, seconds: float = _TURN_SECONDS) -> None:
        """Prepares turns; nobody has one.

        Args:
            where: the database, in errors.
            seconds: how long to wait for a turn.
        """
        self._where = where
        self._seconds = seconds
        self._turn = threading.Lock()
        self._waiting: deque[_Waiting] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Holds the turn while its block lasts.

        Raises:
            LogUnavailable: another holds it for too long.
        """
        if not self._turn.acquire(timeout=self._seconds):
            what = f"no turn to write within {self._seconds:g} s"
            remedy = "Another process may hold it; else check the disk that it lies on"
            raise LogUnavailable(what, self._where, remedy)
        try:
            yield
        finally:
            self._turn.release()

    def share(self, work: Work[T], transaction: Transaction) -> T:
        """Returns what `work` returns, once a transaction with it is committed.

        Args:
            work: may share its transaction with others; undone by itself where it raises.
            transaction: entered in turn, perhaps by another thread.

        Raises:
            LogUnavailable: there was no turn, or the database does not answer. It may be written
                all the same, so it must be safe to do it again.
        """
        mine = _Waiting(work, Future())
        self._waiting.append(mine)
        try:
            with self.turn():
                while not mine.answer.done():
                    self._lead(transaction)
        except LogUnavailable:
            # A leader may have written it in the meantime, and the turn gone to somebody else.
            if mine.answer.cancel() or not mine.answer.done():
                raise
        except BaseException:
            mine.answer.cancel()
            raise
        return cast(T, mine.answer.result())

    def _lead(self, transaction: Transaction) -> None:
        """Writes what waits, the oldest first; every one of these has its answer then."""
        taken: list[_Waiting] = []
        try:
            while self._waiting and len(taken) < _MOST_TOGETHER:
                taken.append(self._waiting.popleft())
            # Those that have given up are left out.
            group = [waiting for waiting in taken if waiting.answer.set_running_or_notify_cancel()]
            if group:
                _write(group, transaction)
        finally:
            for waiting in taken:
                if not waiting.answer.done():  # this thread was told to end
                    told = LogUnavailable("the write was broken off", self._where, "Try again")
                    with suppress(InvalidStateError):
                        waiting.answer.set_exception(told)


def _write(group: Sequence[_Waiting], transaction: Transaction) -> None:
    """Does the work of a group in one transaction, and hands out the answers once it is kept."""
    try:
        with transaction() as connection:
            ends = [_end(waiting.work, connection) for waiting in group]
    except Exception as error:  # the database's, and so everybody's
        ends = [_own(error) for _ in group]
    for waiting, (answer, failure) in zip(group, ends, strict=True):
        if failure is None:
            waiting.answer.set_result(answer)
        else:
            waiting.answer.set_exception(failure)


def _end(work: Work[Any], connection: Connection) -> tuple[Any, Exception | None]:
    """Returns what a work returns, or why it is undone, alone.

    Raises:
        LogUnavailable: the database does not answer.
    """
    try:
        with connection.begin_nested():
            return work(connection), None
    except LogUnavailable:
        raise
    except Exception as error:
        return None, error


def _own(error: Exception) -> tuple[None, Exception]:
    """Returns an error for one of several threads: what raises it writes into it."""
    if not isinstance(error, LogUnavailable):
        return None, error
    own = LogUnavailable(*error.args)
    own.__cause__ = error.__cause__
    return None, own
