"""The queues' figures for Prometheus."""

from __future__ import annotations

import os

from moderation import submit
from moderation.local_servers import EmbeddedRedis
from tests.extras.command import needs_no, run


def main() -> None:
    """Finds a request that waits among the figures."""
    needs_no("torch")
    with EmbeddedRedis() as server:
        os.environ["MODERATION_BROKER_URL"] = server.url
        submit(b"an image", "weapons")
        told = run("moderation", "queues", "--format", "prometheus")
    assert "evenhand_redis_up 1.0" in told
    assert 'evenhand_queue_depth{queue="interactive"} 1.0' in told, told
    print("metrics: told")


if __name__ == "__main__":
    main()
