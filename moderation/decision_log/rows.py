"""Records <-> rows of the tables."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Row

from moderation import errors
from moderation.decision_log.records import Quarantined, Reason, Submission
from moderation.errors import ModerationError, WorkerError
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis, DecisionKey

Values = dict[str, Any]


def policy_values(basis: Basis, now: datetime) -> Values:
    """Returns the row of a policy."""
    policy = basis.policy
    return {
        "sha256": policy.sha256,
        "policy_id": policy.id,
        "version": policy.version,
        "content": policy.model_dump(mode="json"),
        "first_used_at": now,
    }


def decision_values(basis: Basis, verdict: Verdict, request_id: str, now: datetime) -> Values:
    """Returns the row of a decision, with an id of its own."""
    decision_id = str(uuid.uuid4())
    own = verdict.model_copy(update={"request_id": request_id, "decision_id": decision_id})
    model = basis.model
    return {
        "id": decision_id,
        "request_id": request_id,
        "decided_at": now,
        "image_sha256": verdict.image_sha256,
        "policy_sha256": basis.policy.sha256,
        "policy_id": basis.policy.id,
        "policy_version": basis.policy.version,
        "model_id": model.id,
        "model_revision": model.revision,
        "model_fingerprint": model.fingerprint,
        "preprocessing": model.preprocessing,
        "frames": basis.frames,
        "dtype": model.dtype,
        "device": model.device,
        "runtime": model.runtime,
        "logit_scale": basis.logit_scale,
        "logit_bias": basis.logit_bias,
        "action": verdict.action,
        "flagged": verdict.flagged,
        "frame": verdict.frame,
        "verdict": own.model_dump(mode="json"),
    }


def submission_values(submission: Submission, outcome: str, now: datetime) -> Values:
    """Returns the row of a request that has its final answer."""
    return {
        "request_id": submission.request_id,
        "request_sha256": submission.request_sha256,
        "reference_kind": submission.reference_kind,
        "reference": submission.reference,
        "policies": list(submission.policies),
        "queue": submission.queue,
        "sent_at": _moment(submission.sent_at),
        "finished_at": now,
        "outcome": outcome,
    }


def quarantine_values(
    quarantined: Quarantined, now: datetime, *, deliveries: int, retries: int
) -> Values:
    """Returns the row of a request that got no verdict."""
    return {
        "id": quarantined.quarantine_id,
        "request_id": quarantined.request_id,
        "quarantined_at": now,
        "reason": quarantined.reason,
        "error_type": type(quarantined.error).__name__,
        "error_args": list(quarantined.error.args),
        "deliveries": deliveries,
        "retries": retries,
    }


def key_of(row: Row[Any]) -> DecisionKey:
    """Returns what a row of `decisions` hangs on beside the image."""
    return DecisionKey(row.policy_sha256, row.model_fingerprint, row.preprocessing, row.frames)


def verdict_of(row: Row[Any], **changes: Any) -> Verdict:
    """Returns the verdict of a row of `decisions`, with some fields changed."""
    verdict = Verdict.model_validate(row.verdict)
    return verdict.model_copy(update={"decision_id": row.id, **changes})


def quarantined_of(row: Row[Any]) -> Quarantined:
    """Returns the final answer of a row of `quarantine`."""
    error = _error_of(row.error_type, row.error_args)
    return Quarantined(row.request_id, row.id, cast(Reason, row.reason), error)


def _error_of(name: str, arguments: list[Any]) -> ModerationError:
    """Returns an error as it was raised; of a class that there is no more, what it said."""
    kind = getattr(errors, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, ModerationError):
            return kind(*arguments)
    except (TypeError, ValueError):  # arguments of another version
        pass
    return WorkerError(*[str(argument) for argument in arguments[:3]] or [name])


def _moment(seconds: float | None) -> datetime | None:
    """Returns a time in UTC; None where there is none, or it is no time of any calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
