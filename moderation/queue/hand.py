"""What one worker takes from the queues, in one step each; and what others left in hand, put back.

A message is always in one place: in its queue, in a worker's hand, or in what comes later. So one
that a dead worker had is not lost, and none needs a second copy.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

import redis

from moderation.messages import QUEUES, QueueName
from moderation.queue import scripts
from moderation.queue.bell import Bell
from moderation.queue.celery_app import connect_results
from moderation.queue.envelope import (
    MOST_STRIKES,
    largest_message,
    read_envelope,
)
from moderation.queue.keys import BYTES, DUE, FORMER, HAND, HELD, LATER, SWEPT, WORKER
from moderation.queue.packed_message import pack_again
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Seconds between two signs of life, and how many make the life of a worker that gives none.
_LONGEST_PAUSE, _SHORTEST_PAUSE, _PAUSES = 5.0, 0.5, 4
#: What begins the key of a result, in Celery's form.
_RESULT = "celery-task-meta-"
#: How many that were left in hand are put back at a time, at most.
_AT_ONCE = 1_000

_KEYS = [HAND, DUE, HELD]
_QUEUES = [*QUEUES.values()]
_WAITING = [key for name in QUEUES for key in (LATER[name], QUEUES[name])]


class Taken(NamedTuple):
    """A message in hand, as it lay in its queue; its tag names it until it is settled."""

    tag: str
    queue: QueueName
    raw: bytes


class Settled(NamedTuple):
    """What is answered: its tag, the size of its envelope, and key and value of the result."""

    tag: str
    size: int
    result: tuple[str, bytes] | None


class Hand:
    """What one worker has in hand; every method raises redis.RedisError, and any thread may call.

    Attributes:
        pause: seconds between two calls of `beat`.
    """

    def __init__(
        self,
        connection: redis.Redis,
        settings: Settings,
        *,
        worker: str,
        queues: Sequence[QueueName],
    ) -> None:
        """Has nothing in hand yet.

        Args:
            connection: to the broker's Redis.
            settings: of the worker.
            worker: its name, which no other worker ever had; without a colon.
            queues: what it serves.
        """
        timeout = settings.visibility_timeout_seconds
        self.pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, timeout / 8))
        self._redis, self._worker, self._timeout = connection, worker, timeout
        self._results = connect_results(settings)
        self._bell = Bell(settings, [QUEUES[queue] for queue in queues])
        self._serves = [int(queue in queues) for queue in QUEUES]
        self._largest = largest_message(settings.max_image_bytes)
        self._taking = threading.Lock()
        self._number, self._passed = 1, 0
        self._beating_since, self._beat_at = math.inf, -math.inf
        script = connection.register_script
        self._take, self._settle = script(scripts.TAKE), script(scripts.SETTLE)
        self._put_back, self._postpone = script(scripts.PUT_BACK), script(scripts.POSTPONE)
        self._hold, self._begin = script(scripts.HOLD), script(scripts.BEGIN)
        self._beat, self._return = script(scripts.BEAT), script(scripts.RETURN)
        self._left_behind = script(scripts.LEFT_BEHIND)

    def take(self, room: int, most_bytes: int) -> list[Taken]:
        """Returns what was taken just now: interactive first, and bulk in its turn; never waits.

        What was taken by a call whose reply was lost is returned by the next one.

        Args:
            room: how many, at most.
            most_bytes: how long they may be together; one is taken however long it is.
        """
        with self._taking:
            asked = [self._number, room, most_bytes, self._timeout, self._passed, *self._serves]
            found: Any = self._take([HAND, DUE, *_WAITING], [self._worker, *asked])
            self._number, self._passed, *each = found
        tags = [str(tag, "utf-8") for tag in each[::2]]
        return [Taken(tag, _queue_of(tag), raw) for tag, raw in zip(tags, each[1::2], strict=True)]

    def wait(self, seconds: float) -> None:
        """Returns once something lies in a served queue, after `seconds`, or on `wake`.

        It has one caller at a time. What comes back later is only seen by the next `take`.
        """
        self._bell.wait(seconds)

    def wake(self) -> None:
        """Ends the wait at once, or the next one."""
        self._bell.ring()

    def settle(self, done: Sequence[Settled], *, expires_seconds: int) -> None:
        """Strikes off what is answered, and writes the results as Celery does.

        Args:
            done: what is in hand and answered; also what went back to its queue meanwhile.
            expires_seconds: how long the results are kept.
        """
        apart = self._results is not None
        if self._results is not None:  # first, since a result that is missing is not noticed
            with self._results.pipeline(transaction=False) as pipe:
                for key, value in (each.result for each in done if each.result):
                    pipe.set(key, value, ex=expires_seconds)
                    pipe.publish(key, value)
                pipe.execute()
        arguments: list[str | int | bytes] = [expires_seconds, _RESULT]
        for tag, size, result in done:
            key, value = result or ("", b"")
            arguments += [tag, size, key, b"" if apart else value]
        self._settle([*_KEYS, BYTES, *_WAITING, *FORMER], arguments)

    def put_back(self, tags: Sequence[str]) -> None:
        """Puts messages back to the head of their queues, as they were and in this order."""
        self._put_back([*_KEYS, *_QUEUES], tags)

    def postpone(self, tag: str, message: str, seconds: float) -> None:
        """Replaces what is in hand by a message that comes back to its queue after `seconds`."""
        self._postpone([*_KEYS, LATER[_queue_of(tag)]], [tag, message, seconds])

    def hold(self, tags: Sequence[str]) -> None:
        """Notes messages as not begun: if their worker dies, they get none of its strikes."""
        self._hold([HAND, HELD], tags)

    def begin(self, tag: str) -> bool:
        """Notes that a held message is begun; returns whether it is still in hand."""
        return bool(self._begin(_KEYS, [tag, self._timeout]))

    def beat(self) -> None:
        """Gives the worker's sign of life; called every `pause`."""
        milliseconds = math.ceil(1000 * _PAUSES * self.pause)
        began = time.monotonic()
        try:
            was_there = self._beat([WORKER + self._worker], [milliseconds])
        except redis.RedisError:
            self._beating_since = math.inf
            raise
        silent = began - self._beat_at > _PAUSES * self.pause
        slow = time.monotonic() - began > self.pause  # tried again and again, as Redis was away
        if not was_there or silent or slow or self._beating_since == math.inf:
            self._beating_since = time.monotonic()
        self._beat_at = began

    def sweep(self) -> int:
        """Puts back what dead workers left, and what is past its deadline; returns how many.

        While Redis was away nobody could give a sign of life. So it does nothing before this worker
        has given its own for as long as another may have been silent.
        """
        if time.monotonic() - self._beating_since < _PAUSES * self.pause:
            return 0
        until = time.monotonic() + self.pause  # so that the next sign of life is not late
        alone = math.ceil(900 * self.pause)
        found: Any = self._left_behind([*_KEYS, SWEPT], [alone, WORKER, _AT_ONCE])
        count = 0
        for tag, size, strikes in zip(found[::3], found[1::3], found[2::3], strict=True):
            count += self._return_left(tag, size, strikes)
            if time.monotonic() > until:
                break
        return count

    def close(self) -> None:
        """Ends the connections of its own."""
        self._bell.close()
        if self._results is not None:
            self._results.close()

    def _return_left(self, tag: bytes, size: int, strikes: int) -> bool:
        """Puts back one message with further strikes, if it still is left; returns whether it is.

        One that cannot be read goes back as it was.
        """
        queue = _queue_of(str(tag, "utf-8", "replace"))
        message, about = "", {"queue": str(queue)}
        if strikes and size <= self._largest:
            raw = cast(bytes | None, self._redis.hget(HAND, cast(Any, tag)))
            with suppress(Exception):  # otherwise nothing behind it would come back
                envelope = read_envelope(raw or b"", largest=self._largest)
                strikes = min(MOST_STRIKES, envelope.strikes + strikes)
                message = pack_again(envelope, queue, strikes=strikes)
                about["request_id"] = envelope.id
        worker = WORKER.encode() + tag.partition(b":")[0]
        if not self._return([*_KEYS, *_QUEUES, worker], [tag, message]):
            return False
        log.warning("put back: its worker left it in hand", extra=about)
        return True


def _queue_of(tag: str) -> QueueName:
    return "bulk" if tag.endswith(":bulk") else "interactive"
