"""Group commit: threads of one process share transactions of a database with one writer at a time.

A thread that waits for its turn leaves its work in a queue. The thread that has the turn, the
leader, does all of that work in one transaction: the commit is what takes long, and the images of
one batch end at the same moment.
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
#: How many may share a transaction, since other processes wait for it.
_MOST_TOGETHER = 64


class _PendingWork(NamedTuple):
    """Work that waits for a turn, and the future for what it returns."""

    work: Work[Any]
    result: Future[Any]


class GroupCommit:
    """The turns to write to one database, whose waiting work is committed together."""

    def __init__(self, where: str, *, seconds: float = _TURN_SECONDS) -> None:
        """Prepares the turns of a group commit.

        Args:
            where: the database, in errors.
            seconds: how long to wait for a turn.
        """
        self._where = where
        self._seconds = seconds
        self._turn = threading.Lock()
        self._waiting: deque[_PendingWork] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Holds the turn to commit during the block.

        Raises:
            LogUnavailable: another thread held it for too long.
        """
        if not self._turn.acquire(timeout=self._seconds):
            what = f"no turn to write within {self._seconds:g} s"
            remedy = "Another process may hold it; otherwise check the disk that it is on"
            raise LogUnavailable(what, self._where, remedy)
        try:
            yield
        finally:
            self._turn.release()

    def commit(self, work: Work[T], transaction: Transaction) -> T:
        """Returns what `work` returns, once a transaction with it is committed.

        Args:
            work: may share its transaction with others; where it raises, it alone is undone.
            transaction: entered by whichever thread has the turn.

        Raises:
            LogUnavailable: there was no turn, or the database does not answer. The work may be
                written all the same, so it must be safe to do again.
        """
        mine = _PendingWork(work, Future())
        self._waiting.append(mine)
        try:
            with self.turn():
                while not mine.result.done():
                    self._lead_group(transaction)
        except LogUnavailable:
            # A leader may have written it meanwhile, and another thread taken the turn.
            if mine.result.cancel() or not mine.result.done():
                raise
        except BaseException:
            mine.result.cancel()
            raise
        return cast(T, mine.result.result())

    def _lead_group(self, transaction: Transaction) -> None:
        """Commits what waits, the oldest first; then each has its result."""
        taken: list[_PendingWork] = []
        try:
            while self._waiting and len(taken) < _MOST_TOGETHER:
                taken.append(self._waiting.popleft())
            # Without those that have given up.
            group = [pending for pending in taken if pending.result.set_running_or_notify_cancel()]
            if group:
                _commit_group(group, transaction)
        finally:
            for pending in taken:
                if not pending.result.done():  # this thread was interrupted
                    error = LogUnavailable("the write was broken off", self._where, "Try again")
                    with suppress(InvalidStateError):
                        pending.result.set_exception(error)


def _commit_group(group: Sequence[_PendingWork], transaction: Transaction) -> None:
    """Does the work of a group in one transaction, and sets the results once it is committed."""
    try:
        with transaction() as connection:
            ends = [_grouped_result(pending.work, connection) for pending in group]
    except Exception as error:  # the database failed, and so everybody's work did
        ends = [_group_error_copy(error) for _ in group]
    for pending, (result, failure) in zip(group, ends, strict=True):
        if failure is None:
            pending.result.set_result(result)
        else:
            pending.result.set_exception(failure)


def _grouped_result(work: Work[Any], connection: Connection) -> tuple[Any, Exception | None]:
    """Returns what a piece of work returns, or why it alone is undone.

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


def _group_error_copy(error: Exception) -> tuple[None, Exception]:
    """Returns one thread's own copy of an error, since raising an error changes it."""
    if not isinstance(error, LogUnavailable):
        return None, error
    own = LogUnavailable(*error.args)
    own.__cause__ = error.__cause__
    return None, own
