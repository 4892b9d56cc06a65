"""Into quarantine and out again: poison, retry, drop; on a real Redis and a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from moderation.client.client import Client
from moderation.decision_log.entries import find_entries, find_entry
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.opening import open_log
from moderation.decision_log.records import Submission
from moderation.errors import (
    BrokerUnavailable,
    ImageUnavailable,
    QueueFull,
    RequestError,
    VerdictTimeout,
)
from moderation.local_servers import EmbeddedRedis
from moderation.messages import QUEUES
from moderation.queue.celery_app import connect, create_app
from moderation.queue.consumer import Poison
from moderation.queue.recovery import Recovery
from moderation.queue.registry import Accepted, Registry
from moderation.settings import Settings, load_settings
from moderation.worker.release import release
from moderation.worker.running import set_aside_poison

#: Celery's own way to write a result.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}


@pytest.fixture
def settings(server: EmbeddedRedis, tmp_path: Path) -> Settings:
    return load_settings(
        broker_url=server.url, database_url=f"sqlite:///{tmp_path}/log.db", max_queue_length=3
    )


@pytest.fixture
def connection(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def registry(connection: redis.Redis) -> Registry:
    return Registry(connection)


@pytest.fixture
def log(settings: Settings) -> Iterator[DecisionLog]:
    with open_log(settings) as opened:
        yield opened


@pytest.fixture
def app(settings: Settings) -> Celery:
    return create_app(settings)


def quarantine(
    log: DecisionLog, registry: Registry, name: str, request: dict[str, Any] | None = None
) -> None:
    """Does what a worker does with a request whose image it never got."""
    kept = Accepted(request or {**REQUEST, "request_id": name}, "bulk", 1.0)
    registry.set_aside(name, kept, most_bytes=10_000)
    submission = Submission(name, "0" * 64, "path", "/srv/a.jpg", ("weapons",), "bulk", 1.0)
    log.set_aside(submission, "unavailable", ImageUnavailable("the store failed"))


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
        "MODERATION_DATABASE_URL": settings.database_url.get_secret_value(),
    }
    command = [sys.executable, "-m", "moderation", "quarantine", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_poison_with_an_accepted_id_is_final_and_told_to_its_host(
    settings: Settings, log: DecisionLog, registry: Registry, app: Celery
) -> None:
    client = Client(settings)
    name = client.submit("/srv/a.jpg", "weapons")
    poison = Poison(QUEUES["interactive"], "it is too large", name, 10**9, "f" * 64)
    set_aside_poison(log, registry, app, poison)
    set_aside_poison(log, registry, app, poison)
    assert registry.count() == 0
    [entry] = find_entries(log.engine)
    assert (entry.request_id, entry.reason) == (name, "message")
    with pytest.raises(RequestError, match="it is too large"):
        client.collect(name, timeout_seconds=0)


def test_poison_without_an_id_is_kept_by_its_hash(
    log: DecisionLog, registry: Registry, app: Celery
) -> None:
    set_aside_poison(log, registry, app, Poison("moderation.bulk", "no JSON", None, 3, "a" * 64))
    [entry] = find_entries(log.engine)
    assert entry.request_id == "message-" + "a" * 64


def test_poison_does_not_take_the_place_of_an_answer(
    settings: Settings, log: DecisionLog, registry: Registry, app: Celery
) -> None:
    quarantine(log, registry, "a")
    set_aside_poison(log, registry, app, Poison("moderation.bulk", "no JSON", "a", 3, "b" * 64))
    [entry] = find_entries(log.engine)
    assert entry.reason == "unavailable"
    with pytest.raises(VerdictTimeout):
        Client(settings).collect("a", timeout_seconds=0)


@pytest.mark.parametrize("request_", [REQUEST, {**REQUEST, "request_id": "a\0b"}, {"odd": None}])
def test_a_released_request_is_sent_as_it_was_under_the_id_that_it_had(
    request_: dict[str, Any],
    settings: Settings,
    log: DecisionLog,
    registry: Registry,
    app: Celery,
    connection: redis.Redis,
) -> None:
    quarantine(log, registry, "a", request_)
    app.backend.mark_as_failure("a", ImageUnavailable("the store failed"))
    [entry] = find_entries(log.engine)
    release(entry, log, registry, app, settings)
    message = json.loads(connection.lindex(QUEUES["bulk"], 0))  # type: ignore[arg-type]
    assert message["headers"]["id"] == "a"
    assert message["headers"]["sent_at"] == 1.0
    assert registry.accepted("a") == Accepted(request_, "bulk", 1.0)
    assert registry.kept("a") is None
    assert log.outcome("a", "0" * 64) is None
    with pytest.raises(VerdictTimeout):  # and not the old error
        Client(settings).collect("a", timeout_seconds=0)
    released = find_entry(log.engine, "a")
    assert released is not None
    with pytest.raises(RequestError, match="released already"):
        release(released, log, registry, app, settings)


def test_a_request_that_is_not_kept_cannot_be_released_and_stays(
    settings: Settings, log: DecisionLog, registry: Registry, app: Celery
) -> None:
    quarantine(log, registry, "a")
    registry.forget("a")
    [entry] = find_entries(log.engine)
    with pytest.raises(RequestError, match="not kept in Redis"):
        release(entry, log, registry, app, settings)
    assert [one.state for one in find_entries(log.engine)] == ["open"]


def test_a_full_queue_leaves_a_request_in_quarantine(
    settings: Settings,
    log: DecisionLog,
    registry: Registry,
    app: Celery,
    connection: redis.Redis,
) -> None:
    quarantine(log, registry, "a")
    connection.lpush(QUEUES["bulk"], "1", "2", "3")
    [entry] = find_entries(log.engine)
    with pytest.raises(QueueFull):
        release(entry, log, registry, app, settings)
    assert find_entries(log.engine) == [entry]
    assert registry.kept("a") is not None


def test_a_full_redis_leaves_a_request_in_quarantine(
    settings: Settings, log: DecisionLog, registry: Registry, app: Celery, connection: redis.Redis
) -> None:
    quarantine(log, registry, "a")
    [entry] = find_entries(log.engine)
    connection.config_set("maxmemory", "1")
    try:
        with pytest.raises(BrokerUnavailable, match="Redis refuses"):
            release(entry, log, registry, app, settings)
    finally:
        connection.config_set("maxmemory", "0")
    assert find_entries(log.engine) == [entry]
    assert registry.kept("a") is not None
    assert registry.count() == 0


def test_a_released_request_that_cannot_be_sent_now_is_sent_by_a_worker_and_no_error(
    settings: Settings,
    log: DecisionLog,
    registry: Registry,
    app: Celery,
    connection: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By somebody whom Redis lets do all else."""
    quarantine(log, registry, "a")
    connection.acl_setuser(
        "limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-lpush"]
    )
    url = settings.broker_url.get_secret_value()
    [entry] = find_entries(log.engine)
    with redis.Redis.from_url(f"redis://limited:@{url.rpartition('@')[2]}") as limited:
        release(entry, log, Registry(limited), app, settings)
    connection.acl_deluser("limited")
    assert "sent by a worker in" in caplog.text
    assert connection.llen(QUEUES["bulk"]) == 0
    [state] = [one.state for one in find_entries(log.engine, every=True)]
    assert state == "released"
    connection.zincrby("evenhand.accepted.at.bulk", -1000, "a")
    assert Recovery(connection, settings, worker="w").look() == 1
    assert connection.llen(QUEUES["bulk"]) == 1


def test_the_commands_list_show_retry_and_drop(
    settings: Settings, log: DecisionLog, registry: Registry, connection: redis.Redis
) -> None:
    for name in ("first", "second"):
        quarantine(log, registry, name)
    listed = json.loads(run(settings, "list", "--format", "json").stdout)
    assert [entry["request_id"] for entry in listed] == ["second", "first"]
    assert [entry["id"] in run(settings, "list").stdout for entry in listed] == [True, True]
    shown = json.loads(run(settings, "show", "first").stdout)
    assert (shown["reason"], shown["can_be_retried"]) == ("unavailable", True)
    assert run(settings, "retry", "first").returncode == 0
    assert connection.llen(QUEUES["bulk"]) == 1
    dropped = run(settings, "drop", "--all", "--reason", "unavailable")
    assert (dropped.returncode, "1 dropped" in dropped.stderr) == (0, True)
    assert registry.kept("second") is None
    assert json.loads(run(settings, "list", "--format", "json").stdout) == []
    every = json.loads(run(settings, "list", "--all", "--format", "json").stdout)
    assert [entry["state"] for entry in every] == ["dropped", "released"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("retry", "unheard-of"), "nothing in quarantine is called unheard-of"),
        (("retry",), "not clear which requests"),
        (("drop", "a", "--all"), "not clear which requests"),
        (("list", "--reason", "bad"), "Invalid value for '--reason'"),
        (("show", "unheard-of"), "nothing in quarantine"),
    ],
)
def test_wrong_use_of_the_commands_is_told(
    words: tuple[str, ...], told: str, settings: Settings
) -> None:
    open_log(settings).close()
    done = run(settings, *words)
    assert (done.returncode, told in " ".join(done.stderr.split())) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("quarantine", "list"), ("decisions", "list"), ("callbacks", "list"), ("doctor",)]
)
def test_a_command_that_reads_makes_no_log(
    words: tuple[str, ...], settings: Settings, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
        "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/misspelt.db",
    }
    done = subprocess.run(
        [sys.executable, "-m", "moderation", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if words != ("doctor",):
        assert (done.returncode, "there is no decision log" in done.stderr) == (3, True)
    assert not (tmp_path / "misspelt.db").exists()
