"""A call that may hang -> what it returns, or an error within a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from moderation.errors import TransientError

T = TypeVar("T")


class NoRoom(TimeoutError):
    """So many calls with a deadline are under way that this one did not begin."""


def call_within(
    seconds: float, call: Callable[[], T], room: threading.Semaphore, *, wait: bool = True
) -> T:
    """Returns what a call returns, or raises what it raises.

    A call that hangs cannot be stopped, only left behind: it keeps a thread and its place in
    `room` until it ends.

    Args:
        seconds: how long it may take, with the wait for its place.
        call: what may hang.
        room: as many places as calls may be under way.
        wait: whether to wait for a place.

    Raises:
        NoRoom: there is no place. TimeoutError: it takes longer. TransientError: no thread can be
        started for it.
    """
    deadline = time.monotonic() + seconds
    if not room.acquire(timeout=seconds if wait else 0):
        raise NoRoom("too many calls are under way")
    return _begun_within_deadline(call, room).result(max(0.0, deadline - time.monotonic()))


def _begun_within_deadline(call: Callable[[], T], room: threading.Semaphore) -> Future[T]:
    """Begins a call in a thread of its own, which gives its place back when the call ends."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            try:
                result = call()
            finally:
                room.release()
        except BaseException as error:  # otherwise whoever waits would never learn of it
            future.set_exception(error)
        else:
            future.set_result(result)

    # A daemon, since a process that ends must not wait for what hangs.
    thread = threading.Thread(target=run, name="may-hang", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        room.release()
        remedy = "Raise the limit of threads, or lower MODERATION_CONCURRENCY"
        raise TransientError("no thread can be started", "this machine", remedy) from error
    return future
