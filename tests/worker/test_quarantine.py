"""Into quarantine: messages that no worker may act on; on a real Redis and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery
from moderation.queue.guarded_transport import Poison
from moderation.queue.registry import Accepted, Registry

from moderation.client.client import Client
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.quarantine import (
    QuarantinedRequest,
    list_quarantined,
)
from moderation.decision_log.records import Submission
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import (
    ImageUnavailable,
    RequestError,
    VerdictTimeout,
)
from moderation.messages import QUEUES
from moderation.queue.celery_app import create_app
from moderation.settings import Settings, load_settings
from moderation.worker.quarantine import quarantine_poison

#: Celery's own way to write a result.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}


class Parts(NamedTuple):
    """What a worker and its operator have of quarantine."""

    settings: Settings
    connection: redis.Redis
    registry: Registry
    log: DecisionLog
    app: Celery

    def quarantine(self, name: str, request: dict[str, Any] | None = None) -> QuarantinedRequest:
        """Does what a worker does with a request whose image it never got."""
        accepted = Accepted(request or {**REQUEST, "request_id": name}, "bulk", 1.0)
        self.registry.quarantine(name, accepted, most_bytes=10_000)
        submission = Submission(name, "0" * 64, "path", "/srv/a.jpg", ("weapons",), "bulk", 1.0)
        self.log.quarantine(submission, "unavailable", ImageUnavailable("the store failed"))
        return self.entries()[0]

    def entries(self) -> list[QuarantinedRequest]:
        return list_quarantined(self.log.engine)

    def poison(self, queue: str, why: str, task_id: str | None, sha256: str) -> None:
        poison = Poison(queue, why, task_id, 3, sha256)
        quarantine_poison(self.log, self.registry, self.app, poison)


@pytest.fixture
def settings(server: EmbeddedRedis, tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/log.db"
    return load_settings(broker_url=server.url, database_url=url, max_queue_length=3)


@pytest.fixture
def parts(settings: Settings, connection: redis.Redis) -> Iterator[Parts]:
    with open_log(settings) as log:
        yield Parts(settings, connection, Registry(connection), log, create_app(settings))


def test_poison_with_an_accepted_id_is_final_and_its_host_gets_the_reason(parts: Parts) -> None:
    client = Client(parts.settings)
    name = client.submit("/srv/a.jpg", "weapons")
    for _ in range(2):
        parts.poison(QUEUES["interactive"], "it is too large", name, "f" * 64)
    assert parts.registry.count() == 0
    [entry] = parts.entries()
    assert (entry.request_id, entry.reason) == (name, "message")
    with pytest.raises(RequestError, match="it is too large"):
        client.collect(name, timeout_seconds=0)


def test_poison_without_an_id_is_named_by_its_hash(parts: Parts) -> None:
    parts.poison("moderation.bulk", "not JSON", None, "a" * 64)
    assert [entry.request_id for entry in parts.entries()] == ["message-" + "a" * 64]


def test_poison_does_not_take_the_place_of_an_answer(parts: Parts) -> None:
    parts.quarantine("a")
    parts.poison("moderation.bulk", "not JSON", "a", "b" * 64)
    [entry] = parts.entries()
    assert entry.reason == "unavailable"
    with pytest.raises(VerdictTimeout):
        Client(parts.settings).collect("a", timeout_seconds=0)
