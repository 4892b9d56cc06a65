"""Turns to write, of the threads of one process, to a database that takes one writer at a time.

Who waits for a turn is written by whoever has it, in one transaction with all others that wait: it
is the commit that takes long, and the images of one batch end at the same moment.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection

from moderation.errors import LogUnavailable

T = TypeVar("T")
Work = Callable[[Connection], T]

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
            raise LogUnavailable(what, self._where, "Check the disk that it lies on")
        try:
            yield
        finally:
            self._turn.release()

    def share(
        self,
        work: Work[T],
        transaction: Callable[[], AbstractContextManager[Connection]],
        alone: Callable[[Work[Any]], Any],
    ) -> T:
        """Returns what `work` returns, once a transaction with it is committed.

        Args:
            work: run again where another's failure undoes it, so it must do nothing else.
            transaction: commits at the end of its block; called in turn.
            alone: runs one work in a transaction of its own; called in turn, for those that
                would not go together.

        Raises:
            LogUnavailable: there was no turn, or the database does not answer. Where the wait was
                too long it may be written all the same.
        """
        mine = _Waiting(work, Future())
        self._waiting.append(mine)
        try:
            with self.turn():
                while not mine.answer.done():
                    self._write_some(transaction, alone)
        except BaseException:
            mine.answer.cancel()
            raise
        return cast(T, mine.answer.result())

    def _write_some(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        alone: Callable[[Work[Any]], Any],
    ) -> None:
        """Writes what waits, the oldest first; every one of these then has its answer."""
        count = min(len(self._waiting), _MOST_TOGETHER)
        taken = [self._waiting.popleft() for _ in range(count)]
        # Those that have given up are left out.
        group = [waiting for waiting in taken if waiting.answer.set_running_or_notify_cancel()]
        try:
            if len(group) > 1 and _written_together(group, transaction):
                return
            for waiting in group:
                _write_alone(waiting, alone)
        finally:
            for waiting in group:
                if not waiting.answer.done():  # this thread was told to end
                    told = LogUnavailable("the write was broken off", self._where, "Try again")
                    waiting.answer.set_exception(told)


def _written_together(
    group: list[_Waiting], transaction: Callable[[], AbstractContextManager[Connection]]
) -> bool:
    """Returns whether each has its answer; not where one of them stands in the others' way."""
    try:
        with transaction() as connection:
            answers = [waiting.work(connection) for waiting in group]
    except LogUnavailable as error:  # everybody's: each alone would wait as long for it
        for waiting in group:
            waiting.answer.set_exception(error)
    except Exception:
        return False
    else:
        for waiting, answer in zip(group, answers, strict=True):
            waiting.answer.set_result(answer)
    return True


def _write_alone(waiting: _Waiting, alone: Callable[[Work[Any]], Any]) -> None:
    try:
        waiting.answer.set_result(alone(waiting.work))
    except Exception as error:
        waiting.answer.set_exception(error)
