"""What somebody with access to Redis can do to a worker: real queues, a real worker process."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import TASK_NAME
from moderation.queue.celery_app import CONTROL, create_app
from moderation.settings import load_settings
from tests.support.hostile_messages import (
    HOSTILE,
    MOST_BYTES,
    SECRET,
    SIGNATURE,
    message,
    packed,
)
from tests.support.photo_server import PhotoServer
from tests.support.tiny_worker import QUEUE, TinyWorker
from tests.support.waiting import until

VISIBILITY_SECONDS = 5


@pytest.fixture(scope="module")
def photos() -> Iterator[PhotoServer]:
    with PhotoServer(Path(__file__)) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    server: EmbeddedRedis, photos: PhotoServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TinyWorker]:
    limits = {
        "MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        "MODERATION_MAX_IMAGE_BYTES": str(MOST_BYTES),
        "MODERATION_CONCURRENCY": "4",
        "MODERATION_LOG_LEVEL": "debug",
    }
    settings, folder = load_settings(broker_url=server.url), tmp_path_factory.mktemp("worker")
    with TinyWorker(settings, folder, photos, **limits) as running:
        yield running


def ping(worker: TinyWorker) -> None:
    """Returns once a worker has answered, and so has seen all commands that were sent before."""
    with create_app(worker.settings) as app:
        until(lambda: app.control.ping(timeout=5.0, limit=1))


def assert_works(worker: TinyWorker) -> None:
    """Checks that a good request gets its verdict."""
    good = worker.send()
    assert worker.answer(good) == good


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_reported_once_and_harms_nobody(name: str, worker: TinyWorker) -> None:
    content, why = HOSTILE[name]
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    for _ in range(2):
        worker.redis.lpush(QUEUE, raw)
    assert_works(worker)
    until(lambda: worker.redis.llen(QUEUE) == 0 and worker.in_hand() == 0)
    has_id = not isinstance(content, bytes) and isinstance(content.get("headers"), dict)
    given = content["headers"].get("id") if has_id else None
    readable = isinstance(given, str) and len(given) <= 128 and given.isprintable()
    called = str(given) if readable else f"message-{hashlib.sha256(raw).hexdigest()}"
    [entry] = [entry for entry in worker.quarantined() if entry.request_id == called]
    assert (entry.reason, entry.error[0]) == ("message", why)
    assert worker.queue_of(called) == "interactive"
    if isinstance(given, str) and readable:  # and so its host is told
        assert why in worker.error(given)
    assert worker.process.poll() is None
    log = worker.log()
    assert SECRET not in log
    assert "Traceback" not in log


def test_what_a_request_does_not_need_is_left_out(worker: TinyWorker) -> None:
    task_id = str(uuid.uuid4())
    request = {"image": worker.image("plain"), "policies": ["colours"]}
    hostile = message(
        [[], {"request": request}, {}],
        headers={
            "id": task_id,
            "ignore_result": True,
            "expires": "2001-01-01T00:00:00",
            "shadow": "something else",
            "timelimit": [1e99, -1],
            "root_id": "x" * 1000,
            "group": "g",
            "chord": SIGNATURE,
            "callbacks": [SIGNATURE],
            "errbacks": [SIGNATURE],
            "chain": [SIGNATURE],
            "stamped_headers": ["a"],
            "stamps": {"a": ["b"]},
            "replaced_task_nesting": 10**9,
            "argsrepr": SECRET,
            "kwargsrepr": SECRET,
            "sent_at": "yesterday",
        },
        properties={
            "delivery_tag": "stolen-tag",
            "reply_to": "stolen",
            "priority": 9,
            "delivery_info": {"exchange": "stolen", "routing_key": "stolen"},
        },
    )
    before = set(worker.redis.keys("*"))
    worker.redis.lpush(QUEUE, json.dumps(hostile))
    assert worker.answer(task_id) == task_id
    until(lambda: worker.in_hand() == 0)
    assert set(worker.redis.keys("*")) - before <= {f"celery-task-meta-{task_id}"}
    assert SECRET not in worker.log()


def test_one_tag_for_two_messages_acknowledges_each_by_itself(
    worker: TinyWorker, photos: PhotoServer
) -> None:
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    for task_id in ids:
        request = {"image": worker.image(f"held {task_id}"), "policies": ["colours"]}
        same = message(
            [[], {"request": request}, {}],
            headers={"id": task_id},
            properties={"delivery_tag": "same"},
        )
        worker.redis.lpush(QUEUE, json.dumps(same))
    until(lambda: worker.in_hand() == 2)
    photos.opened.add(ids[1])
    assert worker.answer(ids[1]) == ids[1]
    until(lambda: worker.in_hand() == 1)
    photos.opened.add(ids[0])
    assert worker.answer(ids[0]) == ids[0]
    until(lambda: worker.in_hand() == 0)


def test_messages_with_a_priority_are_read_like_all_others(worker: TinyWorker) -> None:
    known = len(worker.quarantined())
    urgent = worker.send(priority=9)
    assert worker.answer(urgent) == urgent
    worker.redis.lpush(f"{QUEUE}\x06\x169", "garbage with a priority")
    until(lambda: len(worker.quarantined()) > known)
    assert worker.queue_of(worker.quarantined()[0].request_id) == "interactive"


def test_what_cannot_be_reported_stays_in_hand_and_is_reported_later(worker: TinyWorker) -> None:
    known = len(worker.quarantined())
    raw = b"garbage \xff that comes back"
    name = f"message-{hashlib.sha256(raw).hexdigest()}"
    with closing(sqlite3.connect(worker.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        worker.redis.lpush(QUEUE, raw)
        until(lambda: "requests wait for the decision log" in worker.log())
        assert worker.in_hand() == 1
        other.rollback()
    until(lambda: len(worker.quarantined()) > known)
    until(lambda: worker.in_hand() == 0)
    assert [entry.request_id for entry in worker.quarantined()].count(name) == 1
    assert_works(worker)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("shutdown", {}),
        ("pool_grow", {"n": 1000}),
        ("pool_shrink", {"n": 100}),
        ("rate_limit", {"task_name": TASK_NAME, "rate_limit": "1/h"}),
        ("time_limit", {"task_name": TASK_NAME, "hard": 0.001}),
        ("cancel_consumer", {"queue": QUEUE}),
        ("add_consumer", {"queue": "stolen"}),
        ("revoke", {"task_id": "x", "terminate": True}),
        ("conf", {}),
        ("ping", {"unknown": 1}),
    ],
)
def test_a_worker_obeys_no_command_but_ping(
    method: str, arguments: dict[str, Any], worker: TinyWorker
) -> None:
    known = len(worker.log())
    with create_app(worker.settings) as app:
        app.control.broadcast(method, arguments=arguments, reply=True, timeout=0.01)
    ping(worker)
    obeyed = re.findall(r"pidbox received method (.*?) \[reply_to", worker.log()[known:])
    assert set(obeyed) == {"ping()"}
    assert_works(worker)
    assert worker.process.poll() is None


def test_garbage_on_the_channel_of_commands_is_passed_over(worker: TinyWorker) -> None:
    ping(worker)  # it listens
    pattern = {"method": "ping", "pattern": "(a+)+$", "matcher": "pcre", "ticket": "t"}
    elsewhere = {"method": "ping", "ticket": "t", "reply_to": {"exchange": "", "routing_key": "s"}}
    for text in (
        b"",
        b"\xff",
        b"[" * 50_000,
        b"{}",
        b'{"body": 1}',
        json.dumps({**message(), "body": packed(json.dumps(pattern).encode())}).encode(),
        json.dumps({**message(), "body": packed(json.dumps(elsewhere).encode())}).encode(),
        json.dumps(message(headers={"compression": "bzip2"})).encode(),
    ):
        assert worker.redis.publish(f"/0.{CONTROL}.pidbox", text) == 1
    ping(worker)
    assert_works(worker)
    assert "Traceback" not in worker.log()
    assert not worker.redis.exists("s")


def test_keys_of_another_kind_stop_a_worker_only_for_as_long_as_they_are_there(
    worker: TinyWorker,
) -> None:
    known = len(worker.log())
    worker.redis.set(QUEUE, "no list")
    until(lambda: "WRONGTYPE" in worker.log()[known:])
    assert worker.process.poll() is None
    worker.redis.delete(QUEUE)
    assert_works(worker)
    assert "Traceback" not in worker.log()
