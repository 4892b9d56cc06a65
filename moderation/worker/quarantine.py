"""Why a request goes into quarantine, and the error that its host gets."""

from __future__ import annotations

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
