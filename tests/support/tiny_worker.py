"""`moderation worker` as a process, with a tiny encoder; the test has the server of its images.

The decision log is in a folder, so that workers that come one after the other have the same. What
the encoder does with a black image is to end the process.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import sys
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis
from pydantic import SecretStr

from moderation.decision_log.log import open_log
from moderation.decision_log.quarantine import QuarantinedRequest, list_quarantined
from moderation.embedded_servers import EmbeddedWorker
from moderation.encoders.encoder import Float32s
from moderation.images.looks import Pixels
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import create_app
from moderation.queue.keys import HAND
from moderation.settings import Settings
from tests.support.desk import coloured
from tests.support.photo_server import PhotoServer
from tests.support.sample_pipeline import POLICY
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import PATIENCE_SECONDS, until

QUEUE = QUEUES["interactive"]
#: What ends a worker.
DEADLY = {"bytes": base64.b64encode(coloured((0, 0, 0))).decode()}

_VARIABLES = {
    "MODERATION_ALLOWED_HOSTS": "127.0.0.1",
    "MODERATION_ALLOWED_SCHEMES": "http",
    "MODERATION_ALLOWED_NETWORKS": "127.0.0.0/8",
    "MODERATION_FETCH_TIMEOUT_SECONDS": f"{PATIENCE_SECONDS}",
    "MODERATION_DECODERS": "1",
}


class TinyWorker(EmbeddedWorker):
    """A context manager; inside it such a process runs."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        photos: PhotoServer,
        processes: int = 1,
        /,
        **environment: str,
    ) -> None:
        """Prepares a worker.

        Args:
            settings: of the host.
            folder: of the decision log, and of further policies.
            photos: serves the images.
            processes: how many lines it has; with several, the encoder is a process of its own.
            environment: further MODERATION_* variables.
        """
        folder.mkdir(exist_ok=True)
        (folder / "colours.yaml").write_bytes(POLICY)
        self.database = folder / "decisions.db"
        database = f"sqlite:///{self.database}"
        variables = {**_VARIABLES, "MODERATION_DATABASE_URL": database, **environment}
        options = ["--model", "starter", "--policy", str(folder)]
        super().__init__(settings, options, variables, processes=processes)
        module = self._command.index("moderation")
        self._command[module] = "tests.support.tiny_worker"
        self._photos = photos
        photos.content = coloured()
        self.settings = settings.model_copy(update={"database_url": SecretStr(database)})
        self.redis: Any = redis.Redis.from_url(
            settings.broker_url.get_secret_value(), decode_responses=True
        )

    def __enter__(self) -> Self:
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.redis.close()

    @property
    def temporary(self) -> Path:
        """Its folder for what goes with it; a file `scale` there is of the next model's logits."""
        return Path(self._folder.name)

    def in_hand(self) -> int:
        """Returns how many requests workers have in hand."""
        return int(self.redis.hlen(HAND))

    def quarantined(self) -> list[QuarantinedRequest]:
        """Returns what is in quarantine, the newest first."""
        with open_log(self.settings, make=False) as log:
            return list_quarantined(log.engine)

    def queue_of(self, request_id: str) -> str:
        """Returns the queue by which a request came that has its answer."""
        with closing(sqlite3.connect(self.database)) as log:
            found = log.execute("SELECT queue FROM submissions WHERE request_id = ?", [request_id])
            return str(found.fetchone()[0])

    def image(self, kind: str) -> dict[str, str]:
        """Returns what a request names as its image.

        Args:
            kind: `plain`, `held NAME` (comes once the test opens that gate), `later` (comes at the
                third try), or `deadly`.
        """
        kind, _, gate = kind.partition(" ")
        if kind == "deadly":
            return DEADLY
        if kind == "plain":
            return {"bytes": base64.b64encode(self._photos.content).decode()}
        if kind == "held":
            return {"url": f"{self._photos.url}/held?{gate}"}
        return {"url": f"{self._photos.url}/flaky?{uuid.uuid4()}"}

    def send(self, kind: str = "plain", **options: Any) -> str:
        """Sends a request as a host without this package does; returns its id."""
        task_id = str(uuid.uuid4())
        request = {"image": self.image(kind), "policies": ["colours"]}
        with create_app(self.settings) as app:
            how = {"task_id": task_id, "queue": QUEUE, **options}
            app.send_task(TASK_NAME, kwargs={"request": request}, **how)
        return task_id

    def answer(self, task_id: str) -> str:
        """Returns the id in the verdicts of a request, once it has them."""
        with create_app(self.settings) as app, closing(app.backend.client.connection_pool):
            meta = partial(app.backend.get_task_meta, task_id)
            until(lambda: meta()["status"] != "PENDING")
            assert meta()["status"] == "SUCCESS", meta()
            return str(meta()["result"]["request_id"])

    def error(self, task_id: str) -> str:
        """Returns what a host is told of a request that gets no verdict."""
        with create_app(self.settings) as app, closing(app.backend.client.connection_pool):
            meta = partial(app.backend.get_task_meta, task_id)
            until(lambda: meta()["status"] != "PENDING")
            assert meta()["status"] == "FAILURE", meta()
            return str(meta()["result"])


class _Deadly(StubEncoder):
    """An encoder that a black image ends, with its process."""

    def image_features(self, pixels: Pixels) -> Float32s:
        if any(not square.any() for square in pixels):
            os._exit(9)
        return super().image_features(pixels)


def _scale() -> float:
    """Returns the logit scale that a test wrote for the next model that is loaded."""
    file = Path(os.environ["TMPDIR"]) / "scale"
    return float(file.read_text()) if file.exists() else 10.0


if __name__ == "__main__":
    from moderation.encoders import registry
    from moderation.worker.processes import child

    registry.LOADERS["starter"] = lambda reference, options: _Deadly(_scale())
    child.MEMBER = "tests.support.tiny_worker"
    if sys.argv[1] == "worker":
        from moderation import __main__ as command_line

        sys.argv[0] = "moderation"
        command_line.main()
    else:
        from moderation.worker.processes import line_process, member

        line_process.ANSWER_SECONDS = 5.0  # so long a line waits for an encoder process that hangs
        member.main()
