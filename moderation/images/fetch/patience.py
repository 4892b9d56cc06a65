"""A read that may hang -> its answer, or an error within a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from moderation.errors import TransientError

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
            TimeoutError: it takes longer. TransientError: no thread can be started for it.
        """
        with self._lock:
            if self._running is None or self._running.done():
                self._running = begun(self._read)
            running = self._running
        return running.result(self._seconds)


def begun(read: Callable[[], _Answer]) -> Future[_Answer]:
    """Calls a function in a thread of its own; returns where its answer, or its error, will be.

    Raises:
        TransientError: no thread can be started, and the function is not called.
    """
    running: Future[_Answer] = Future()

    def answer() -> None:
        try:
            running.set_result(read())
        except BaseException as error:  # else who waits would never be told
            running.set_exception(error)

    # A daemon, since a process that ends must not wait for what hangs.
    thread = threading.Thread(target=answer, name="patient", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        remedy = "Raise the limit of threads, or lower MODERATION_CONCURRENCY"
        raise TransientError("no thread can be started", "this machine", remedy) from error
    return running
