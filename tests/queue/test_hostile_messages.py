"""What somebody with access to Redis can do to a worker: real queues, a real worker process."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import time
import uuid
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import TASK_NAME
from moderation.queue.celery_app import CONTROL, UNACKED, UNACKED_INDEX, create_app
from moderation.queue.envelope import UnreadableMessage, largest_message, pack_note, read_envelope
from moderation.queue.packed_message import pack_message
from moderation.settings import load_settings
from tests.conftest import ROOT
from tests.support.echo_worker import QUEUE, EchoWorker
from tests.support.waiting import until

SECRET = "c2VjcmV0IGltYWdl"
MOST_BYTES = 100_000
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


def message(body: Any = None, **changes: Any) -> dict[str, Any]:
    """Returns a good message, changed; a part that is `...` is left out."""
    request = {"image": {"path": f"answer {SECRET}"}}
    parts: dict[str, Any] = json.loads(pack_message(TASK_NAME, str(uuid.uuid4()), request, QUEUE))
    if body is not None:
        parts["body"] = packed(json.dumps(body).encode())
    for name, change in changes.items():
        key = name.replace("_", "-")
        parts[key] = {**parts[key], **change} if isinstance(change, dict) else change
    given = {key: part for key, part in parts.items() if part is not ...}
    for key in ("headers", "properties"):
        if isinstance(given.get(key), dict):
            given[key] = {k: v for k, v in given[key].items() if v is not ...}
    return given


def packed(text: bytes) -> str:
    return base64.b64encode(text).decode()


def following(**what: Any) -> dict[str, Any]:
    return message([[], {"request": {}}, what])


NO_BASE64 = "its body is not base64"
NO_JSON = "it is not JSON"
MORE = "it asks for more than an answer"
SIGNATURE = {"task": "celery.chord_unlock", "args": [], "options": {"queue": "stolen"}}

HOSTILE: dict[str, tuple[Any, str]] = {
    "garbage": (b"\x80\x04garbage", NO_JSON),
    "empty": (b"", NO_JSON),
    "deep": (b'{"headers":' + b"[" * 200_000, NO_JSON),
    "NaN": (b'{"headers": NaN}', NO_JSON),
    "digits": (b'{"headers": ' + b"9" * 5000 + b"}", NO_JSON),
    "number": (b"7", "it is not a JSON object"),
    "list": (b"[1, 2]", "it is not a JSON object"),
    "text": (b'"x"', "it is not a JSON object"),
    "no headers": (message(headers=...), "it has no headers"),
    "headers of a wrong shape": (message(headers=[1]), "it has no headers"),
    "no properties": (message(properties=...), "it has no properties"),
    "no body": (message(body=None) | {"body": None}, NO_BASE64),
    "body of a wrong shape": ({**message(), "body": {"a": 1}}, NO_BASE64),
    "body not base64": ({**message(), "body": "%%%"}, NO_BASE64),
    "body of plain text": (
        message(properties={"body_encoding": "utf-8"}),
        NO_BASE64,
    ),
    "body not JSON": ({**message(), "body": packed(b"\xff\xfe")}, NO_JSON),
    "body with NaN": (
        {**message(), "body": packed(b'[[], {"request": NaN}, {}]')},
        "it is not JSON",
    ),
    "body too deep": ({**message(), "body": packed(b"[" * 60_000)}, NO_JSON),
    "body of two parts": (message([[], {}]), "its body is not a task"),
    "body of an object": (message({"args": [], "kwargs": {}}), "its body is not a task"),
    "pickle": (message(content_type="application/x-python-serialize"), "it is not of type JSON"),
    "YAML": (message(content_type="application/x-yaml"), "it is not of type JSON"),
    "no type": (message(content_type=...), "it is not of type JSON"),
    "odd charset": (message(content_encoding="rot13"), "it is not in UTF-8"),
    "zlib bomb": (
        {
            **message(headers={"compression": "application/x-gzip"}),
            "body": packed(zlib.compress(b"0" * 10_000_000)),
        },
        "it is compressed",
    ),
    "protocol 1": (
        message({"task": TASK_NAME, "id": "x"}, headers={"task": ...}),
        "it names no task",
    ),
    "unknown task": (message(headers={"task": "os.system"}), "its task is unknown"),
    "task of Celery": (message(headers={"task": "celery.map"}), "its task is unknown"),
    "task of a wrong shape": (message(headers={"task": ["x"]}), "its task is unknown"),
    "no id": (message(headers={"id": ...}), "it has no id"),
    "id of two lines": (message(headers={"id": "a\nERROR b"}), "it has no id"),
    "id too long": (message(headers={"id": "a" * 129}), "it has no id"),
    "id of a wrong shape": (message(headers={"id": {"a": 1}}), "it has no id"),
    "eta no time": (message(headers={"eta": "soon"}), "its time to begin cannot be read"),
    "eta a number": (message(headers={"eta": 1e30}), "its time to begin cannot be read"),
    "eta beyond time": (
        message(headers={"eta": "9999-12-31T23:59:59-23:00"}),
        "its time to begin cannot be read",
    ),
    "retries below 0": (message(headers={"retries": -1}), "its number of retries is impossible"),
    "retries a text": (message(headers={"retries": "1"}), "its number of retries is impossible"),
    "retries huge": (message(headers={"retries": 10**9}), "its number of retries is impossible"),
    "callback": (following(callbacks=[SIGNATURE]), MORE),
    "errback": (following(errbacks=[SIGNATURE]), MORE),
    "chain": (following(chain=[SIGNATURE]), MORE),
    "chord": (following(chord=SIGNATURE), MORE),
    "embed of a wrong shape": (
        message([[], {"request": {}}, "x"]),
        MORE,
    ),
    "no request": (message([[], {"other": 1}, {}]), "it holds no request"),
    "two arguments": (message([[1, 2], {}, {}]), "it holds no request"),
    "too large": (
        message([[], {"request": "x" * MOST_BYTES * 3}, {}]),
        "it is too large",
    ),
    "far too large": (b'"' + b"x" * 5_000_000 + b'"', "it is too large"),
}


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
    tag = "stolen-tag"
    echo.redis.hset(UNACKED, tag, json.dumps([message(), "", QUEUE]))
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
            "delivery_tag": tag,
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
    until(lambda: not echo.redis.exists(UNACKED_INDEX))  # it is acknowledged, under its own tag
    assert echo.redis.hexists(UNACKED, tag)  # another's message is not
    echo.redis.hdel(UNACKED, tag)
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


def test_a_retry_far_ahead_is_not_kept_for_longer_than_ours() -> None:
    raw = json.dumps(message(headers={"eta": "9000-01-01T00:00:00"})).encode()
    envelope = read_envelope(raw, QUEUE, largest=10**6)
    eta = datetime.fromisoformat(envelope["headers"]["eta"])
    assert eta.timestamp() <= time.time() + 30


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
        until(lambda: echo.redis.hvals(UNACKED) == [pack_note(raw, QUEUE)])
        assert len(echo.poison()) == known
    finally:
        echo.refuse_poison(False)
    until(lambda: len(echo.poison()) > known)
    until(lambda: echo.in_hand() == 0)
    [poison] = echo.poison()[known:]
    assert poison["sha256"] == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    "note",
    [
        "garbage",
        "[]",
        json.dumps([message(), "", "stolen"]),
        json.dumps([message(), "", ["x"]]),
        "[" * 100_000,
    ],
)
def test_a_forged_note_of_what_is_in_hand_is_reported_and_writes_nowhere_else(
    note: str, echo: EchoWorker
) -> None:
    known = len(echo.poison())
    # A good one that is older must still come back.
    task_id = str(uuid.uuid4())
    good = json.dumps([message(headers={"id": task_id}), "elsewhere", QUEUE])
    echo.redis.hset(UNACKED, mapping={"good": good, "forged": note})
    echo.redis.zadd(UNACKED_INDEX, {"good": 1, "forged": 2})
    assert "did" in echo.answer(task_id)
    until(lambda: len(echo.poison()) > known)
    until(lambda: echo.in_hand() == 0)
    [poison] = echo.poison()[known:]
    assert poison["queue"] == UNACKED
    assert not echo.redis.exists("stolen")


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


def test_the_largest_image_fits_into_the_largest_message() -> None:
    image = base64.b64encode(b"\xff" * MOST_BYTES).decode()
    names = ["a-policy-with-a-long-name" * 8] * 50
    body = [[], {"request": {"image": {"bytes": image}, "policies": names}}, {}]
    raw = json.dumps(message(body)).encode()
    largest = largest_message(MOST_BYTES)
    assert read_envelope(raw, QUEUE, largest=largest).arguments == tuple(body)
    with pytest.raises(UnreadableMessage, match="too large"):
        read_envelope(raw, QUEUE, largest=len(raw) - 1)


MODULES = sorted((ROOT / "moderation").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_loads_what_can_hold_code(path: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {alias.name for alias in node.names}
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert not {part for name in names for part in name.split(".")} & forbidden


def test_host_and_worker_accept_only_json() -> None:
    conf = create_app(load_settings()).conf
    assert list(conf.accept_content) == list(conf.result_accept_content) == ["json"]
    assert conf.task_serializer == conf.result_serializer == "json"
