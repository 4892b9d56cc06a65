"""A worker process without a model: the real queue, with a task that answers what it is told.

What a request names as its image is what is done: `answer`, `slow SECONDS`, `later SECONDS` (tried
again once, after so long). Messages that cannot be acted on are written to a file, a line each.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from celery import Celery, Task

from moderation.broker import QUEUES, create_app, node_name
from moderation.consumer import Poison
from moderation.embedded import EmbeddedWorker
from moderation.messages import TASK_NAME
from moderation.serving import serve
from moderation.settings import Settings, load_settings

POISON, REFUSING = "poison.jsonl", "refusing"


class EchoWorker(EmbeddedWorker):
    """A context manager; inside it such a process runs."""

    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        super().__init__(settings, [], environment)
        self._command = [sys.executable, "-m", "tests.echo_worker", self._name, str(folder)]
        self.folder = folder

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        return super().__enter__()

    def poison(self) -> list[dict[str, Any]]:
        """Returns what the hook was called with."""
        file = self.folder / POISON
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def refuse_poison(self, refusing: bool) -> None:
        """Makes the hook raise, or no longer."""
        file = self.folder / REFUSING
        file.touch() if refusing else file.unlink()

    def interrupt(self) -> None:
        """Sends what Ctrl-C sends."""
        self.process.send_signal(signal.SIGINT)


def _write_to(folder: Path) -> Callable[[Poison], None]:
    def write(poison: Poison) -> None:
        if (folder / REFUSING).exists():
            raise ConnectionError("the quarantine is away")
        with (folder / POISON).open("a") as file:
            file.write(json.dumps(dataclasses.asdict(poison)) + "\n")

    return write


def _echo(task: Task, request: dict[str, Any]) -> dict[str, Any]:
    act, _, seconds = request["image"]["path"].partition(" ")
    if act == "slow":
        time.sleep(float(seconds))
    if act == "later" and not task.request.retries:
        raise task.retry(countdown=float(seconds))
    return {"did": act, "delivery": task.request.delivery_info, "headers": task.request.headers}


def _create_app(settings: Settings) -> Celery:
    app = create_app(settings)
    app.conf.update(result_backend_always_retry=True, result_backend_max_retries=60)
    app.task(_echo, name=TASK_NAME, bind=True, resultrepr_maxsize=0)
    return app


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    given = load_settings()
    queues = list(QUEUES.values())
    sys.exit(serve(_create_app(given), given, queues, node_name(name), _write_to(Path(folder))))
