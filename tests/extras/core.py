"""What a web app installs: it lints, submits, and sees what waits."""

from __future__ import annotations

import json
import os

from moderation import submit
from moderation.embedded import EmbeddedRedis
from tests.extras.command import needs_no, run


def main() -> None:
    """Submits two images, by the library and by the command, and finds them in the queue."""
    needs_no("torch", "sqlalchemy", "pandas")
    assert "weapons" in run("moderation", "policy", "show", "weapons")
    with EmbeddedRedis() as server:
        os.environ["MODERATION_BROKER_URL"] = server.url
        assert submit(b"an image", "weapons")
        assert json.loads(run("moderation", "queues", "--format", "json"))["queues"]
    print("core: submitted")


if __name__ == "__main__":
    main()
