"""kombu's Redis transport with one client for a pool of connections, not for each command."""

from __future__ import annotations

from typing import cast

import redis
from kombu.transport import redis as kombu_redis


class _PooledQoS(kombu_redis.QoS):  # type: ignore[misc]
    """Puts nothing back: a process that only sends, or pings workers, has nothing in hand."""

    def restore_visible(self, *_: object, **__: object) -> None:
        """Does nothing: workers put back what other workers left, and check what it is."""


class PooledChannel(kombu_redis.Channel):  # type: ignore[misc]
    """Sends and notes messages; making a client costs more than what it then sends."""

    QoS = _PooledQoS
    _pooled: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> redis.Redis:
        """Returns a client: a new one for the poller, otherwise the same while its pool lasts.

        Threads may share it: each command takes a connection of its own from the pool.
        """
        if asynchronous:
            return cast(redis.Redis, super()._create_client(asynchronous=True))
        if self._pooled is None or self._pooled.connection_pool is not self.pool:
            self._pooled = cast(redis.Redis, super()._create_client())
        return self._pooled


class PooledTransport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis, with that channel."""

    Channel = PooledChannel
