"""The table `outbox`: the webhooks of an answer go in; they are claimed, ended, listed and retried.

Every function is safe with several workers on SQLite and PostgreSQL, and raises LogUnavailable or
LogError if the database fails.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from moderation.decision_log.database import Database
from moderation.decision_log.records import Answer, Decided, Values
from moderation.decision_log.tables import outbox
from moderation.messages import ModerationResponse

State = Literal["pending", "delivered", "failed"]

_c = outbox.c
_PENDING = and_(_c.delivered_at.is_(None), _c.failed_at.is_(None))
_STATES: dict[State, ColumnElement[bool]] = {
    "pending": _PENDING,
    "delivered": _c.delivered_at.is_not(None),
    "failed": and_(_c.delivered_at.is_(None), _c.failed_at.is_not(None)),
}


@dataclass(frozen=True)
class Callback:
    """A row of the outbox."""

    id: str
    request_id: str
    endpoint: str
    payload: str = field(repr=False)
    created_at: datetime
    attempts: int
    next_attempt_at: datetime
    claimed_until: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    last_error: str | None

    @property
    def state(self) -> State:
        """Whether this row of the outbox is still to be sent, arrived, or was given up."""
        if self.delivered_at:
            return "delivered"
        return "failed" if self.failed_at else "pending"


def outbox_rows(answer: Answer, endpoints: Iterable[str], now: datetime) -> list[Values]:
    """Returns the rows of the webhooks of an answer: one for each endpoint, all due now."""
    different = dict.fromkeys(endpoints)
    payload = _outbox_payload(answer, now) if different else ""
    return [
        {
            "id": f"msg_{uuid.uuid4().hex}",
            "request_id": answer.request_id,
            "endpoint": endpoint,
            "payload": payload,
            "created_at": now,
            "attempts": 0,
            "next_attempt_at": now,
        }
        for endpoint in different
    ]


def _outbox_payload(answer: Answer, now: datetime) -> str:
    """Returns the JSON that is signed and sent; docs/callbacks.md shows it."""
    if isinstance(answer, Decided):
        kind = "moderation.decided"
        response = ModerationResponse(request_id=answer.request_id, verdicts=answer.verdicts)
        data = response.model_dump_json()
    else:
        kind, error = "moderation.quarantined", answer.error
        refused = {
            "request_id": answer.request_id,
            "reason": answer.reason,
            "error": {
                "type": type(error).__name__,
                "what": error.what,
                "where": error.where,
                "remedy": error.remedy,
            },
        }
        data = json.dumps(refused, separators=(",", ":"))
    timestamp = now.isoformat().replace("+00:00", "Z")
    return f'{{"type":"{kind}","timestamp":"{timestamp}","data":{data}}}'


def claim(
    database: Database, urls: Collection[str], limit: int, *, now: datetime, until: datetime
) -> Iterator[Callback]:
    """Yields due rows of the outbox, the longest due first; nobody else gets them until `until`.

    A row that another worker takes first is left out. Each row is claimed in its own transaction:
    two workers that take several at once, in different orders, could wait for each other for ever.
    """
    due = and_(
        _PENDING,
        _c.next_attempt_at <= now,
        or_(_c.claimed_until.is_(None), _c.claimed_until < now),
        _c.endpoint.in_(urls),
    )
    # Only reads: most searches find nothing, and must lock nobody out.
    with database.reading() as connection:
        found = select(_c.id).where(due).order_by(_c.next_attempt_at, _c.id).limit(limit)
        ids = connection.scalars(found).all()
    for callback_id in ids:
        taken = update(outbox).where(_c.id == callback_id, due).values(claimed_until=until)
        for row in _updated_outbox_rows(database, taken.returning(*_c)):
            yield Callback(**row._mapping)


def mark_delivered(database: Database, callback: Callback, *, now: datetime) -> None:
    """Notes in the outbox that a webhook arrived, which holds even if the claim has expired."""
    values = {"delivered_at": now, "failed_at": None, "last_error": None}
    counted = {"attempts": callback.attempts + 1, "claimed_until": None}
    here = and_(_c.id == callback.id, _c.delivered_at.is_(None))
    _updated_outbox_rows(
        database, update(outbox).where(here).values(**values, **counted).returning(_c.id)
    )


def postpone(database: Database, callback: Callback, *, until: datetime, error: str) -> None:
    """Notes in the outbox that a try failed and when the next is due, if we still hold it."""
    _end_outbox_claim(database, callback, next_attempt_at=until, last_error=error)


def give_up(database: Database, callback: Callback, *, now: datetime, error: str) -> None:
    """Notes in the outbox that the last try failed, if the claim is still ours."""
    _end_outbox_claim(database, callback, failed_at=now, last_error=error)


def release(database: Database, callback: Callback) -> None:
    """Gives a row of the outbox back without counting a try."""
    _end_outbox_claim(database, callback, attempts=callback.attempts)


def _end_outbox_claim(database: Database, callback: Callback, **values: Any) -> None:
    # The end of a claim identifies it: a worker that took the row over has another.
    ours = and_(_c.id == callback.id, _PENDING, _c.claimed_until == callback.claimed_until)
    written = {"attempts": callback.attempts + 1, "claimed_until": None, **values}
    _updated_outbox_rows(database, update(outbox).where(ours).values(**written).returning(_c.id))


def list_callbacks(database: Database, state: State | None, limit: int) -> list[Callback]:
    """Returns the newest rows of the outbox, only those of a state if one is given."""
    found = select(outbox).order_by(_c.created_at.desc(), _c.id).limit(limit)
    if state is not None:
        found = found.where(_STATES[state])
    with database.reading() as connection:
        return [Callback(**row._mapping) for row in connection.execute(found)]


def find(database: Database, callback_id: str) -> Callback | None:
    """Returns the row of the outbox with that id, if there is one."""
    with database.reading() as connection:
        row = connection.execute(select(outbox).where(_c.id == callback_id)).first()
    return Callback(**row._mapping) if row else None


def retry(database: Database, ids: Sequence[str], *, now: datetime) -> list[str]:
    """Makes rows of the outbox due now, all tries ahead of them; returns the ids of those changed.

    Delivered rows stay as they are.
    """
    return _make_outbox_due(database, and_(_c.id.in_(ids), _c.delivered_at.is_(None)), now)


def retry_all_failed(database: Database, *, now: datetime) -> list[str]:
    """Makes all rows of the outbox that were given up due now; returns their ids."""
    return _make_outbox_due(database, _STATES["failed"], now)


def _make_outbox_due(database: Database, which: ColumnElement[bool], now: datetime) -> list[str]:
    due = update(outbox).where(which).values(failed_at=None, next_attempt_at=now, attempts=0)
    return sorted(row.id for row in _updated_outbox_rows(database, due.returning(_c.id)))


def _updated_outbox_rows(database: Database, statement: ReturningUpdate[Any]) -> Sequence[Row[Any]]:
    """Runs an update in its own transaction; returns the rows that it changed."""
    return database.write(lambda connection: connection.execute(statement).all())
