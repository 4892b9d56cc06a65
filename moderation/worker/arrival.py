"""A message from a queue, whatever it holds -> the one record that a worker answers it from."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from celery import Task

from moderation.decision_log.records import Submission
from moderation.errors import RequestError
from moderation.messages import QUEUES, REQUEST_ID, ModerationRequest, QueueName
from moderation.messages.reference import shown_reference
from moderation.queue.packed_message import SENT_AT

_QUEUE_OF: dict[str, QueueName] = {name: queue for queue, name in QUEUES.items()}


class Arrival(NamedTuple):
    """How a request came: its task's id, the queue, how often it was tried, when it was sent."""

    task_id: str
    queue: QueueName
    retries: int = 0
    sent_at: float | None = None


@dataclass(frozen=True)
class ArrivedRequest:
    """A request as a worker has it in hand, parsed once.

    Attributes:
        arrival: how it came.
        submission: the request as the decision log keeps it.
        parsed: what it asks for, or why it cannot be read.
        message: what came, a plain JSON value; quarantine keeps it, to be sent again.
    """

    arrival: Arrival
    submission: Submission
    parsed: ModerationRequest | RequestError = field(repr=False)
    message: Any = field(repr=False)


def arrival_of_task(task: Task) -> Arrival:
    """Returns how the request of a task came."""
    info = task.request.delivery_info or {}
    sent_at = task.request.get(SENT_AT)
    known = isinstance(sent_at, int | float) and math.isfinite(sent_at)
    return Arrival(
        task_id=str(task.request.id),
        queue=_QUEUE_OF.get(str(info.get("routing_key")), "interactive"),
        retries=task.request.retries,
        sent_at=float(sent_at) if known else None,
    )


def read_arrived_request(message: Any, arrival: Arrival) -> ArrivedRequest:
    """Returns the request in a message, a plain JSON value; also of one that cannot be read."""
    request_id = _arrived_request_id(message, arrival.task_id)
    named = {**message, "request_id": request_id} if isinstance(message, dict) else message
    parsed: ModerationRequest | RequestError
    asked: tuple[str, str, tuple[str, ...]] = ("", "", ())
    try:
        parsed = ModerationRequest.read(named)
        asked = (parsed.image.kind, shown_reference(parsed.image), parsed.policies)
    except RequestError as error:
        parsed = error
    submission = Submission(
        request_id, _arrived_sha256(message), *asked, queue=arrival.queue, sent_at=arrival.sent_at
    )
    return ArrivedRequest(arrival, submission, parsed, message)


def _arrived_request_id(message: Any, task_id: str) -> str:
    """Returns a request's id; a host may leave it to Celery, which names the task by it.

    An id that no table could hold is replaced by its hash, so that there is one all the same.
    """
    given = message.get("request_id") if isinstance(message, dict) else None
    name = given if isinstance(given, str) else task_id
    if REQUEST_ID.fullmatch(name):
        return name
    return "odd-" + hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()


def _arrived_sha256(message: Any) -> str:
    """Returns a hash of what is asked for, whatever the arrived request is called."""
    if isinstance(message, dict):
        message = {
            name: value
            for name, value in message.items()
            if name not in ("request_id", "schema_version")
        }
    return hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()
