"""Errors -> why a request is set aside, and whether it is worth another try."""

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


def reason_of(error: ModerationError) -> Reason:
    """Returns under which reason a request with that error is set aside."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "fault"


def may_pass(error: Exception) -> bool:
    """Whether the next try may go better: the world outside failed, or the program did."""
    return isinstance(error, TransientError) or not isinstance(error, ModerationError)


def fault(error: Exception) -> WorkerError:
    """Returns what the host is told of a request that the program failed on.

    Not the error's own text: it may hold anything, and this goes into the decision log too.
    """
    return WorkerError(
        f"the worker failed with {type(error).__name__}", "worker", "See the worker's log"
    )


def deadly(deaths: int) -> WorkerError:
    """Returns what the host is told of a request that so many workers died of."""
    return WorkerError(
        f"{deaths} workers died with this request in hand, or did not come back from it",
        "worker",
        "See what ended them, then use `moderation quarantine retry`",
    )
