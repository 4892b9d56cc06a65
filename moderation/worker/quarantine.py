"""Into quarantine: why a request goes there, and messages that no worker may act on."""

from __future__ import annotations

import logging

from celery import Celery

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Quarantined, Reason, Submission
from moderation.errors import (
    DecodingFailed,
    EncoderFailed,
    ImageError,
    ModelError,
    ModerationError,
    RequestError,
    TransientError,
    WorkerError,
)
from moderation.messages import QUEUES
from moderation.queue.guarded_transport import Poison
from moderation.queue.registry import Registry

log = logging.getLogger(__name__)

#: In this order: the first that fits is the reason.
_REASONS: tuple[tuple[type[ModerationError], Reason], ...] = (
    (DecodingFailed, "decoder"),
    (ImageError, "image"),
    (RequestError, "request"),
    (ModelError, "model"),
    (EncoderFailed, "model"),
    (TransientError, "unavailable"),
)


def quarantine_reason(error: ModerationError) -> Reason:
    """Returns the reason for which a worker quarantines a request with that error."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "fault"


def fault_of_worker(error: Exception) -> WorkerError:
    """Returns the error that a request has in quarantine after the program failed on it.

    It leaves out the text of the failure, which may hold anything: the decision log keeps this.
    """
    return WorkerError(
        f"the worker failed with {type(error).__name__}", "worker", "See the worker's log"
    )


def deaths_of_workers(deaths: int) -> WorkerError:
    """Returns the error that a request has in quarantine after so many workers died of it."""
    return WorkerError(
        f"{deaths} workers died with this request in hand, or did not come back from it",
        "worker",
        "See what ended them, then use `moderation quarantine retry`",
    )


def quarantine_poison(
    decisions: DecisionLog, registry: Registry, app: Celery, poison: Poison
) -> None:
    """Quarantines a message that no worker may act on, and tells its host where it names a task.

    Raises:
        LogUnavailable: the decision log is away; the message is not taken off the queue then.
    """
    error = RequestError(poison.why, "message", "docs/messages.md shows the message")
    name = poison.task_id or f"message-{poison.sha256}"
    queue = next((queue for queue, key in QUEUES.items() if key == poison.queue), poison.queue)
    submission = Submission(name, poison.sha256, "", "", (), queue, None)
    try:
        answer = decisions.quarantine(submission, "message", error)
    except RequestError:  # the id belongs to another request, which has its answer
        log.warning("a message that cannot be read has a known id", extra={"request_id": name})
        registry.settle(name)
        return
    registry.settle(name)
    if poison.task_id is not None and isinstance(answer, Quarantined):
        app.backend.mark_as_failure(poison.task_id, error)
