"""Into quarantine and out again: poison, retry, drop; on a real Redis and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery
from moderation.queue.guarded_transport import Poison
from moderation.queue.recovery import Recovery
from moderation.queue.registry import Accepted, Registry

from moderation.client.client import Client
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.quarantine import (
    QuarantinedRequest,
    find_quarantined,
    list_quarantined,
)
from moderation.decision_log.records import Submission
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import (
    BrokerUnavailable,
    ImageUnavailable,
    QueueFull,
    RequestError,
    VerdictTimeout,
)
from moderation.messages import QUEUES
from moderation.queue.celery_app import create_app
from moderation.settings import Settings, load_settings
from moderation.worker.quarantine import quarantine_poison, release_quarantined
from tests.support.command_line import leading_to, moderation

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

    def release(self, entry: QuarantinedRequest, registry: Registry | None = None) -> None:
        release_quarantined(entry, self.log, registry or self.registry, self.app, self.settings)


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


@pytest.mark.parametrize("request_", [REQUEST, {**REQUEST, "request_id": "a\0b"}, {"odd": None}])
def test_a_released_request_is_sent_as_it_was_under_the_id_that_it_had(
    request_: dict[str, Any], parts: Parts
) -> None:
    entry = parts.quarantine("a", request_)
    parts.app.backend.mark_as_failure("a", ImageUnavailable("the store failed"))
    parts.release(entry)
    message = json.loads(parts.connection.lindex(QUEUES["bulk"], 0))  # type: ignore[arg-type]
    assert message["headers"]["id"] == "a"
    assert message["headers"]["sent_at"] == 1.0
    assert parts.registry.accepted("a") == Accepted(request_, "bulk", 1.0)
    assert parts.registry.quarantined("a") is None
    assert parts.log.answer("a", "0" * 64) is None
    with pytest.raises(VerdictTimeout):  # and not the old error
        Client(parts.settings).collect("a", timeout_seconds=0)
    released = find_quarantined(parts.log.engine, "a")
    assert released is not None
    with pytest.raises(RequestError, match="released already"):
        parts.release(released)


def test_a_request_that_redis_no_longer_holds_cannot_be_released_and_stays(parts: Parts) -> None:
    entry = parts.quarantine("a")
    parts.registry.forget("a")
    with pytest.raises(RequestError, match="not kept in Redis"):
        parts.release(entry)
    assert [one.state for one in parts.entries()] == ["open"]


def test_a_full_queue_leaves_a_request_in_quarantine(parts: Parts) -> None:
    entry = parts.quarantine("a")
    parts.connection.lpush(QUEUES["bulk"], "1", "2", "3")
    with pytest.raises(QueueFull):
        parts.release(entry)
    assert parts.entries() == [entry]
    assert parts.registry.quarantined("a") is not None


def test_a_full_redis_leaves_a_request_in_quarantine(parts: Parts) -> None:
    entry = parts.quarantine("a")
    parts.connection.config_set("maxmemory", "1")
    with pytest.raises(BrokerUnavailable, match="Redis refuses"):
        parts.release(entry)
    assert parts.entries() == [entry]
    assert parts.registry.quarantined("a") is not None
    assert parts.registry.count() == 0


def test_a_released_request_that_cannot_be_sent_now_is_sent_by_a_worker_and_no_error(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    """By somebody to whom Redis allows everything else."""
    entry, connection = parts.quarantine("a"), parts.connection
    connection.acl_setuser(
        "limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-lpush"]
    )
    url = parts.settings.broker_url.get_secret_value()
    with redis.Redis.from_url(f"redis://limited:@{url.rpartition('@')[2]}") as limited:
        parts.release(entry, Registry(limited))
    connection.acl_deluser("limited")
    assert "a worker sends it within" in caplog.text
    assert connection.llen(QUEUES["bulk"]) == 0
    [released] = list_quarantined(parts.log.engine, every=True)
    assert released.state == "released"
    connection.zincrby("evenhand.accepted.at.bulk", -1000, "a")
    assert Recovery(connection, parts.settings, worker="w").look() == 1
    assert connection.llen(QUEUES["bulk"]) == 1


def test_the_commands_list_show_retry_and_drop(parts: Parts) -> None:
    quarantine = partial(moderation, "quarantine", env=leading_to(parts.settings))
    for name in ("first", "second"):
        parts.quarantine(name)
    listed = json.loads(quarantine("list", "--format", "json").stdout)
    assert [entry["request_id"] for entry in listed] == ["second", "first"]
    assert [entry["id"] in quarantine("list").stdout for entry in listed] == [True, True]
    shown = json.loads(quarantine("show", "first").stdout)
    assert (shown["reason"], shown["can_be_retried"]) == ("unavailable", True)
    assert quarantine("retry", "first").returncode == 0
    assert parts.connection.llen(QUEUES["bulk"]) == 1
    dropped = quarantine("drop", "--all", "--reason", "unavailable")
    assert (dropped.returncode, "1 dropped" in dropped.stderr) == (0, True)
    assert parts.registry.quarantined("second") is None
    assert json.loads(quarantine("list", "--format", "json").stdout) == []
    every = json.loads(quarantine("list", "--all", "--format", "json").stdout)
    assert [entry["state"] for entry in every] == ["dropped", "released"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("retry", "unheard-of"), "nothing in quarantine is called unheard-of"),
        (("retry",), "not clear which requests"),
        (("drop", "a", "--all"), "not clear which requests"),
        (("list", "--reason", "bad"), "Invalid value for '--reason'"),
        (("show", "unheard-of"), "nothing in quarantine"),
    ],
)
def test_wrong_use_of_the_commands_is_explained(
    words: tuple[str, ...], text: str, parts: Parts
) -> None:
    done = moderation("quarantine", *words, env=leading_to(parts.settings))
    assert (done.returncode, text in " ".join(done.stderr.split())) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("quarantine", "list"), ("decisions", "list"), ("callbacks", "list"), ("doctor",)]
)
def test_a_command_that_reads_makes_no_log(
    words: tuple[str, ...], server: EmbeddedRedis, tmp_path: Path
) -> None:
    misspelt = f"sqlite:///{tmp_path}/misspelt.db"
    settings = load_settings(broker_url=server.url, database_url=misspelt)
    done = moderation(*words, env=leading_to(settings))
    if words != ("doctor",):
        assert (done.returncode, "there is no decision log" in done.stderr) == (3, True)
    assert not (tmp_path / "misspelt.db").exists()
