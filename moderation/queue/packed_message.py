"""A request -> the message that lies on a queue, as Celery and kombu would write it.

It is written here, since a host counts a request and puts it on its queue in one step of Redis,
which Celery cannot. `envelope` reads it.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

from moderation.messages import QUEUES, QueueName
from moderation.queue.envelope import COUNTED, SENT_AT, STRIKES, Envelope

#: How each message begins; its body is base64, so the next quotation mark ends it.
_BEGINNING = '{"body": "'


def pack_message(
    task_name: str,
    request_id: str,
    request: Any,
    queue: str,
    sent_at: float | None = None,
    *,
    retries: int = 0,
    strikes: int = 0,
    counted: bool = False,
) -> str:
    """Returns the packed message that asks for a task.

    Args:
        task_name: what is asked for.
        request_id: names the task, and so the result.
        request: the request as plain JSON.
        queue: Celery's name of the queue.
        sent_at: when it was sent first, in Unix seconds; None is now.
        retries: how often it was tried.
        strikes: of workers that did not come back from it.
        counted: whether its body counts among the bytes that were submitted.
    """
    headers = _packed_headers(task_name, request_id, retries)
    headers[SENT_AT] = round(time.time() if sent_at is None else sent_at, 3)
    return _packed_with(headers, request, queue, strikes=strikes, counted=counted)


def pack_again(
    envelope: Envelope, queue: QueueName, *, retries: int | None = None, strikes: int | None = None
) -> str:
    """Returns a packed message for what came in another, to begin at once.

    Args:
        envelope: what came. Its body stays as it was, and so what it counts.
        queue: where it goes.
        retries: how often it was tried; None: as often as the envelope says.
        strikes: of workers that did not come back from it; None: what the envelope says.
    """
    retries = envelope.retries if retries is None else retries
    headers = _packed_headers(envelope.task, envelope.id, retries)
    if envelope.sent_at is not None:  # an age that is unknown stays so
        headers[SENT_AT] = envelope.sent_at
    return _packed_with(
        headers,
        envelope.request,
        QUEUES[queue],
        strikes=envelope.strikes if strikes is None else strikes,
        counted=envelope.size > 0,
    )


def _packed_headers(task_name: str, request_id: str, retries: int) -> dict[str, Any]:
    return {
        "lang": "py",
        "task": task_name,
        "id": request_id,
        "root_id": request_id,
        "retries": retries,
        "eta": None,
    }


def _packed_with(
    headers: dict[str, Any], request: Any, queue: str, *, strikes: int, counted: bool
) -> str:
    """Returns the message; its body comes first, so that the end of it holds all the rest."""
    if strikes:
        headers[STRIKES] = strikes
    name = headers["id"]
    properties: dict[str, Any] = {
        "correlation_id": name,
        "delivery_mode": 2,
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
    }
    if counted:
        properties[COUNTED] = True
    message = {
        "body": base64.b64encode(json.dumps([[], {"request": request}, {}]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(message)


#: How much of a message stands behind its body, at most.
_END_BYTES = 2_000


def packed_size(message: str) -> int:
    """Returns what a packed message counts: the length of its body, as its envelope has it."""
    return message.index('"', len(_BEGINNING)) - len(_BEGINNING)


def counted_size(raw: bytes) -> int:
    """Returns what a packed message counts of which no more is known; 0 if it is none of ours."""
    end = raw[-_END_BYTES:]
    begins, counted = _BEGINNING.encode(), json.dumps(COUNTED).encode() + b": true"
    if not raw.startswith(begins) or counted not in end:
        return 0
    return max(0, raw.find(b'"', len(begins)) - len(begins))
