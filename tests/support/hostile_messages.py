"""Messages that somebody with access to Redis might write, and why a worker refuses each."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from typing import Any

from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.packed_message import pack_message

SECRET = "c2VjcmV0IGltYWdl"
MOST_BYTES = 100_000
QUEUE = QUEUES["interactive"]


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
    "strikes below 0": (message(headers={"strikes": -1}), "its number of strikes is impossible"),
    "strikes huge": (message(headers={"strikes": 10**9}), "its number of strikes is impossible"),
    "number without end": (b'{"headers": {"sent_at": 1e999}}', NO_JSON),
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
