"""The quarantined requests in the decision log, for the people who look after them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row, Select, select

from moderation.decision_log.records import Reason
from moderation.decision_log.tables import quarantine, submissions

#: The condition of rows that were neither released nor dropped.
OPEN = (quarantine.c.released_at.is_(None), quarantine.c.dropped_at.is_(None))


class QuarantinedRequest(NamedTuple):
    """A row of the table `quarantine`: why a request got no verdict, and what became of it.

    Attributes:
        id: of its place in quarantine.
        request_id: the host's.
        quarantined_at: when.
        reason: why, in one word.
        error_type: the error that the host got.
        error: what is wrong, where, and what to do.
        deliveries: how often a worker died with it in hand.
        retries: how often it was tried again before.
        policies: that were asked for; empty if it could not be read, or was released.
        reference: where its image is, without secrets; "" for bytes.
        released_at: when it was sent again.
        dropped_at: when somebody gave it up.
    """

    id: str
    request_id: str
    quarantined_at: datetime
    reason: Reason
    error_type: str
    error: tuple[str, ...]
    deliveries: int
    retries: int
    policies: tuple[str, ...]
    reference: str
    released_at: datetime | None
    dropped_at: datetime | None

    @property
    def state(self) -> str:
        """What became of it: open, released or dropped."""
        if self.dropped_at is not None:
            return "dropped"
        return "open" if self.released_at is None else "released"


def list_quarantined(
    engine: Engine, *, reason: str | None = None, every: bool = False, limit: int | None = None
) -> list[QuarantinedRequest]:
    """Returns quarantined requests, newest first.

    Args:
        engine: of the log.
        reason: only those with this one.
        every: also those that were released or dropped.
        limit: how many, at most.
    """
    asked = _select_quarantined().order_by(quarantine.c.quarantined_at.desc()).limit(limit)
    if reason is not None:
        asked = asked.where(quarantine.c.reason == reason)
    if not every:
        asked = asked.where(*OPEN)
    with engine.connect() as connection:
        return [_quarantined_request(row) for row in connection.execute(asked)]


def find_quarantined(engine: Engine, name: str) -> QuarantinedRequest | None:
    """Returns what has that id in quarantine, or the last that the request with that id left."""
    asked = (
        _select_quarantined()
        .where((quarantine.c.id == name) | (quarantine.c.request_id == name))
        .order_by(quarantine.c.quarantined_at.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(asked).first()
    return _quarantined_request(row) if row else None


def _select_quarantined() -> Select[Any]:
    """Returns the query for rows of quarantine, with what is known of their requests."""
    return select(quarantine, submissions.c.policies, submissions.c.reference).join_from(
        quarantine, submissions, quarantine.c.request_id == submissions.c.request_id, isouter=True
    )


def _quarantined_request(row: Row[Any]) -> QuarantinedRequest:
    known: dict[str, Any] = {name: getattr(row, name, None) for name in QuarantinedRequest._fields}
    known["error"] = tuple(map(str, row.error_args))
    known["policies"] = tuple(row.policies or ())
    known["reference"] = row.reference or ""
    return QuarantinedRequest(**known)
