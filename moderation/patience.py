"""A read that may hang -> its answer, or an error within a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Patient(Generic[_Answer]):
    """Calls a function that may hang, and waits for it no longer than a time.

    Who asks while it runs gets the same answer. So a function that hangs holds one thread, however
    often it is asked for.
    """

    def __init__(self, read: Callable[[], _Answer], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: Future[_Answer] | None = None

    def __call__(self) -> _Answer:
        """Returns what the function returns, or raises what it raises.

        Raises:
            TimeoutError: it takes longer.
        """
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                # A daemon, since a process that ends must not wait for what hangs.
                threading.Thread(
                    target=self._answer, args=(self._running,), name="patient", daemon=True
                ).start()
            running = self._running
        return running.result(self._seconds)

    def _answer(self, running: Future[_Answer]) -> None:
        try:
            running.set_result(self._read())
        except BaseException as error:  # else who waits would never be told
            running.set_exception(error)
