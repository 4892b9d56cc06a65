"""Waits until something lies in a queue, without taking it and without asking again and again.

Redis says when a key changes that a connection has read (client-side caching, in RESP3). A message
that is waited for by BRPOP would be out of the queue before it is noted as taken.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis

from moderation.queue.celery_app import connect
from moderation.queue.scripts import PRIORITIES, PRIORITY
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Pause between two looks, in seconds, where Redis does not say what changes.
_LOOK_SECONDS = 0.05


class Bell:
    """Rings when something is put into a queue; one thread waits for it, any may ring it."""

    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        """Prepares to wait; connects when somebody waits.

        Args:
            settings: of the worker.
            queues: the lists in Redis.
        """
        self._redis = connect(settings, protocol=3)
        self._queues = [*queues, *(f"{q}{PRIORITY}{step}" for q in queues for step in PRIORITIES)]
        self._connection: Any = None
        self._tells = True
        self._hears, self._rings = os.pipe()
        for end in (self._hears, self._rings):
            os.set_blocking(end, False)

    def wait(self, seconds: float) -> None:
        """Returns once something lies in a queue, after `seconds`, or when somebody rings.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        until = time.monotonic() + seconds
        while not self._is_waiting() and (left := until - time.monotonic()) > 0:
            pause = left if self._tells else min(left, _LOOK_SECONDS)
            if self._hear(pause) or self._tells:
                return

    def ring(self) -> None:
        """Ends the wait at once, or the next one if nobody waits now."""
        with suppress(BlockingIOError):  # it has been rung often enough
            os.write(self._rings, b"!")

    def close(self) -> None:
        """Ends the connection."""
        self._drop()
        self._redis.close()
        os.close(self._rings)
        os.close(self._hears)

    def _is_waiting(self) -> bool:
        """Whether something lies in a queue; from now on Redis tells when this changes."""
        fresh = self._connection is None
        try:
            return self._ask()
        except redis.ConnectionError:
            self._drop()
            if fresh:
                raise
            return self._ask()  # Redis may have closed it long ago

    def _ask(self) -> bool:
        try:
            if self._connection is None:
                self._connection = self._redis.connection_pool.get_connection()
                if self._tells:
                    self._tells = self._is_told()
            self._connection.send_command("EXISTS", *self._queues)
            return bool(self._connection.read_response())
        except BaseException:
            self._drop()
            raise

    def _is_told(self) -> bool:
        """Asks Redis to tell what changes; returns whether it does."""
        self._connection.send_command("CLIENT", "TRACKING", "ON")
        try:
            self._connection.read_response()
        except redis.ResponseError as error:
            log.warning("Redis does not say when a request comes (%s); it is asked often", error)
            return False
        return True

    def _hear(self, seconds: float) -> bool:
        """Returns whether Redis said that a queue has changed, or somebody rang."""
        # What it says may have come together with its answer, or have been decrypted with it.
        if self._connection.can_read(timeout=0):
            return True
        poll = select.poll()
        for descriptor in (self._connection._sock.fileno(), self._hears):
            poll.register(descriptor, select.POLLIN)
        heard = bool(poll.poll(1000 * seconds))
        with suppress(BlockingIOError):
            os.read(self._hears, 65_536)
        return heard

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._redis.connection_pool.release(connection)
