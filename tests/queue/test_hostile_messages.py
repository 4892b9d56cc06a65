"""What somebody with access to Redis can do to a worker: real queues, a real worker process."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import TASK_NAME
from moderation.queue.celery_app import CONTROL, create_app
from moderation.queue.keys import HAND
from moderation.settings import load_settings
from tests.support.echo_worker import QUEUE, EchoWorker
from tests.support.hostile_messages import (
    HOSTILE,
    MOST_BYTES,
    SECRET,
    SIGNATURE,
    message,
    packed,
)
from tests.support.waiting import until

VISIBILITY_SECONDS = 5


@pytest.fixture(scope="module")
def echo(server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoWorker]:
    limits = {
        "MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        "MODERATION_MAX_IMAGE_BYTES": str(MOST_BYTES),
        "MODERATION_CONCURRENCY": "4",
        "MODERATION_LOG_LEVEL": "debug",
    }
    settings = load_settings(broker_url=server.url)
    with EchoWorker(settings, tmp_path_factory.mktemp("echo"), **limits) as running:
        yield running


def ping(echo: EchoWorker) -> None:
    """Returns once a worker has answered, and so has seen all commands that were sent before."""
    with create_app(echo.host) as app:
        until(lambda: app.control.ping(timeout=5.0, limit=1))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_reported_once_and_harms_nobody(name: str, echo: EchoWorker) -> None:
    content, why = HOSTILE[name]
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    known = len(echo.poison())
    echo.redis.lpush(QUEUE, raw)
    assert echo.answer(echo.send())["did"] == "answer"
    until(lambda: len(echo.poison()) > known)
    until(lambda: echo.redis.llen(QUEUE) == 0 and echo.in_hand() == 0)
    [poison] = echo.poison()[known:]
    has_id = not isinstance(content, bytes) and isinstance(content.get("headers"), dict)
    given = content["headers"].get("id") if has_id else None
    readable = isinstance(given, str) and len(given) <= 128 and given.isprintable()
    assert poison == {
        "queue": QUEUE,
        "why": why,
        "task_id": given if readable else None,
        "size": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    assert echo.process.poll() is None
    log = echo.log()
    assert SECRET not in log
    assert "Traceback" not in log


def test_what_a_request_does_not_need_is_left_out(echo: EchoWorker) -> None:
    task_id = str(uuid.uuid4())
    hostile = message(
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
            "sent_at": 1e999,
        },
        properties={
            "delivery_tag": "stolen-tag",
            "reply_to": "stolen",
            "priority": 9,
            "delivery_info": {"exchange": "stolen", "routing_key": "stolen"},
        },
    )
    before = set(echo.redis.keys("*"))
    echo.redis.lpush(QUEUE, json.dumps(hostile).replace("Infinity", "1e999"))
    did = echo.answer(task_id)
    assert did["delivery"]["routing_key"] == QUEUE
    assert did["headers"] == {"redelivered": False}
    until(lambda: echo.in_hand() == 0)
    assert set(echo.redis.keys("*")) - before <= {f"celery-task-meta-{task_id}"}
    assert SECRET not in echo.log()


def test_one_tag_for_two_messages_acknowledges_each_by_itself(echo: EchoWorker) -> None:
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    for task_id in ids:
        body = [[], {"request": {"image": {"path": f"held {task_id}"}}}, {}]
        same = message(body, headers={"id": task_id}, properties={"delivery_tag": "same"})
        echo.redis.lpush(QUEUE, json.dumps(same))
    until(lambda: echo.in_hand() == 2)
    echo.open(ids[1])
    assert echo.answer(ids[1])["did"] == "held"
    until(lambda: echo.in_hand() == 1)
    echo.open(ids[0])
    assert echo.answer(ids[0])["did"] == "held"
    until(lambda: echo.in_hand() == 0)


def test_messages_with_a_priority_are_read_and_come_back_to_the_queue_itself(
    echo: EchoWorker,
) -> None:
    known = len(echo.poison())
    assert echo.answer(echo.send(priority=9))["delivery"]["priority"] == 0
    echo.redis.lpush(f"{QUEUE}\x06\x169", "garbage")
    until(lambda: len(echo.poison()) > known)
    assert echo.poison()[-1]["queue"] == QUEUE


def test_what_cannot_be_reported_is_not_acknowledged_and_comes_back(echo: EchoWorker) -> None:
    known = len(echo.poison())
    raw = b"garbage \xff that comes back"
    echo.refuse_poison(True)
    try:
        echo.redis.lpush(QUEUE, raw)
        assert echo.answer(echo.send())["did"] == "answer"
        until(lambda: echo.redis.hlen(HAND) == 1)
        assert len(echo.poison()) == known
    finally:
        echo.refuse_poison(False)
    until(lambda: len(echo.poison()) > known)
    until(lambda: echo.in_hand() == 0)
    [poison] = echo.poison()[known:]
    assert poison["sha256"] == hashlib.sha256(raw).hexdigest()


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
    method: str, arguments: dict[str, Any], echo: EchoWorker
) -> None:
    known = len(echo.log())
    with create_app(echo.host) as app:
        app.control.broadcast(method, arguments=arguments, reply=True, timeout=0.01)
    ping(echo)
    obeyed = re.findall(r"pidbox received method (.*?) \[reply_to", echo.log()[known:])
    assert set(obeyed) == {"ping()"}
    assert echo.answer(echo.send())["did"] == "answer"
    assert echo.process.poll() is None


def test_garbage_on_the_channel_of_commands_is_passed_over(echo: EchoWorker) -> None:
    ping(echo)  # it listens
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
        assert echo.redis.publish(f"/0.{CONTROL}.pidbox", text) == 1
    ping(echo)
    assert echo.answer(echo.send())["did"] == "answer"
    assert "Traceback" not in echo.log()
    assert not echo.redis.exists("s")


def test_keys_of_another_kind_stop_a_worker_only_for_as_long_as_they_are_there(
    echo: EchoWorker,
) -> None:
    known = len(echo.log())
    echo.redis.set(QUEUE, "no list")
    until(lambda: "WRONGTYPE" in echo.log()[known:])
    assert echo.process.poll() is None
    echo.redis.delete(QUEUE)
    assert echo.answer(echo.send())["did"] == "answer"
    assert "Traceback" not in echo.log()
