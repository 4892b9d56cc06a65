"""The turn to write, for the threads of one process on a database with one writer at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from moderation.errors import LogUnavailable

#: How long to wait for the turn, in seconds.
_TURN_SECONDS = 5.0


class WritersTurn:
    """The turn to write to one database, in the order in which threads ask for it.

    A lock alone would go again and again to a thread that has just released it, such as one that
    deletes many rows a few at a time.
    """

    def __init__(self, where: str, *, seconds: float = _TURN_SECONDS) -> None:
        """Nobody has the turn at first.

        Args:
            where: the database, in errors.
            seconds: how long to wait for the turn.
        """
        self._where = where
        self._seconds = seconds
        self._lock = threading.Lock()
        self._is_taken = False
        #: A lock for each thread that waits; it is released when its turn has come.
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the writers' turn during the block.

        Raises:
            LogUnavailable: others held it for too long.
        """
        self._wait()
        try:
            yield
        finally:
            with self._lock:
                self._pass_on()

    def _wait(self) -> None:
        mine = threading.Lock()
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            mine.acquire()
            self._waiting.append(mine)
        has_come = False
        try:
            has_come = mine.acquire(timeout=self._seconds)
        finally:
            if not has_come:  # too late, or this thread was interrupted
                self._give_up(mine)
        if not has_come:
            what = f"no turn to write within {self._seconds:g} s"
            remedy = "Another process may hold it; otherwise check the disk that it is on"
            raise LogUnavailable(what, self._where, remedy)

    def _give_up(self, mine: threading.Lock) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            else:  # it has come just now
                self._pass_on()

    def _pass_on(self) -> None:
        """Gives the turn to whoever waits longest; the caller has the lock."""
        if self._waiting:
            self._waiting.popleft().release()
        else:
            self._is_taken = False
