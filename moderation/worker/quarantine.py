"""Into quarantine and out of it: why a request goes there, poison, and the release of a request."""

from __future__ import annotations

import logging

import redis
from celery import Celery

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.quarantine import QuarantinedRequest
from moderation.decision_log.records import Reason
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
from moderation.queue.celery_app import broker_errors
from moderation.queue.recovery import send_accepted_again
from moderation.queue.registry import Registry
from moderation.settings import Settings

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


def release_quarantined(
    entry: QuarantinedRequest,
    decisions: DecisionLog,
    registry: Registry,
    app: Celery,
    settings: Settings,
) -> None:
    """Sends a request in quarantine again under its id, and opens its place in the log.

    In this order a stop in between loses nothing: what is accepted again is answered from the log
    until its place there is open.

    Raises:
        RequestError: it is not in quarantine any more, or Redis does not hold it any more.
        QueueFull: too many requests wait. BrokerUnavailable: Redis does not answer, or is full; the
        request stays in quarantine then.
    """
    if entry.state != "open":
        raise RequestError(f"it was {entry.state} already", entry.id, "Look at `quarantine list`")
    accepted = registry.quarantined(entry.request_id)
    if accepted is None:
        raise RequestError(
            "its request is not kept in Redis any more",
            entry.id,
            "Submit it again; MODERATION_QUARANTINE_BYTES says how much is kept",
        )
    with broker_errors(settings):
        registry.accept(
            entry.request_id,
            accepted,
            most_waiting=settings.max_queue_length,
            most_bytes=settings.max_queue_bytes,
        )
        # Otherwise a host that looks again gets the old error.
        app.backend.delete(app.backend.get_key_for_task(entry.request_id))
    decisions.release(entry.id)
    try:
        # Before it is sent: it may be quarantined again at once, and must then be kept.
        registry.forget(entry.request_id)
        send_accepted_again(registry, entry.request_id, accepted)
    except redis.RedisError as error:  # it is accepted, so it is answered all the same
        log.warning(
            "a worker sends it within %s s, since Redis does not take it now: %s",
            settings.visibility_timeout_seconds,
            error,
            extra={"request_id": entry.request_id},
        )
