"""A message from a queue, whatever it holds -> what the decision log says of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from moderation.decision_log.records import Submission
from moderation.errors import RequestError
from moderation.messages import REQUEST_ID, ModerationRequest, parse_request
from moderation.messages.reference import shown


def submission_of(message: Any, task_id: str, queue: str, sent_at: float | None) -> Submission:
    """Returns what the log keeps of a request; of one that cannot be read, that it was there.

    Args:
        message: a plain JSON value.
        task_id: names the request where it has no id of its own.
        queue: interactive or bulk.
        sent_at: in Unix seconds.
    """
    request_id = request_id_of(message, task_id)
    digest = request_sha256(message)
    try:
        request = request_of(message, request_id)
    except RequestError:
        return Submission(request_id, digest, "", "", (), queue, sent_at)
    image = request.image
    return Submission(
        request_id, digest, image.kind, shown(image), request.policies, queue, sent_at
    )


def request_of(message: Any, request_id: str) -> ModerationRequest:
    """Returns the request in a message, with its id.

    Raises:
        RequestError: it is not a request of a version that this package reads.
    """
    named = {**message, "request_id": request_id} if isinstance(message, dict) else message
    return parse_request(named)


def request_id_of(message: Any, task_id: str) -> str:
    """Returns a request's id; a host may leave it to Celery, which names the task by it.

    An id that no table could hold is replaced by its hash, so that there is one all the same.
    """
    given = message.get("request_id") if isinstance(message, dict) else None
    name = given if isinstance(given, str) else task_id
    if REQUEST_ID.fullmatch(name):
        return name
    return "odd-" + hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()


def request_sha256(message: Any) -> str:
    """Returns a hash of what is asked for, whatever the request is called."""
    if isinstance(message, dict):
        message = {
            name: value
            for name, value in message.items()
            if name not in ("request_id", "schema_version")
        }
    return hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()
