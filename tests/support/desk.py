"""A worker's line in this process: real Redis, queue, decision log and decoders; a tiny encoder."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.records import Answer, Decided, Quarantined, Submission
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import RequestError
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import QUEUES, TASK_NAME, ModerationResponse, QueueName
from moderation.queue.celery_app import connect, create_app
from moderation.queue.envelope import Envelope
from moderation.queue.hand import Hand
from moderation.queue.kept_requests import KeptRequests
from moderation.queue.keys import HAND, LATER
from moderation.queue.packed_message import pack_message, packed_size
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings, load_settings
from moderation.worker.answering import Answerer
from moderation.worker.arrival import Arrival, read_arrived_request
from moderation.worker.line import Line
from moderation.worker.metrics import Metrics
from moderation.worker.results import TaskResults
from tests.support.hostile_files import saved
from tests.support.queued_messages import RESULT, opened
from tests.support.waiting import until


class Desk:
    """A line that answers what is sent to it, and what it leaves behind."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.settings = settings
        #: What it serves first.
        self.pipeline = pipeline
        self.log = open_log(settings)
        self.redis: Any = connect(settings)
        self.redis.flushall()
        self.kept = KeptRequests(self.redis)
        self.metrics = Metrics()
        self.stopping = False
        #: Threads that met what is away, and asked whether to wait for it.
        self.waited: set[int] = set()
        self.fetcher = Fetcher(settings)
        self._line: Line | None = None
        self.serve(pipeline)

    def serve(
        self,
        pipeline: Pipeline,
        *,
        log: DecisionLog | None = None,
        kept: KeptRequests | None = None,
        renditions: Path | None = None,
    ) -> None:
        """Ends the line, and begins another one with these parts."""
        self.finish()
        folder = RenditionFolder(str(renditions), seconds=60) if renditions else None
        answerer = Answerer(
            self.settings,
            pipeline,
            self.fetcher,
            log or self.log,
            kept or self.kept,
            self.metrics,
            stopping=self._is_stopping,
            renditions=folder,
        )
        name = secrets.token_hex(4)
        self.hand = Hand(self.redis, self.settings, worker=name, queues=list(QUEUES))
        results = TaskResults(create_app(self.settings))
        self._line = Line(self.settings, answerer, results, self.hand, self.metrics)
        self._line.__enter__()

    def _is_stopping(self) -> bool:
        if threading.current_thread().name != "intake":  # which asks all the time
            self.waited.add(threading.get_ident())
        return self.stopping

    def finish(self) -> None:
        """Lets the line answer what it has in hand, and ends it."""
        if self._line is not None:
            self._line.finish()
            self.hand.close()
            self._line = None

    def abandon(self) -> None:
        """Has the line put back what it has in hand."""
        assert self._line is not None
        self._line.abandon()

    def send(
        self, message: Any, task_id: str = "a", queue: QueueName = "interactive", **how: Any
    ) -> None:
        """Puts a request on its queue, as a host does."""
        packed = pack_message(TASK_NAME, task_id, message, QUEUES[queue], counted=True, **how)
        with self.redis.pipeline() as pipe:
            pipe.incrby("evenhand.bytes", packed_size(packed))
            pipe.lpush(QUEUES[queue], packed)
            pipe.execute()

    def send_together(self, messages: dict[str, Any]) -> None:
        """Puts requests on their queue in one step, so that they are taken together."""
        packed = [
            pack_message(TASK_NAME, name, message, QUEUES["bulk"], counted=True)
            for name, message in messages.items()
        ]
        with self.redis.pipeline() as pipe:
            pipe.incrby("evenhand.bytes", sum(map(packed_size, packed)))
            pipe.lpush(QUEUES["bulk"], *packed)
            pipe.execute()

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is in hand; something may come later."""
        with self.redis.pipeline() as pipe:
            for queue in QUEUES.values():
                pipe.llen(queue)
            pipe.hlen(HAND)
            return not any(pipe.execute())

    def later(self) -> list[Envelope]:
        """Returns what comes later, and removes it."""
        found = [raw for key in LATER.values() for raw in self.redis.zrange(key, 0, -1)]
        self.redis.delete(*LATER.values())
        return [opened(raw) for raw in found]

    def answer(self, message: Any, task_id: str = "a", **how: Any) -> Answer:
        """Returns what the log says of a request once it was answered.

        It is what its host reads, too.
        """
        self.send(message, task_id, **how)
        until(self.is_idle)
        answer = self.logged(message, task_id)
        assert isinstance(answer, Decided | Quarantined), answer
        told = self.told(task_id)
        if isinstance(answer, Decided):
            assert ModerationResponse.read(told["result"]).verdicts == answer.verdicts
        else:
            assert told["result"]["exc_message"] == list(answer.error.args)
        return answer

    def logged(self, message: Any, task_id: str = "a") -> Answer | RequestError | None:
        """Returns what the log says of a request."""
        asked = submission(message, task_id)
        return self.log.answers([asked]).get(asked.request_id)

    def told(self, task_id: str = "a") -> dict[str, Any]:
        """Returns what Celery keeps for a task."""
        found: dict[str, Any] = json.loads(self.redis.get(RESULT + task_id))
        return found

    def counted(self, name: str) -> dict[str, float]:
        """Returns the samples of a metric that are not 0, by their labels."""
        return {
            " ".join(sample.labels.values()): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"evenhand_{name}" and sample.value
        }

    def close(self) -> None:
        """Ends the line and all its parts."""
        self.stopping = True
        self.finish()
        self.fetcher.close()
        self.redis.close()
        self.log.close()


def desk_settings(server: EmbeddedRedis, folder: Path, **changes: Any) -> Settings:
    """Returns settings of a desk that fetches from this machine, with its log in a folder."""
    here: dict[str, Any] = {
        "broker_url": server.url,
        "database_url": f"sqlite:///{folder}/decisions.db",
        "allowed_hosts": ("127.0.0.1",),
        "allowed_schemes": ("http",),
        "allowed_networks": ("127.0.0.0/8",),
    }
    return load_settings(**here | changes)


def submission(message: Any, task_id: str = "a") -> Submission:
    """Returns a request as the log keeps it."""
    return read_arrived_request(message, Arrival(task_id, "interactive")).submission


def coloured(colour: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """Returns the file of an image of one colour."""
    return saved(Image.new("RGB", (16, 16), colour))


def message(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    """Returns a request as plain JSON, with the image as bytes."""
    image = {"bytes": base64.b64encode(coloured() if content is None else content).decode()}
    return {"schema_version": 1, "image": image, "policies": ["colours"], **changes}
