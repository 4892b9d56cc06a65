"""Reading final answers and decisions, inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select, tuple_

from moderation.decision_log.records import Answer, Decided
from moderation.decision_log.rows import key_of, quarantined_of, verdict_of
from moderation.decision_log.tables import decisions, quarantine, submission_decisions, submissions
from moderation.errors import RequestError
from moderation.messages import Verdict
from moderation.scoring.verdict import DecisionKey

_KEY = tuple_(
    decisions.c.policy_sha256,
    decisions.c.model_fingerprint,
    decisions.c.preprocessing,
    decisions.c.frames,
)


def find_outcome(
    connection: Connection, request_id: str, request_sha256: str, where: str
) -> Answer | None:
    """Returns the final answer to a request, if it has one.

    Raises:
        RequestError: the id is that of another request.
    """
    known = select(submissions.c.request_sha256, submissions.c.outcome).where(
        submissions.c.request_id == request_id
    )
    row = connection.execute(known).first()
    if row is None:
        return None
    if row.request_sha256 != request_sha256:
        remedy = "Give each request an id of its own"
        raise RequestError("this request id was used before, for another request", where, remedy)
    if row.outcome == "decided":
        return Decided(request_id, _verdicts(connection, request_id))
    return _quarantined(connection, request_id)


def find_verdicts(
    connection: Connection, image_sha256: str, keys: Iterable[DecisionKey]
) -> dict[DecisionKey, Verdict]:
    """Returns the decisions there are on an image, by what else they hang on."""
    found = select(decisions).where(decisions.c.image_sha256 == image_sha256, _KEY.in_(list(keys)))
    return {key_of(row): verdict_of(row) for row in connection.execute(found)}


def _verdicts(connection: Connection, request_id: str) -> tuple[Verdict, ...]:
    links = submission_decisions
    linked = (
        select(decisions, links.c.timings.label("own_timings"))
        .join(links, links.c.decision_id == decisions.c.id)
        .where(links.c.request_id == request_id)
        .order_by(links.c.position)
    )
    return tuple(
        verdict_of(row, request_id=request_id, timings=row.own_timings)
        for row in connection.execute(linked)
    )


def _quarantined(connection: Connection, request_id: str) -> Answer | None:
    last = (
        select(quarantine)
        .where(quarantine.c.request_id == request_id, quarantine.c.released_at.is_(None))
        .order_by(quarantine.c.quarantined_at.desc())
        .limit(1)
    )
    row = connection.execute(last).first()
    return quarantined_of(row) if row else None
