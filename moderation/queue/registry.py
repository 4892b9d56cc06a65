"""Which requests have been accepted and are not final yet, in Redis beside the queues.

A queue alone forgets: a request that a worker has popped and not yet noted is in no list, and a
worker that dies takes what it held with it. So a host enters each request here first, a worker
strikes it off once its answer is in the decision log, and `recovery` sends again what is neither
waiting nor answered. Each method is one script or transaction, and safe from many threads.

Keys: evenhand.accepted (request id -> what was sent) and .bytes (of all of it),
evenhand.accepted.at.QUEUE (request id -> when it was last sent or taken, by the clock of Redis),
evenhand.in_hand (request id -> the workers that took it and did not give it back),
evenhand.worker.NAME (there while that worker lives), evenhand.withdrawn.ID (there for as long as a
host's request for it may be under way), evenhand.quarantined (what `quarantine retry` sends again).
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, Literal, NamedTuple, cast, get_args

import redis

from moderation.errors import QueueFull
from moderation.messages import QUEUES, QueueName
from moderation.queue import scripts

_ACCEPTED_BYTES = "evenhand.accepted.bytes"
_ACCEPTED, _IN_HAND, _WORKER = "evenhand.accepted", "evenhand.in_hand", "evenhand.worker."
_WITHDRAWN = "evenhand.withdrawn."
_QUARANTINED = "evenhand.quarantined"
_QUARANTINE_KEYS = (_QUARANTINED, f"{_QUARANTINED}.at", f"{_QUARANTINED}.bytes")

#: Longer than any request is tried.
_RETIRED_SECONDS = 7 * 86_400.0

#: Longer than a host takes from entering a request to sending it, in seconds: of two hosts, the one
#: that enters a request first may send it last.
_SENDING_SECONDS = 15

#: Longer than a command may take to arrive that was sent on a connection which was then lost.
_WITHDRAWN_SECONDS = 3_600


#: What became of a request that is taken back: a worker has it; it is back; it never came, or is
#: final.
Withdrawn = Literal["in hand", "taken back", "not there"]
_WITHDRAWN_AS: tuple[Withdrawn, ...] = get_args(Withdrawn)


class Accepted(NamedTuple):
    """What was accepted: the request as plain JSON, its queue, and when it was sent (Unix)."""

    request: dict[str, Any]
    queue: QueueName
    sent_at: float

    def packed(self) -> str:
        """Returns the text that the registry keeps."""
        return json.dumps(self._asdict())

    @classmethod
    def unpacked(cls, content: bytes) -> Accepted:
        """Returns what was accepted, from the text that the registry keeps.

        Raises:
            ValueError: it is of another version.
        """
        found = json.loads(content)
        try:
            request, queue, sent_at = found["request"], found["queue"], found["sent_at"]
        except (KeyError, TypeError) as error:
            raise ValueError("this is not an accepted request") from error
        if queue not in QUEUES:
            raise ValueError(f"there is no queue {queue!r}")
        return cls(request, queue, sent_at)


class Registry:
    """The requests that are not final yet; every method raises redis.RedisError."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        script = connection.register_script
        self._accept, self._withdraw = script(scripts.ACCEPT), script(scripts.WITHDRAW)
        self._settle, self._renew = script(scripts.SETTLE), script(scripts.RENEW)
        self._take, self._give_back = script(scripts.TAKE), script(scripts.GIVE_BACK)
        self._beat, self._overdue = script(scripts.BEAT), script(scripts.OVERDUE)
        self._quarantine, self._forget = script(scripts.QUARANTINE), script(scripts.FORGET)

    def accept(
        self,
        request_id: str,
        accepted: Accepted,
        *,
        most_waiting: int,
        most_bytes: int,
        message: str = "",
    ) -> None:
        """Enters a request in the registry and puts its message on the queue, or neither.

        Args:
            request_id: its id.
            accepted: the request.
            most_waiting: requests that may wait in its queue.
            most_bytes: what all requests that are accepted and not final may have together.
            message: as it is to lie on the queue; empty if it is put there later.

        Raises:
            QueueFull: one of the two limits is exceeded.
        """
        keys, content = _registry_keys(request_id, accepted.queue), accepted.packed()
        entered = self._accept(keys, [request_id, content, most_waiting, most_bytes, message])
        if entered == 0:
            raise _registry_full(f"{most_waiting} requests wait", accepted.queue, "LENGTH")
        if entered == -1:
            raise _registry_full(
                f"requests of {most_bytes} bytes are accepted", accepted.queue, "BYTES"
            )

    def reach(self) -> None:
        """Returns if the registry can be reached; what fails after may still have been done."""
        pool = self._redis.connection_pool
        pool.release(pool.get_connection())

    def withdraw(self, request_id: str, queue: QueueName, message: str, *, lost: bool) -> Withdrawn:
        """Takes a request whose `accept` failed out of the registry; returns what was found.

        Args:
            request_id: its id.
            queue: its queue.
            message: as it was to lie on the queue.
            lost: whether the answer is missing, so that `accept` may still be under way.
        """
        milliseconds = 1000 * _WITHDRAWN_SECONDS if lost else 0
        found = self._withdraw(
            _registry_keys(request_id, queue), [request_id, message, milliseconds]
        )
        return _WITHDRAWN_AS[cast(int, found)]

    def take(self, request_id: str, queue: QueueName, worker: str) -> int:
        """Registers that a worker takes a request; returns how many may have died of it."""
        arguments = [request_id, worker, _WORKER]
        return int(cast(int, self._take([_IN_HAND, _registry_key(queue)], arguments)))

    def give_back(self, request_id: str, worker: str) -> None:
        """Registers that a worker gives a request back alive, so that it will be taken again."""
        self._give_back([_IN_HAND], [request_id, worker])

    def beat(self, worker: str, seconds: float) -> None:
        """Registers that a worker lives, for `seconds`; without this it is taken for dead."""
        self._beat([_WORKER + worker], [math.ceil(1000 * seconds)])

    def retire(self, worker: str) -> None:
        """Registers that a worker ends by itself: it does not die of what it had in hand."""
        with suppress(redis.RedisError):  # otherwise it counts as one death
            self.beat(worker, _RETIRED_SECONDS)

    def settle(self, request_id: str) -> None:
        """Strikes a request that has its final answer off the registry."""
        keys = [_ACCEPTED, _ACCEPTED_BYTES, _IN_HAND, *map(_registry_key, QUEUES)]
        self._settle(keys, [request_id])

    def overdue(self, queue: QueueName, *, seconds: float, most: int) -> list[str]:
        """Returns registered ids that nobody sent or took for long and that cannot be waiting.

        Args:
            queue: which.
            seconds: how long; longer than a worker may have one in hand.
            most: how many are returned, at most.
        """
        keys, arguments = (
            [_registry_key(queue), QUEUES[queue]],
            [seconds, most, _SENDING_SECONDS],
        )
        return [str(name, "utf-8") for name in cast(Any, self._overdue(keys, arguments))]

    def accepted(self, request_id: str) -> Accepted | None:
        """Returns a registered request: accepted and not final; None if none has that id.

        Raises:
            ValueError: it is of another version.
        """
        content = cast(Any, self._redis.hget(_ACCEPTED, request_id))
        return Accepted.unpacked(content) if content else None

    def renew(self, request_id: str, queue: QueueName, message: str = "") -> None:
        """Restarts the registered clock of a request; puts its message, if given, on the queue."""
        self._renew([_registry_key(queue), QUEUES[queue]], [request_id, message])

    def count(self) -> int:
        """Returns how many requests are registered: accepted and not final."""
        return self._redis.hlen(_ACCEPTED)

    def quarantine(self, request_id: str, accepted: Accepted, *, most_bytes: int) -> bool:
        """Registers a quarantined request; False if it is too large. The oldest make room."""
        arguments: list[str | float] = [request_id, accepted.packed(), most_bytes]
        return bool(self._quarantine(_QUARANTINE_KEYS, arguments))

    def quarantined(self, request_id: str) -> Accepted | None:
        """Returns a quarantined request; None if the registry does not keep it any more."""
        content = cast(Any, self._redis.hget(_QUARANTINED, request_id))
        return Accepted.unpacked(content) if content else None

    def forget(self, request_id: str) -> None:
        """Removes a quarantined request from the registry; the decision log still knows of it."""
        self._forget(_QUARANTINE_KEYS, [request_id])


def _registry_key(queue: QueueName) -> str:
    return f"evenhand.accepted.at.{queue}"


def _registry_keys(request_id: str, queue: QueueName) -> list[str]:
    """Returns the keys of what is accepted for a queue, and of a request that was withdrawn."""
    withdrawn = _WITHDRAWN + request_id
    return [_ACCEPTED, _ACCEPTED_BYTES, _registry_key(queue), QUEUES[queue], withdrawn]


def _registry_full(what: str, queue: QueueName, limit: str) -> QueueFull:
    return QueueFull(
        f"{what} already",
        f"queue {queue}",
        "Send it again later, and fewer at a time; the operator: more workers, or "
        f"MODERATION_MAX_QUEUE_{limit}",
    )
