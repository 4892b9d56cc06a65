"""A worker without a model of ours: queue, decoders, decision log, all but the encoder."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.settings import load_settings
from tests.extras.command import refuse_installed, run
from tests.extras.photograph import save_photograph


class StubWorker(EmbeddedWorker):
    """A context manager; inside it a worker answers, whose encoder is the tests' own."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        options = ["--policy", "weapons", "--model", "stub"]
        environment = {"MODERATION_DATABASE_URL": database_url}
        super().__init__(load_settings(broker_url=broker_url), options, environment)
        self._command[1:3] = ["-m", "tests.extras.stub_moderation"]


def answers_and_logs(database_url: str) -> None:
    """Sends an image to a worker, and finds its verdict in the decision log."""
    refuse_installed("torch")
    os.environ["MODERATION_DATABASE_URL"] = database_url
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as folder:
        image = save_photograph(Path(folder) / "photograph.jpg")
        os.environ["MODERATION_BROKER_URL"] = server.url
        with StubWorker(database_url, server.url):
            arguments = (str(image), "-p", "weapons", "--format", "jsonl")
            [verdict] = run("moderation", "submit", *arguments).splitlines()
    [row] = json.loads(run("moderation", "decisions", "list", "--format", "json"))
    if row["id"] != json.loads(verdict)["decision_id"]:
        sys.exit(f"the log has another decision: {row} and not {verdict}")


def main() -> None:
    """Does so with SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        answers_and_logs(f"sqlite:///{folder}/decisions.db")
