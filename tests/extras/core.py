"""What a web app installs: it lints, submits, and sees what waits."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from moderation import submit
from moderation.embedded_servers import EmbeddedRedis
from tests.extras.command import fails_with, refuse_installed, run
from tests.extras.photograph import save_photograph

COMMANDS_OF_A_WORKER = (
    ("worker", "-p", "weapons"),
    ("decisions", "list"),
    ("quarantine", "list"),
    ("callbacks", "list"),
)


def main() -> None:
    """Submits by the library and by the command; what needs more than the core says which extra."""
    refuse_installed("torch", "sqlalchemy", "pandas")
    assert "weapons" in run("moderation", "policy", "show", "weapons")
    assert "info: fitted-elsewhere" in run("moderation", "policy", "lint", "weapons")
    assert "### `negation`" in run("moderation", "policy", "lint", "--explain", "negation")
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as folder:
        os.environ["MODERATION_BROKER_URL"] = server.url
        image = str(save_photograph(Path(folder) / "photograph.png"))
        assert submit(b"an image", "weapons")
        nobody = ("--timeout", "0.5")
        fails_with("1 error", "moderation", "submit", image, "-p", "weapons", *nobody)
        state = json.loads(run("moderation", "queues", "--format", "json"))
        assert state["queues"][0]["depth"] == 2, state
        checks = json.loads(run("moderation", "doctor", "--format", "json"))
        assert {check["name"]: check["state"] for check in checks}["redis"] == "ok"
        for command in COMMANDS_OF_A_WORKER:
            fails_with("evenhand[worker]", "moderation", *command)
