"""A message from a queue, whatever it holds -> the one record that a worker answers it from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from moderation.decision_log.records import Submission
from moderation.errors import RequestError
from moderation.messages import (
    EMBED_TASK_NAME,
    REQUEST_ID,
    EmbeddingRequest,
    ModerationRequest,
    QueueName,
)
from moderation.messages.reference import shown_reference
from moderation.queue.envelope import Envelope, UnreadableMessage, read_envelope
from moderation.queue.hand import Taken
from moderation.queue.packed_message import counted_size


class Arrival(NamedTuple):
    """How a request came: its task's id, the queue, how often it was tried, when it was sent.

    The id is empty where a message cannot be read so far; then nobody can be told.
    """

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
        wants_features: whether it asks for features instead of verdicts; such a request is not
            logged, and its host gets every error.
        envelope: it came in; None if that cannot be read.
        unread_bytes: what a message that cannot be read counts in the limit on what waits.
    """

    arrival: Arrival
    submission: Submission
    parsed: ModerationRequest | EmbeddingRequest | RequestError = field(repr=False)
    message: Any = field(repr=False)
    wants_features: bool = False
    envelope: Envelope | None = field(default=None, repr=False)
    unread_bytes: int = 0

    @property
    def begins_at(self) -> float:
        """When the arrived request may be begun, in Unix seconds; 0 is at once."""
        return (self.envelope and self.envelope.eta) or 0.0

    @property
    def counted_bytes(self) -> int:
        """What the arrived request counts in the limit on what waits."""
        return self.envelope.size if self.envelope else self.unread_bytes

    @property
    def strikes(self) -> int:
        """How often workers did not finish the request before it arrived here."""
        return self.envelope.strikes if self.envelope else 0


def read_arrived(taken: Taken, *, largest: int) -> ArrivedRequest:
    """Returns the request in a message that arrived; also in one that no worker may act on.

    Args:
        taken: the message.
        largest: how many bytes it may have.
    """
    try:
        envelope = read_envelope(taken.raw, largest=largest)
    except UnreadableMessage as error:
        return unreadable_arrival(taken, error)
    arrival = Arrival(envelope.id, taken.queue, envelope.retries, envelope.sent_at)
    if envelope.task == EMBED_TASK_NAME:
        found = _read_embedding_request(envelope.request, arrival)
    else:
        found = read_arrived_request(envelope.request, arrival)
    return replace(found, envelope=envelope)


def unreadable_arrival(taken: Taken, error: UnreadableMessage) -> ArrivedRequest:
    """Returns what stands for a message that cannot be read: none of its bytes, but their hash."""
    sha256 = hashlib.sha256(taken.raw).hexdigest()
    name, queue = error.task_id or f"message-{sha256}", taken.queue
    return ArrivedRequest(
        arrival=Arrival(error.task_id or "", queue),
        submission=Submission(name, sha256, "", "", (), queue, None),
        parsed=RequestError(error.why, "message", "docs/messages.md shows the message"),
        message=None,
        unread_bytes=counted_size(taken.raw),
    )


def _read_embedding_request(message: Any, arrival: Arrival) -> ArrivedRequest:
    """Returns the request for features that arrived."""
    parsed: EmbeddingRequest | RequestError
    if isinstance(message, dict):  # a host may leave the id to Celery, which names the task
        message = {"request_id": arrival.task_id, **message}
    try:
        parsed = EmbeddingRequest.read(message)
    except RequestError as error:
        parsed = error
    submission = Submission(arrival.task_id, "", "", "", (), arrival.queue, arrival.sent_at)
    return ArrivedRequest(arrival, submission, parsed, message, wants_features=True)


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
