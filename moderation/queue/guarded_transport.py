"""Takes messages from Redis: each becomes one that Celery may see, or poison that is reported.

It is a small subclass of kombu's channel, since what a stranger writes breaks kombu before Celery
sees it. Between being taken and being noted as taken, a message is in no list of Redis. If the note
fails, the message is held here and put back as soon as Redis takes it.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

import redis
from celery import Celery
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from moderation.queue.envelope import (
    Envelope,
    UnreadableMessage,
    largest_message,
    pack_note,
    read_command,
    read_envelope,
    read_note,
)
from moderation.queue.pooled_transport import PooledChannel
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: How many retries may wait in a worker's memory, for each request that it may have in hand.
_WAITING_FOR_EACH = 10
#: How often a worker looks for what a dead one had in hand, in seconds.
_LONGEST_SWEEP_SECONDS = 10.0
#: How many of them it puts back at a time.
_RESTORED_AT_ONCE = 1_000

_LOST = (redis.RedisError, OSError)


@dataclass(frozen=True)
class Poison:
    """What the guard lets no worker act on: queue, why, task's id, size and hash of a message."""

    queue: str
    why: str
    task_id: str | None
    size: int
    sha256: str


OnPoison = Callable[[Poison], None]


@dataclass(eq=False, repr=False)
class Guard:
    """What the channels of one worker share: what they let through, and what is to be put back."""

    on_poison: OnPoison
    largest: int
    #: What was taken from Redis and is not noted there: queue and bytes, oldest first.
    taken: deque[tuple[str, bytes]] = field(default_factory=deque)

    def report_poison(self, queue: str, raw: bytes, error: UnreadableMessage) -> bool:
        """Hands a message to the guard's hook, once; returns whether that went well."""
        sha256 = hashlib.sha256(raw).hexdigest()
        try:
            self.on_poison(Poison(queue, error.why, error.task_id, len(raw), sha256))
        except Exception as failure:
            log.error("a poisoned message stays for later: %s", type(failure).__name__)
            return False
        return True


class _GuardedMessage(virtual.Message):  # type: ignore[misc]
    """Gives Celery the arguments, which are parsed already, so that nothing is parsed again."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        if not isinstance(payload, Envelope):  # a command
            super().__init__(payload, channel=channel, **kwargs)
            return
        super().__init__({**payload, "body": None}, channel=channel, **kwargs)
        self._raw = payload
        self.body = self._decoded_cache = payload.arguments
        self.content_type = None  # so Celery takes the body as it is


class _GuardedQoS(kombu_redis.QoS):  # type: ignore[misc]
    """Notes what is taken until it is answered; believes no note that it finds in Redis."""

    def append(self, message: _GuardedMessage, delivery_tag: str) -> None:
        """Notes a message of the guarded channel as taken."""
        try:
            super().append(message, delivery_tag)
        except _LOST as error:
            raw = kombu_redis.dumps(message._raw).encode()
            self.channel.hold_message(message.delivery_info["routing_key"], raw, error)

    def restore_unacked(self, client: Any = None) -> None:
        """Puts back what is in hand; if that fails, it comes back after the visibility timeout."""
        transport = self.channel.connection
        if transport is not None and transport.client is not None:
            try:
                super().restore_unacked(client)
            except _LOST as error:
                log.warning("what is in hand comes back later: %s", error)
        self._delivered.clear()

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Puts what was taken back into its queue; what is not ours is poison."""
        with self.channel.conn_or_acquire(client) as connection:
            note = connection.hget(self.unacked_key, tag)
            try:
                read = read_note(note) if note else None
            except UnreadableMessage as error:
                if self.channel.guard.report_poison(self.unacked_key, note, error):
                    self._remove_from_indices(tag).execute()
                return

            def put_back(pipe: Any) -> None:
                unchanged = pipe.hget(self.unacked_key, tag) == note
                pipe.multi()
                if not unchanged:
                    return  # another worker was faster
                self._remove_from_indices(tag, pipe)
                if read:
                    queue, text = read
                    push = pipe.lpush if leftmost else pipe.rpush
                    push(queue, text.encode("utf-8", "surrogateescape"))

            connection.transaction(put_back, self.unacked_key)


class _GuardedChannel(PooledChannel):
    """Reads the queues."""

    QoS = _GuardedQoS
    Message = _GuardedMessage
    guard: Guard
    from_transport_options = (*kombu_redis.Channel.from_transport_options, "guard")

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Waits for the next message, unless one that was taken cannot be put back yet."""
        if self._put_back_taken():
            super()._brpop_start(timeout)

    def _put_back_taken(self) -> bool:
        """Puts back what could not be noted; returns whether nothing is left."""
        taken = self.guard.taken
        while taken:
            queue, raw = taken[-1]
            try:
                with self.conn_or_acquire() as client:
                    client.rpush(queue, raw)
            except redis.ResponseError as error:  # full; a lost connection is for the caller
                log.error("Redis does not take a request back: %s", error)
                return False
            taken.pop()
        return True

    def hold_message(self, queue: str, raw: bytes, error: Exception) -> None:
        """Holds what Redis does not note, to be put back; always raises.

        Raises:
            Empty: Redis refuses, so nothing else is taken until it accepts again.
        """
        self.guard.taken.append((queue, raw))
        if isinstance(error, redis.ResponseError):
            log.error("Redis does not note what is in hand: %s", error)
            raise Empty from error
        raise error

    def _brpop_read(self, **options: Any) -> bool:
        """Reads one message and delivers it."""
        try:
            popped = self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = None
        if not popped:
            raise Empty
        key, raw = popped
        queue = str(key, "utf-8").rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        try:
            envelope = read_envelope(raw, queue, largest=self.guard.largest)
        except UnreadableMessage as error:
            self._guard_from_poison(queue, raw, error)
        else:
            self.connection._deliver(envelope, queue)
        return True

    def _guard_from_poison(self, queue: str, raw: bytes, error: UnreadableMessage) -> None:
        """Reports a message before it is gone; if that fails, the message comes back later."""
        tag = str(uuid.uuid4())
        with self.conn_or_acquire() as client:
            try:
                with client.pipeline() as pipe:
                    pipe.zadd(self.unacked_index_key, {tag: time.time()})
                    pipe.hset(self.unacked_key, tag, pack_note(raw, queue))
                    pipe.execute()
            except _LOST as lost:
                self.hold_message(queue, raw, lost)
            if self.guard.report_poison(queue, raw, error):
                self.qos._remove_from_indices(tag).execute()

    def _get(self, queue: str) -> Any:
        raise NotImplementedError("messages are waited for, never asked for")

    def _handle_message(self, client: Any, response: Any) -> dict[str, Any]:
        """Lets through no command but the one that asks whether a worker lives."""
        payload: dict[str, Any] = super()._handle_message(client, response)
        if str(payload["type"], "utf-8").endswith("message"):
            payload["data"] = read_command(payload["data"])
        return payload

    def close(self) -> None:
        """Puts back what the guard holds, and ends."""
        if self.guard.taken and not self.closed:
            try:
                self._put_back_taken()
            except _LOST as error:
                log.error("%s requests were not put back: %s", len(self.guard.taken), error)
        super().close()


class GuardedTransport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis, with that channel."""

    Channel = _GuardedChannel


def guard_app(app: Celery, settings: Settings, on_poison: OnPoison) -> None:
    """Makes a worker's app take its messages through `on_poison`'s guard.

    Args:
        app: of a worker, before it connects.
        settings: its settings.
        on_poison: called once for each message that cannot be acted on, before it is taken off
            Redis; where it raises, the message comes back after the visibility timeout.
    """
    sweep = min(_LONGEST_SWEEP_SECONDS, settings.visibility_timeout_seconds / 4)
    app.conf.update(
        broker_transport=f"{__name__}:{GuardedTransport.__name__}",
        broker_transport_options={
            **app.conf.broker_transport_options,
            "guard": Guard(on_poison, largest_message(settings.max_image_bytes)),
            # Otherwise kombu puts back what a dead worker had, 100 s too late.
            "unacked_restore_interval": sweep,
            "unacked_restore_throttle": 1,
            "unacked_restore_limit": _RESTORED_AT_ONCE,
        },
        # A worker does not end because Redis refuses something.
        broker_channel_error_retry=True,
        # Requests that are to be tried again wait in memory. Up to this many, they do not take the
        # places of those in hand.
        worker_eta_task_limit=settings.concurrency * (1 + _WAITING_FOR_EACH),
    )
