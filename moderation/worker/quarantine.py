"""Into quarantine and out of it: why a request goes there, poison, and the release of a request."""

from __future__ import annotations

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
from moderation.queue.kept_requests import KeptRequests
from moderation.settings import Settings

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


def fault_of_worker(error: BaseException) -> WorkerError:
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
    kept: KeptRequests,
    app: Celery,
    settings: Settings,
) -> None:
    """Sends a request in quarantine again under its id, and opens its place in the log.

    Raises:
        RequestError: it is not in quarantine any more, or Redis does not hold it any more.
        QueueFull: too many requests wait. BrokerUnavailable: Redis does not answer, or is full; the
        request stays in quarantine then.
    """
    if entry.state != "open":
        raise RequestError(f"it was {entry.state} already", entry.id, "Look at `quarantine list`")
    with broker_errors(settings):
        request = kept.kept(entry.request_id)
    if request is None:
        raise RequestError(
            "its request is not kept in Redis any more",
            entry.id,
            "Submit it again; MODERATION_QUARANTINE_BYTES says how much is kept",
        )

    def release() -> None:
        # Otherwise a host that looks again gets the old error.
        app.backend.delete(app.backend.get_key_for_task(entry.request_id))
        decisions.release(entry.id)

    with broker_errors(settings):
        kept.send_again(entry.request_id, request, settings, release=release)
