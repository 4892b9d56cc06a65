"""What lies in a queue, as raw bytes -> what one message asks for, made of known parts alone.

Anybody who can write to Redis can write a message, so nothing is handed on as it came: only the
headers that a request needs are read, and a message that would make a worker do anything but answer
one request is refused.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from moderation.messages import EMBED_TASK_NAME, REQUEST_ID, TASK_NAME
from moderation.queue.celery_app import CONTROL

#: The header with the Unix time at which a request was sent. It stays when a request is put back,
#: so that the age of a message is how long somebody has waited.
SENT_AT = "sent_at"
#: The header with the strikes of workers that did not come back from a request.
STRIKES = "strikes"
#: The property of a message whose body its host has counted among the bytes that were submitted.
COUNTED = "counted"

#: The only remote command that a worker obeys: it asks whether the worker lives.
_COMMAND = "ping"
_REPLY_EXCHANGE = f"reply.{CONTROL}.pidbox"
_LARGEST_COMMAND = 65_536

_TASKS = (TASK_NAME, EMBED_TASK_NAME)

#: How far ahead a request may begin. Our retries wait 30 s at most. A longer wait is cut to that,
#: since the sender's clock may be wrong.
_LONGEST_WAIT = timedelta(seconds=30)
#: Tries and strikes that a message can have.
_MOST_TIMES = MOST_STRIKES = 1_000

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


@dataclass(frozen=True)
class Envelope:
    """What one message asks for, parsed once.

    Attributes:
        task: `TASK_NAME` or `EMBED_TASK_NAME`.
        id: of the task.
        request: any plain JSON value.
        retries: how often it was tried.
        strikes: 3 for each worker that died with it, 1 for each that lived and did not come back
            from it in time.
        eta: when to begin, in Unix seconds, 30 s ahead at most; None: at once.
        sent_at: when it was sent first, in Unix seconds; None: unknown.
        size: what it counts among the bytes that were submitted; 0 where its host counted nothing.
    """

    task: str
    id: str
    request: Any = field(repr=False)
    retries: int = 0
    strikes: int = 0
    eta: float | None = None
    sent_at: float | None = None
    size: int = 0


def largest_message(max_image_bytes: int) -> int:
    """Returns how long an envelope with the largest image can be, in bytes."""
    times, over = _BASE64_TWICE
    return max_image_bytes * times // over + _BESIDE_IMAGE_BYTES


def read_envelope(raw: bytes, *, largest: int) -> Envelope:
    """Returns the envelope in `raw`, with what a request needs and nothing else.

    Args:
        raw: as it lay in Redis.
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
        return _known_envelope(message, headers)
    except UnreadableMessage as error:
        raise UnreadableMessage(error.why, task_id) from error


def _known_envelope(message: dict[str, Any], headers: dict[str, Any]) -> Envelope:
    """Returns what a request needs of the headers: Celery would act on dozens of others."""
    if "task" not in headers:
        _refuse_envelope("it names no task")
    if headers["task"] not in _TASKS:
        _refuse_envelope("its task is unknown")
    if (task_id := _envelope_id(headers)) is None:
        _refuse_envelope("it has no id")
    properties = _envelope_object(message.get("properties"), "it has no properties")
    sent_at = headers.get(SENT_AT)
    if not isinstance(sent_at, int | float) or abs(sent_at) >= _LATEST:
        sent_at = None
    return Envelope(
        task=headers["task"],
        id=task_id,
        request=_envelope_request(message, headers, properties),
        retries=_envelope_count(headers.get("retries"), "retries"),
        strikes=_envelope_count(headers.get(STRIKES), "strikes"),
        eta=_envelope_eta(headers.get("eta")),
        sent_at=sent_at,
        size=len(message["body"]) if properties.get(COUNTED) is True else 0,
    )


def _envelope_count(value: Any, what: str) -> int:
    count = value or 0
    if not isinstance(count, int) or not 0 <= count <= _MOST_TIMES:
        _refuse_envelope(f"its number of {what} is impossible")
    return int(count)


def _envelope_eta(text: Any) -> float | None:
    """Returns when to begin, in Unix seconds; None for at once."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
        given = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        _refuse_envelope("its time to begin cannot be read")
    now = datetime.now(UTC)
    return min(given, now + _LONGEST_WAIT).timestamp() if given > now else None


def _envelope_request(
    message: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any]
) -> Any:
    """Returns the task's one argument; the third part, which says what follows, must be empty."""
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
    return kwargs["request"]


def _envelope_json(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_envelope, parse_float=_finite_float)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8 and endless numbers
        _refuse_envelope("it is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # it could not be written again
        raise ValueError("a number that is too large")
    return number


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
