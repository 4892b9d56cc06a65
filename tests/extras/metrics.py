"""The queues' figures for Prometheus."""

from __future__ import annotations

import os

from moderation import submit
from moderation.embedded_servers import EmbeddedRedis
from tests.extras.command import refuse_installed, run


def main() -> None:
    """Finds a request that waits among the figures."""
    refuse_installed("torch")
    with EmbeddedRedis() as server:
        os.environ["MODERATION_BROKER_URL"] = server.url
        submit(b"an image", "weapons")
        exposed = run("moderation", "queues", "--format", "prometheus")
    assert "evenhand_redis_up 1.0" in exposed
    assert 'evenhand_queue_depth{queue="interactive"} 1.0' in exposed, exposed
