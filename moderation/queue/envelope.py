"""What lies in a queue, as raw bytes -> a message that Celery may see, made of known parts alone.

Anybody who can write to Redis can write a message, so nothing is handed on as it came: only the
headers that a request needs stay, and a message that would make a worker do anything but answer one
request is refused.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from moderation.messages import EMBED_TASK_NAME, QUEUES, REQUEST_ID, TASK_NAME
from moderation.queue.celery_app import CONTROL
from moderation.queue.packed_message import SENT_AT

#: The only remote command that a worker obeys: it asks whether the worker lives.
_COMMAND = "ping"
_REPLY_EXCHANGE = f"reply.{CONTROL}.pidbox"
_LARGEST_COMMAND = 65_536

_TASKS = (TASK_NAME, EMBED_TASK_NAME)

#: How far ahead a retry may lie. Ours wait 30 s at most. A longer wait is cut to that, since the
#: sender's clock may be wrong, and what waits is held in memory.
_LONGEST_WAIT = timedelta(seconds=30)
_MOST_RETRIES = 1_000

#: No Unix time is beyond this; a larger float may not even be finite.
_LATEST = 1e12

#: How much a message may take beside its image, and how much larger base64 makes it, done twice.
_BESIDE_IMAGE_BYTES = 131_072
_BASE64_TWICE = (16, 9)

#: A message over the limit is parsed for its id up to this many times the limit.
_SOUGHT_THROUGH = 4

_BESIDE_BODY = 8192
_AN_ID = re.compile(rb'"id": ?"([!-~]{1,128}?)"')

_JSON = "application/json"
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", None)


class UnreadableMessage(ValueError):
    """A worker may not act on an envelope; says why, and gives its task's id if it has one."""

    def __init__(self, why: str, task_id: str | None = None) -> None:
        super().__init__(why, task_id)
        self.why = why
        self.task_id = task_id


class Envelope(dict[str, Any]):
    """A message as kombu keeps it, with the arguments of its task beside it, parsed once."""

    arguments: tuple[list[Any], dict[str, Any], dict[str, Any]]


def largest_message(max_image_bytes: int) -> int:
    """Returns how long an envelope with the largest image can be, in bytes."""
    times, over = _BASE64_TWICE
    return max_image_bytes * times // over + _BESIDE_IMAGE_BYTES


def read_envelope(raw: bytes, queue: str, *, largest: int) -> Envelope:
    """Returns the envelope in `raw`, rebuilt from what a request needs.

    Args:
        raw: as it lay in Redis.
        queue: where it lay, whatever it says itself.
        largest: how many bytes it may have.

    Raises:
        UnreadableMessage: a worker may not act on it.
    """
    if len(raw) > largest:
        raise UnreadableMessage("it is too large", _large_envelope_id(raw, largest))
    message = _envelope_object(_envelope_json(raw), "it is not a JSON object")
    headers = _envelope_object(message.get("headers"), "it has no headers")
    task_id = _envelope_id(headers)
    try:
        return _rebuilt_envelope(message, headers, queue)
    except UnreadableMessage as error:
        raise UnreadableMessage(error.why, task_id) from error


def _rebuilt_envelope(message: dict[str, Any], headers: dict[str, Any], queue: str) -> Envelope:
    if "task" not in headers:
        _refuse_envelope("it names no task")
    if headers["task"] not in _TASKS:
        _refuse_envelope("its task is unknown")
    if (task_id := _envelope_id(headers)) is None:
        _refuse_envelope("it has no id")
    properties = _envelope_object(message.get("properties"), "it has no properties")
    redelivered = headers.get("redelivered") is True
    envelope = Envelope(
        body=message.get("body"),
        headers=_envelope_headers(headers, task_id, redelivered),
        properties={
            "correlation_id": task_id,
            "delivery_mode": 2,
            # A tag that is used twice would remove another message from what is in hand.
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue, "redelivered": redelivered},
            "priority": 0,
            "body_encoding": "base64",
        },
    )
    envelope["content-type"], envelope["content-encoding"] = _JSON, "utf-8"
    envelope.arguments = _envelope_arguments(message, headers, properties)
    return envelope


def _envelope_headers(headers: dict[str, Any], task_id: str, redelivered: bool) -> dict[str, Any]:
    """Returns the headers that a request needs, and no others: Celery acts on dozens."""
    retries = headers.get("retries") or 0
    if not isinstance(retries, int) or not 0 <= retries <= _MOST_RETRIES:
        _refuse_envelope("its number of retries is impossible")
    kept = {
        "lang": "py",
        "task": headers["task"],
        "id": task_id,
        "root_id": task_id,
        "retries": retries,
        "eta": _envelope_eta(headers.get("eta")),
        "redelivered": redelivered,
        # Celery logs these; without them it logs the arguments themselves.
        "argsrepr": "()",
        "kwargsrepr": f"request {task_id}",
    }
    sent_at = headers.get(SENT_AT)
    if isinstance(sent_at, int | float) and abs(sent_at) < _LATEST:
        kept[SENT_AT] = sent_at
    return kept


def _envelope_eta(text: Any) -> str | None:
    """Returns when to begin, in ISO; None for at once."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        _refuse_envelope("its time to begin cannot be read")
    now = datetime.now(UTC)
    return min(given, now + _LONGEST_WAIT).isoformat() if given > now else None


def _envelope_arguments(
    message: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Returns the task's arguments; the third part, which says what is to follow, must be empty."""
    if headers.get("compression"):
        _refuse_envelope("it is compressed")
    if message.get("content-type") != _JSON:
        _refuse_envelope("it is not of type JSON")
    if message.get("content-encoding") not in _ENCODINGS:
        _refuse_envelope("it is not in UTF-8")
    if properties.get("body_encoding") != "base64":
        _refuse_envelope("its body is not base64")
    body = _envelope_json(_envelope_body(message.get("body")))
    if not isinstance(body, list) or len(body) != 3:
        _refuse_envelope("its body is not a task")
    args, kwargs, following = body
    if following is not None and (not isinstance(following, dict) or any(following.values())):
        _refuse_envelope("it asks for more than an answer")
    if isinstance(args, list) and len(args) == 1 and kwargs == {}:
        args, kwargs = [], {"request": args[0]}
    if args != [] or not isinstance(kwargs, dict) or set(kwargs) != {"request"}:
        _refuse_envelope("it holds no request")
    return args, kwargs, {}


def _envelope_json(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_envelope)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8 and endless numbers
        _refuse_envelope("it is not JSON")


def _envelope_body(body: Any) -> bytes:
    if not isinstance(body, str):
        _refuse_envelope("its body is not base64")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        _refuse_envelope("its body is not base64")


def _envelope_object(value: Any, why: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse_envelope(why)
    return value


def _envelope_id(headers: dict[str, Any]) -> str | None:
    found: str | None = headers.get("id")
    return found if _is_envelope_name(found) else None


def _large_envelope_id(raw: bytes, largest: int) -> str | None:
    """Returns the id in a message that is too large, so that its sender gets an answer."""
    if len(raw) > largest * _SOUGHT_THROUGH:  # it is not parsed, but searched at both ends
        found = _AN_ID.search(raw[:_BESIDE_BODY]) or _AN_ID.search(raw[-_BESIDE_BODY:])
        return str(found[1], "ascii") if found else None
    try:
        return _envelope_id(_envelope_json(raw)["headers"])
    except (UnreadableMessage, KeyError, TypeError, AttributeError):
        return None


def _refuse_envelope(why: str) -> NoReturn:
    raise UnreadableMessage(why)


def read_command(raw: bytes) -> str | None:
    """Returns the envelope of a command to a worker, rebuilt; None for one it does not obey.

    It leaves out patterns for the names of workers, which may take for ever to match.
    """
    try:
        message = _envelope_object(_envelope_json(raw[: _LARGEST_COMMAND + 1]), "")
        body = _envelope_object(_envelope_json(_envelope_body(message.get("body"))), "")
    except UnreadableMessage:
        return None
    reply, named = body.get("reply_to"), body.get("destination")
    if body.get("method") != _COMMAND or not isinstance(reply, dict):
        return None
    if reply.get("exchange") != _REPLY_EXCHANGE or not isinstance(named, list | None):
        return None
    names = [body.get("ticket"), reply.get("routing_key"), *(named or [])]
    if not all(map(_is_envelope_name, names)):
        return None
    command = {
        "method": _COMMAND,
        "arguments": {},
        "destination": named,
        "ticket": body["ticket"],
        "reply_to": {"exchange": _REPLY_EXCHANGE, "routing_key": reply["routing_key"]},
    }
    properties = {
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": f"{CONTROL}.pidbox", "routing_key": ""},
        "body_encoding": "base64",
    }
    rebuilt = {
        "body": base64.b64encode(json.dumps(command).encode()).decode(),
        "headers": {},
        "properties": properties,
        "content-type": _JSON,
        "content-encoding": "utf-8",
    }
    return json.dumps(rebuilt)


def _is_envelope_name(value: Any) -> bool:
    return isinstance(value, str) and REQUEST_ID.fullmatch(value) is not None


def read_note(note: bytes) -> tuple[str, str]:
    """Returns the queue and the text of an envelope that a worker had noted as taken.

    Raises:
        UnreadableMessage: it is not as a worker notes it, or of another queue.
    """
    parts = _envelope_json(note)
    if not isinstance(parts, list) or len(parts) != 3:
        _refuse_envelope("it is not as workers note what they take")
    message, _, queue = parts
    if queue not in QUEUES.values():
        _refuse_envelope("its queue is not ours")
    if isinstance(message, dict) and isinstance(message.get("headers"), dict):
        message["headers"]["redelivered"] = True
    return queue, message if isinstance(message, str) else json.dumps(message)


def pack_note(raw: bytes, queue: str) -> str:
    """Returns the note of an envelope that is not JSON; `read_note` gives it back."""
    return json.dumps([raw.decode("utf-8", "surrogateescape"), "", queue])
