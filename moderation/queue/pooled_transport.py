"""kombu's Redis transport with one client for a pool of connections, not for each command."""

from __future__ import annotations

from typing import cast

import redis
from kombu.transport import redis as kombu_redis


class _QoS(kombu_redis.QoS):  # type: ignore[misc]
    """Puts nothing back: who only sends, or asks whether workers live, has nothing in hand."""

    def restore_visible(self, *_: object, **__: object) -> None:
        """Does nothing: what workers left behind is for workers, who look at what it is."""


class PooledChannel(kombu_redis.Channel):  # type: ignore[misc]
    """Sends and notes messages; making a client costs more than what it then sends."""

    QoS = _QoS
    _pooled: redis.Redis | None = None

    def _create_client(self, asynchronous: bool = False) -> redis.Redis:
        """Returns a client: for the poller a new one, else the same as long as its pool lasts.

        Threads may share it: each command takes a connection of its own out of the pool.
        """
        if asynchronous:
            return cast(redis.Redis, super()._create_client(asynchronous=True))
        if self._pooled is None or self._pooled.connection_pool is not self.pool:
            self._pooled = cast(redis.Redis, super()._create_client())
        return self._pooled


class PooledTransport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis, with that channel."""

    Channel = PooledChannel
