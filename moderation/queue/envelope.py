"""What lies in a queue, as raw bytes -> a message that Celery may see, made of known parts alone.

Anybody who can write to Redis can write a message, so nothing is handed on as it came: only the
headers that a request needs stay, and a message that would make a worker do anything but answer one
request is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from moderation.messages import REQUEST_ID
from moderation.queue.celery_app import CONTROL
from moderation.queue.sending import SENT_AT

#: The only remote command that a worker obeys: it asks whether the worker lives.
_COMMAND = "ping"
_REPLY_EXCHANGE = f"reply.{CONTROL}.pidbox"
_LARGEST_COMMAND = 65_536

#: How far ahead a retry may lie. Ours wait 30 s at most. A longer wait is cut to that, since the
#: sender's clock may be wrong, and what waits is held in memory.
_LONGEST_WAIT = timedelta(seconds=30)
_MOST_RETRIES = 1_000

#: No Unix time is beyond this; a larger float may not even be finite.
_LATEST = 1e12

#: How much a message may take beside its image, and how much larger base64 makes it, done twice.
_BESIDE_IMAGE_BYTES = 131_072
_BASE64_TWICE = (16, 9)

#: A message that is too large is parsed for its id if it has no more than so many times the limit.
_SOUGHT_THROUGH = 4

_BESIDE_BODY = 8192
_AN_ID = re.compile(rb'"id": ?"([!-~]{1,128}?)"')

_JSON = "application/json"
_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", None)


class UnreadableMessage(ValueError):
    """A worker may not act on a message; says why, and gives its task's id if it has one."""

    def __init__(self, why: str, task_id: str | None = None) -> None:
        super().__init__(why, task_id)
        self.why = why
        self.task_id = task_id


class Envelope(dict[str, Any]):
    """A message as kombu keeps it, with the arguments of its task beside it, parsed once."""

    arguments: tuple[list[Any], dict[str, Any], dict[str, Any]]


def largest_message(max_image_bytes: int) -> int:
    """Returns how long a message with the largest image can be, in bytes."""
    times, over = _BASE64_TWICE
    return max_image_bytes * times // over + _BESIDE_IMAGE_BYTES


def read_envelope(raw: bytes, queue: str, *, tasks: Collection[str], largest: int) -> Envelope:
    """Returns the message in `raw`, rebuilt from what a request needs.

    Args:
        raw: as it lay in Redis.
        queue: where it lay, whatever it says itself.
        tasks: the names of tasks that may be run.
        largest: how many bytes it may have.

    Raises:
        UnreadableMessage: a worker may not act on it.
    """
    if len(raw) > largest:
        raise UnreadableMessage("it is too large", _sought_id(raw, largest))
    message = _object(_parse(raw), "it is not a JSON object")
    headers = _object(message.get("headers"), "it has no headers")
    task_id = _id(headers)
    try:
        return _rebuilt(message, headers, queue, tasks)
    except UnreadableMessage as error:
        raise UnreadableMessage(error.why, task_id) from error


def _rebuilt(
    message: dict[str, Any], headers: dict[str, Any], queue: str, tasks: Collection[str]
) -> Envelope:
    if "task" not in headers:
        _refuse("it names no task")
    if not isinstance(headers["task"], str) or headers["task"] not in tasks:
        _refuse("its task is unknown")
    if (task_id := _id(headers)) is None:
        _refuse("it has no id")
    properties = _object(message.get("properties"), "it has no properties")
    redelivered = headers.get("redelivered") is True
    envelope = Envelope(
        body=message.get("body"),
        headers=_kept_headers(headers, task_id, redelivered),
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
    envelope.arguments = _arguments(message, headers, properties)
    return envelope


def _kept_headers(headers: dict[str, Any], task_id: str, redelivered: bool) -> dict[str, Any]:
    """Returns the headers that a request needs, and no others: Celery acts on dozens."""
    retries = headers.get("retries") or 0
    if not isinstance(retries, int) or not 0 <= retries <= _MOST_RETRIES:
        _refuse("its number of retries is impossible")
    kept = {
        "lang": "py",
        "task": headers["task"],
        "id": task_id,
        "root_id": task_id,
        "retries": retries,
        "eta": _eta(headers.get("eta")),
        "redelivered": redelivered,
        # Celery logs these; without them it logs the arguments themselves.
        "argsrepr": "()",
        "kwargsrepr": f"request {task_id}",
    }
    sent_at = headers.get(SENT_AT)
    if isinstance(sent_at, int | float) and abs(sent_at) < _LATEST:
        kept[SENT_AT] = sent_at
    return kept


def _eta(text: Any) -> str | None:
    """Returns when to begin, in ISO; None for at once."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        _refuse("its time to begin cannot be read")
    now = datetime.now(UTC)
    return min(given, now + _LONGEST_WAIT).isoformat() if given > now else None


def _arguments(
    message: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Returns the task's arguments; the third part, which says what is to follow, must be empty."""
    if headers.get("compression"):
        _refuse("it is compressed")
    if message.get("content-type") != _JSON:
        _refuse("it is not of type JSON")
    if message.get("content-encoding") not in _ENCODINGS:
        _refuse("it is not in UTF-8")
    if properties.get("body_encoding") != "base64":
        _refuse("its body is not base64")
    body = _parse(_decoded(message.get("body")))
    if not isinstance(body, list) or len(body) != 3:
        _refuse("its body is not a task")
    args, kwargs, following = body
    if following is not None and (not isinstance(following, dict) or any(following.values())):
        _refuse("it asks for more than an answer")
    if isinstance(args, list) and len(args) == 1 and kwargs == {}:
        args, kwargs = [], {"request": args[0]}
    if args != [] or not isinstance(kwargs, dict) or set(kwargs) != {"request"}:
        _refuse("it holds no request")
    return args, kwargs, {}


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except (
        ValueError,
        RecursionError,
    ):  # also for UnicodeDecodeError and numbers that are too long
        _refuse("it is not JSON")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _decoded(body: Any) -> bytes:
    if not isinstance(body, str):
        _refuse("its body is not base64")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        _refuse("its body is not base64")


def _object(value: Any, why: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(why)
    return value


def _id(headers: dict[str, Any]) -> str | None:
    found = headers.get("id")
    return found if isinstance(found, str) and REQUEST_ID.fullmatch(found) else None


def _sought_id(raw: bytes, largest: int) -> str | None:
    """Returns the id in a message that is too large, so that its sender gets an answer."""
    if len(raw) > largest * _SOUGHT_THROUGH:  # it is not parsed, but searched at both ends
        found = _AN_ID.search(raw[:_BESIDE_BODY]) or _AN_ID.search(raw[-_BESIDE_BODY:])
        return str(found[1], "ascii") if found else None
    try:
        return _id(_parse(raw)["headers"])
    except (UnreadableMessage, KeyError, TypeError, AttributeError):
        return None


def _refuse(why: str) -> NoReturn:
    raise UnreadableMessage(why)


def read_command(raw: bytes) -> str | None:
    """Returns a command to a worker, rebuilt from what it needs; None for one it does not obey.

    It leaves out patterns for the names of workers, which may take for ever to match.
    """
    try:
        message = _object(_parse(raw[: _LARGEST_COMMAND + 1]), "")
        body = _object(_parse(_decoded(message.get("body"))), "")
    except UnreadableMessage:
        return None
    reply, ticket = body.get("reply_to"), body.get("ticket")
    named = body.get("destination")
    if body.get("method") != _COMMAND or not isinstance(reply, dict) or not _is_name(ticket):
        return None
    if reply.get("exchange") != _REPLY_EXCHANGE or not _is_name(reply.get("routing_key")):
        return None
    if not (named is None or (isinstance(named, list) and all(map(_is_name, named)))):
        return None
    command = {
        "method": _COMMAND,
        "arguments": {},
        "destination": named,
        "ticket": ticket,
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


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and REQUEST_ID.fullmatch(value) is not None


def read_note(note: bytes, queues: Collection[str]) -> tuple[str, str]:
    """Returns the queue and the text of a message that a worker had noted as taken.

    Raises:
        UnreadableMessage: it is not as a worker notes it, or of another queue.
    """
    parts = _parse(note)
    if not isinstance(parts, list) or len(parts) != 3:
        _refuse("it is not as workers note what they take")
    message, _, queue = parts
    if not isinstance(queue, str) or queue not in queues:
        _refuse("its queue is not ours")
    if isinstance(message, dict) and isinstance(message.get("headers"), dict):
        message["headers"]["redelivered"] = True
    return queue, message if isinstance(message, str) else json.dumps(message)


def pack_note(raw: bytes, queue: str) -> str:
    """Returns the note of a message that is not JSON; `read_note` gives it back."""
    return json.dumps([raw.decode("utf-8", "surrogateescape"), "", queue])
