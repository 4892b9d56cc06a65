"""Takes requests from the queues, as many at a time as a worker has room for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

from moderation.queue.hand import Hand, Taken

log = logging.getLogger(__name__)

#: How long a worker waits for a message before it looks again, in seconds.
_WAIT_SECONDS = 1.0
#: Pauses while Redis is away, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Intake:
    """The thread that takes; others tell it what has left, which makes room."""

    def __init__(
        self,
        hand: Hand,
        on_taken: Callable[[list[Taken]], None],
        *,
        most: int,
        most_bytes: int,
        stopping: Callable[[], bool],
    ) -> None:
        """Prepares an intake that has not begun.

        Args:
            hand: takes from the queues.
            on_taken: is given what was taken together, in the intake's thread.
            most: requests that are in hand at a time, at most.
            most_bytes: what their messages hold together, at most; one is always taken.
            stopping: whether the worker was told to end, and so takes nothing more.
        """
        self._hand = hand
        self._on_taken = on_taken
        self._most, self._most_bytes = most, most_bytes
        self._is_stopping = stopping
        self._count = self._bytes = 0
        self._rest_until = 0.0
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begins to take in requests."""
        self._thread.start()

    def left(self, count: int, size: int) -> None:
        """Notes that requests left, with the bytes of their messages; the intake has their room."""
        with self._changed:
            self._count -= count
            self._bytes -= size
            self._changed.notify()

    def rest(self, seconds: float) -> None:
        """Takes nothing in for some seconds, so that a worker that is broken does not take all."""
        with self._changed:
            self._rest_until = time.monotonic() + seconds

    def stop(self) -> None:
        """Takes nothing in any more; returns when that is certain."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._hand.wake()
        self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while (room := self._wait_for_room()) > 0:
            try:
                self._take(room)
                pause = _FIRST_PAUSE
            except (redis.RedisError, OSError) as error:
                log.error("nothing can be taken from Redis: %s", error)
                self._pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception:
                log.exception("what was taken could not be read")
                self._pause(_LONGEST_PAUSE)

    def _wait_for_room(self) -> int:
        """Returns for how many requests there is room, or 0 once the intake is stopped."""
        with self._changed:
            while not self._stopped:
                resting = self._rest_until - time.monotonic()
                if self._is_stopping():  # `stop` comes when Celery's worker has ended
                    self._changed.wait(_WAIT_SECONDS)
                elif resting > 0:
                    self._changed.wait(resting)
                elif self._count < self._most and self._bytes < self._most_bytes:
                    return self._most - self._count
                else:
                    self._changed.wait()
            return 0

    def _take(self, room: int) -> None:
        taken = self._hand.take(room, self._most_bytes - self._bytes)
        if not taken:
            self._hand.wait(_WAIT_SECONDS)
            return
        with self._changed:
            self._count += len(taken)
            self._bytes += sum(len(each.raw) for each in taken)
        self._on_taken(taken)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=seconds)
