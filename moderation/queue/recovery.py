"""Sends accepted requests again that are neither waiting nor answered, so that none stays lost.

It also gives the worker's sign of life, which tells a death from a request that comes twice.

The queue's own redelivery knows what a worker had noted as taken. Recovery starts from what was
accepted, so it also finds what was popped and never noted, or lay in a Redis that lost its last
second.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, cast

import redis

from moderation.messages import QUEUES, TASK_NAME, QueueName
from moderation.queue.former_keys import take_over_former_keys
from moderation.queue.packed_message import pack_message
from moderation.queue.registry import Accepted, Registry
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Only one worker looks at a time; one that dies while it looks holds the others up no longer.
_LOCK, _LOCK_SECONDS = "evenhand.recovery", 30
#: Requests of a queue that are sent again in one look, so that a look is short.
_AT_ONCE = 100
#: Looks without a sign of life after which a worker is taken for dead.
_BEATS = 4


class Recovery:
    """One worker's looks for lost requests.

    Attributes:
        pause: the seconds between two of them.
    """

    def __init__(self, connection: redis.Redis, settings: Settings, *, worker: str) -> None:
        """Prepares to look.

        Args:
            connection: to the broker's Redis.
            settings: of the worker.
            worker: its name in the registry, where it notes that it lives.
        """
        self._worker = worker
        self.pause = min(30.0, max(1.0, settings.visibility_timeout_seconds / 4))
        self._redis = connection
        self._registry = Registry(connection)
        self._settings = settings
        self._has_taken_over = False

    def beat_and_recover(self) -> None:
        """Notes that the worker lives, and sends lost requests again; called every `pause`."""
        try:
            self._registry.beat(self._worker, _BEATS * self.pause)
            self.look()
            self._take_over_former_keys()
        except redis.RedisError as error:
            log.warning("no look for lost requests: %s", type(error).__name__)

    def look(self) -> int:
        """Sends lost requests again; returns how many. 0 where another worker is looking.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        token = secrets.token_hex(8)
        if not self._redis.set(_LOCK, token, nx=True, ex=_LOCK_SECONDS):
            return 0
        try:
            return sum(self._recover_queue(queue) for queue in QUEUES)
        finally:
            # Another's lock is left alone, except in the moment between these two commands; two
            # workers that look at once do no harm.
            if cast(Any, self._redis.get(_LOCK)) == token.encode():
                self._redis.delete(_LOCK)

    def _recover_queue(self, queue: QueueName) -> int:
        timeout = self._settings.visibility_timeout_seconds
        lost = self._registry.overdue(queue, seconds=timeout, most=_AT_ONCE)
        # One at a time: together they may be larger than this process can hold.
        return sum(self._recover_request(request_id, queue) for request_id in lost)

    def _recover_request(self, request_id: str, queue: QueueName) -> bool:
        """Sends a request again; returns whether there was one to send."""
        try:
            accepted = self._registry.accepted(request_id)
        except ValueError:
            self._registry.renew(request_id, queue)  # so that it does not hold up others
            log.error("not sent again: of another version", extra={"request_id": request_id})
            return False
        if accepted is None:  # it got its answer just now
            self._registry.settle(request_id)
            return False
        send_accepted_again(self._registry, request_id, accepted)
        log.warning("sent again: it was lost", extra={"request_id": request_id})
        return True

    def _take_over_former_keys(self) -> None:
        """Takes over what workers of an older version had in hand, once."""
        if self._has_taken_over:
            return
        if taken := take_over_former_keys(self._redis):
            log.warning("taken over from a worker of an older version: %s requests", taken)
        self._has_taken_over = True


def send_accepted_again(registry: Registry, request_id: str, accepted: Accepted) -> None:
    """Sends an accepted request again, for recovery or release, as it was; its clock restarts.

    Raises:
        redis.RedisError: Redis does not answer, or is full.
    """
    request, queue, sent_at = accepted
    message = pack_message(TASK_NAME, request_id, request, QUEUES[queue], sent_at)
    registry.renew(request_id, queue, message)
