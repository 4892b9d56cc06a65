"""A worker process without a model: the real queue, with a task that does what it is asked to do.

What a request names as its image is what is done: `answer`, `held NAME` (until the test opens the
gate of that name), `later SECONDS` (tried again once, after so long). Messages that cannot be acted
on are written to a file, a line each.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import redis
from celery import Celery, Task
from moderation.queue.guarded_transport import Poison

from moderation.embedded_servers import EmbeddedWorker
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import create_app, node_name
from moderation.queue.keys import HAND
from moderation.settings import Settings, load_settings
from moderation.worker.celery_worker import run_celery_worker
from tests.support.waiting import until

POISON, REFUSING = "poison.jsonl", "refusing"
QUEUE = QUEUES["interactive"]


class EchoWorker(EmbeddedWorker):
    """A context manager; inside it such a process runs."""

    def __init__(self, settings: Settings, folder: Path, **environment: str) -> None:
        super().__init__(settings, [], environment)
        self._command = [sys.executable, "-m", "tests.support.echo_worker", self._name, str(folder)]
        self.host, self.folder = settings, folder
        url = settings.broker_url.get_secret_value()
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.redis.close()

    def in_hand(self) -> int:
        """Returns how many messages workers have in hand."""
        return int(self.redis.hlen(HAND))

    def poison(self) -> list[dict[str, Any]]:
        """Returns what the hook was called with."""
        file = self.folder / POISON
        # A line without its end is being written.
        whole, _, _ = (file.read_text() if file.exists() else "").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def refuse_poison(self, refusing: bool) -> None:
        """Makes the hook raise, or no longer."""
        file = self.folder / REFUSING
        file.touch() if refusing else file.unlink()

    def open(self, gate: str) -> None:
        """Lets requests go on that are held at a gate, those to come too."""
        (self.folder / gate).touch()

    def send(self, act: str = "answer", **options: Any) -> str:
        """Sends a good request as a host without this package does; returns its id."""
        task_id = str(uuid.uuid4())
        request = {"request": {"image": {"path": act}}}
        with create_app(self.host) as app:
            app.send_task(TASK_NAME, kwargs=request, task_id=task_id, queue=QUEUE, **options)
        return task_id

    def answer(self, task_id: str) -> dict[str, Any]:
        """Returns what a worker answered, once one has."""
        with create_app(self.host) as app, closing(app.backend.client.connection_pool):
            until(lambda: app.backend.get_task_meta(task_id)["status"] == "SUCCESS")
            result: dict[str, Any] = app.backend.get_task_meta(task_id)["result"]
            return result


def _poison_writer(folder: Path) -> Callable[[Poison], None]:
    def write(poison: Poison) -> None:
        if (folder / REFUSING).exists():
            raise ConnectionError("the quarantine is away")
        with (folder / POISON).open("a") as file:
            file.write(json.dumps(dataclasses.asdict(poison)) + "\n")

    return write


def _echo_task(folder: Path) -> Callable[[Task, dict[str, Any]], dict[str, Any]]:
    def echo(task: Task, request: dict[str, Any]) -> dict[str, Any]:
        act, _, how = request["image"]["path"].partition(" ")
        while act == "held" and not (folder / how).exists():
            time.sleep(0.01)
        if act == "later" and not task.request.retries:
            raise task.retry(countdown=float(how))
        return {"did": act, "delivery": task.request.delivery_info, "headers": task.request.headers}

    return echo


def _create_echo_app(settings: Settings, folder: Path) -> Celery:
    app = create_app(settings)
    app.conf.update(result_backend_always_retry=True, result_backend_max_retries=60)
    app.task(_echo_task(folder), name=TASK_NAME, bind=True, resultrepr_maxsize=0)
    return app


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    given = load_settings()
    app, queues = _create_echo_app(given, folder), list(QUEUES.values())
    sys.exit(run_celery_worker(app, given, queues, node_name(name), _poison_writer(folder)))
