"""The frozen records that go into the decision log and come out of it, and their rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from moderation import errors
from moderation.errors import ModerationError, WorkerError
from moderation.messages import Verdict

if TYPE_CHECKING:  # a host's commands list the reasons, and have no database's library
    from sqlalchemy import Row

    from moderation.scoring.verdict import Basis

Values = dict[str, Any]

#: Why a request was quarantined and got no verdict.
#:
#: request      it can never succeed: an unknown policy, a reference that is not allowed
#: message      it is too large, or not a request of a version that this worker reads
#: image        its file is refused: damaged, too large, or of a type that is not read
#: decoder      its file crashes the decoder, or takes too long in it
#: unavailable  its file could not be fetched in any of the tries
#: deliveries   workers died with it in hand more often than is allowed
#: model        the model failed on it
#: fault        the program failed on it in every try
Reason = Literal[
    "request", "message", "image", "decoder", "unavailable", "deliveries", "model", "fault"
]


@dataclass(frozen=True)
class Submission:
    """A request as the log keeps it.

    Attributes:
        request_id: the host's.
        request_sha256: of what it asks for; it shows when an id is used for a second request.
        reference_kind: path, url, key or bytes; "" if it could not be read.
        reference: where the image is, without user, password, query and fragment; "" for bytes.
        policies: ids.
        queue: interactive or bulk.
        sent_at: when the host sent it, in Unix seconds; None if it did not say.
    """

    request_id: str
    request_sha256: str
    reference_kind: str
    reference: str
    policies: tuple[str, ...]
    queue: str
    sent_at: float | None


@dataclass(frozen=True)
class Decided:
    """The final answer to a request: a verdict for each policy, in the order of the request."""

    request_id: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Quarantined:
    """The final answer to a request without a verdict: the reason, and the error for its host."""

    request_id: str
    quarantine_id: str
    reason: Reason
    error: ModerationError


Answer = Decided | Quarantined


@dataclass(frozen=True)
class Verdicts:
    """What became of a request that was decided.

    Attributes:
        submission: the request.
        bases: what each verdict rests on, in order.
        verdicts: in the order of the request's policies; all on one image.
    """

    submission: Submission
    bases: Sequence[Basis]
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class Refusal:
    """What became of a request that cannot be decided.

    Attributes:
        submission: the request.
        reason: why, in one word.
        error: what its host gets.
        deliveries: how often a worker died with it in hand.
        retries: how often it was tried again before.
    """

    submission: Submission
    reason: Reason
    error: ModerationError
    deliveries: int = 0
    retries: int = 0


Outcome = Verdicts | Refusal


class JsonText(str):
    """A value of a JSON column that is text already."""

    __slots__ = ()


def json_of_column(value: Any) -> str:
    """Returns a value of a JSON column as the database gets it."""
    return value if isinstance(value, JsonText) else json.dumps(value)


def policy_values(basis: Basis, now: datetime) -> Values:
    """Returns the row that records a policy."""
    policy = basis.policy
    return {
        "sha256": policy.sha256,
        "policy_id": policy.id,
        "version": policy.version,
        "content": policy.content,
        "first_used_at": now,
    }


def decision_values(basis: Basis, verdict: Verdict, now: datetime) -> Values:
    """Returns the row that records a decision; the verdict has its id and that of its request."""
    policy, model = basis.policy, basis.model
    return {
        "id": verdict.decision_id,
        "request_id": verdict.request_id,
        "decided_at": now,
        "image_sha256": verdict.image_sha256,
        "policy_sha256": policy.sha256,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "model_id": model.id,
        "model_revision": model.revision,
        "model_fingerprint": model.fingerprint,
        "preprocessing": model.preprocessing,
        "conditions": basis.conditions.text,
        "dtype": model.dtype,
        "device": model.device,
        "runtime": model.runtime,
        "logit_scale": basis.logit_scale,
        "logit_bias": basis.logit_bias,
        "action": verdict.action,
        "flagged": verdict.flagged,
        "frame": verdict.frame,
        # By the serializer of pydantic, which takes a sixth of the time of two steps.
        "verdict": JsonText(verdict.model_dump_json()),
    }


def submission_values(outcome: Outcome, now: datetime) -> Values:
    """Returns the row that records a request which has its final answer."""
    submission = outcome.submission
    return {
        "request_id": submission.request_id,
        "request_sha256": submission.request_sha256,
        "reference_kind": submission.reference_kind,
        "reference": submission.reference,
        "policies": list(submission.policies),
        "queue": submission.queue,
        "sent_at": _recorded_time(submission.sent_at),
        "finished_at": now,
        "outcome": "decided" if isinstance(outcome, Verdicts) else "quarantined",
    }


def quarantine_values(quarantine_id: str, refusal: Refusal, now: datetime) -> Values:
    """Returns the row that records a request without a verdict."""
    return {
        "id": quarantine_id,
        "request_id": refusal.submission.request_id,
        "quarantined_at": now,
        "reason": refusal.reason,
        "error_type": type(refusal.error).__name__,
        "error_args": list(refusal.error.args),
        "deliveries": refusal.deliveries,
        "retries": refusal.retries,
    }


def quarantined_of(row: Row[Any]) -> Quarantined:
    """Returns the final answer that a row of `quarantine` records."""
    error = _recorded_error(row.error_type, row.error_args)
    return Quarantined(row.request_id, row.id, cast(Reason, row.reason), error)


def _recorded_error(name: str, arguments: list[Any]) -> ModerationError:
    """Returns an error as it was raised; if its class is gone, a WorkerError with its text."""
    kind = getattr(errors, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, ModerationError):
            return kind(*arguments)
    except (TypeError, ValueError):  # the arguments are those of another version
        pass
    return WorkerError(*[str(argument) for argument in arguments[:3]] or [name])


def _recorded_time(seconds: float | None) -> datetime | None:
    """Returns a time in UTC; None without one, or if no calendar has it."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
