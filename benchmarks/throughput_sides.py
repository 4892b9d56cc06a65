"""The sides of the throughput benchmark that answer through Redis, under one interface."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol, Self

import psutil

from benchmarks.label_set import LabelSet
from benchmarks.rivals import create_rival_app, task_name
from moderation.client.client import Client, pauses
from moderation.local_servers import EmbeddedWorker
from moderation.settings import Settings

ROOT = Path(__file__).parent.parent
_END_SECONDS = 20
#: What one image may take on the slowest side, waiting included.
_ANSWER_SECONDS = 300.0

Scores = dict[str, float]


class Side(Protocol):
    """A worker of one kind, ready to answer."""

    name: str

    def submit(self, photograph: Path) -> str:
        """Returns the id of a new request."""
        ...

    def collect(self, request_id: str) -> Scores:
        """Returns the score of each prompt, once they are there."""
        ...

    @property
    def processes(self) -> list[psutil.Process]:
        """The worker's processes."""
        ...


class Rival:
    """A context manager; inside it a worker of `benchmarks.rivals` answers."""

    def __init__(self, name: str, settings: Settings, checkpoint: Path) -> None:
        self.name = name
        url = settings.broker_url.get_secret_value()
        self._app = create_rival_app(name, url)
        self._command = [sys.executable, "-m", "benchmarks.rivals", name, url, str(checkpoint)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
        )
        return self

    def submit(self, photograph: Path) -> str:
        """Returns the id of a new task."""
        queue = f"rival-{self.name}"
        sent = self._app.send_task(task_name(self.name), args=[str(photograph)], queue=queue)
        return str(sent.id)

    def collect(self, request_id: str) -> Scores:
        """Returns what the task returned; its error, or the worker's end, is raised."""
        for pause in pauses(_ANSWER_SECONDS):
            meta = self._app.backend.get_task_meta(request_id)
            if meta["status"] == "SUCCESS":
                return dict(meta["result"])
            if meta["status"] == "FAILURE":
                raise RuntimeError(f"{self.name}: {meta['result']}")
            if self._process.poll() is not None:
                raise RuntimeError(f"the worker of {self.name} ended with {self._process.poll()}")
            time.sleep(pause)
        raise TimeoutError(f"{self.name} did not answer")

    @property
    def processes(self) -> list[psutil.Process]:
        """The worker's processes."""
        return _tree(self._process.pid)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            for process in self.processes:
                process.kill()
            self._process.wait()


class Ours:
    """A context manager; inside it a `moderation worker` answers."""

    def __init__(self, name: str, settings: Settings, checkpoint: Path, labels: LabelSet) -> None:
        self.name = name
        self._labels = labels
        self._client = Client(settings)
        folder = checkpoint.parent
        environment = {
            "MODERATION_ALLOWED_ROOTS": str(folder),
            "MODERATION_RUNTIME": settings.runtime,
            "MODERATION_LOG_LEVEL": "warning",
        }
        options = ["--model", str(checkpoint), "--policy", str(labels.save(folder / "policy.yaml"))]
        self._worker = EmbeddedWorker(settings, options, environment)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        worker: AbstractContextManager[EmbeddedWorker] = self._worker
        self._stack.enter_context(worker)
        return self

    def submit(self, photograph: Path) -> str:
        """Returns the id of a new request."""
        return self._client.submit(photograph, self._labels.policy_id)

    def collect(self, request_id: str) -> Scores:
        """Returns the scores of the verdict."""
        [verdict] = self._client.collect(request_id, timeout_seconds=_ANSWER_SECONDS)
        return {
            prompt: label.score
            for prompt, label in zip(self._labels.prompts, verdict.labels, strict=True)
        }

    @property
    def processes(self) -> list[psutil.Process]:
        """The worker's processes."""
        return _tree(self._worker.process.pid)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _tree(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]
