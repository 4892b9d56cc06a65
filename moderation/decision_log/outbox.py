"""The table `outbox` in SQL: claiming rows, writing what became of them, listing, trying again.

Every function is safe with several workers on SQLite and PostgreSQL, and raises LogUnavailable or
LogError where the database fails.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from moderation.decision_log.engine import Database
from moderation.decision_log.tables import outbox

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
        """Where it stands."""
        if self.delivered_at:
            return "delivered"
        return "failed" if self.failed_at else "pending"


def claim(
    database: Database, urls: Collection[str], limit: int, *, now: datetime, until: datetime
) -> Iterator[Callback]:
    """Yields due rows of these URLs, the longest due first, that nobody else gets until `until`.

    A row that another worker takes in between is left out. Each is a transaction of its own: two
    workers that take several at once, in another order, would wait for each other for ever.
    """
    due = and_(
        _PENDING,
        _c.next_attempt_at <= now,
        or_(_c.claimed_until.is_(None), _c.claimed_until < now),
        _c.endpoint.in_(urls),
    )
    # Looked for without a transaction that writes: most looks find nothing, and lock nobody out.
    with database.reading() as connection:
        found = select(_c.id).where(due).order_by(_c.next_attempt_at, _c.id).limit(limit)
        ids = connection.scalars(found).all()
    for callback_id in ids:
        taken = update(outbox).where(_c.id == callback_id, due).values(claimed_until=until)
        for row in _written(database, taken.returning(*_c)):
            yield Callback(**row._mapping)


def mark_delivered(database: Database, callback: Callback, *, now: datetime) -> None:
    """Writes that a callback arrived; also where the claim has passed, since it did arrive."""
    values = {"delivered_at": now, "failed_at": None, "last_error": None}
    counted = {"attempts": callback.attempts + 1, "claimed_until": None}
    here = and_(_c.id == callback.id, _c.delivered_at.is_(None))
    _written(database, update(outbox).where(here).values(**values, **counted).returning(_c.id))


def postpone(database: Database, callback: Callback, *, until: datetime, error: str) -> None:
    """Writes that a try failed and when there is another, where the claim is still ours."""
    _end_claim(database, callback, next_attempt_at=until, last_error=error)


def give_up(database: Database, callback: Callback, *, now: datetime, error: str) -> None:
    """Writes that the last try failed, where the claim is still ours."""
    _end_claim(database, callback, failed_at=now, last_error=error)


def release(database: Database, callback: Callback) -> None:
    """Gives a row back without counting a try."""
    _end_claim(database, callback, attempts=callback.attempts)


def _end_claim(database: Database, callback: Callback, **values: Any) -> None:
    # The claim's end is its sign: who took the row over since has another one.
    ours = and_(_c.id == callback.id, _PENDING, _c.claimed_until == callback.claimed_until)
    written = {"attempts": callback.attempts + 1, "claimed_until": None, **values}
    _written(database, update(outbox).where(ours).values(**written).returning(_c.id))


def list_callbacks(database: Database, state: State | None, limit: int) -> list[Callback]:
    """Returns the newest rows, of one state where one is given."""
    found = select(outbox).order_by(_c.created_at.desc(), _c.id).limit(limit)
    if state is not None:
        found = found.where(_STATES[state])
    with database.reading() as connection:
        return [Callback(**row._mapping) for row in connection.execute(found)]


def find(database: Database, callback_id: str) -> Callback | None:
    """Returns one row, if there is one of that id."""
    with database.reading() as connection:
        row = connection.execute(select(outbox).where(_c.id == callback_id)).first()
    return Callback(**row._mapping) if row else None


def retry(database: Database, ids: Sequence[str], *, now: datetime) -> list[str]:
    """Makes rows due now, with the whole schedule before them; returns the ids that were changed.

    Delivered rows are left as they are.
    """
    return _make_due(database, and_(_c.id.in_(ids), _c.delivered_at.is_(None)), now)


def retry_all_failed(database: Database, *, now: datetime) -> list[str]:
    """Makes all rows due now that were given up; returns their ids."""
    return _make_due(database, _STATES["failed"], now)


def _make_due(database: Database, which: ColumnElement[bool], now: datetime) -> list[str]:
    due = update(outbox).where(which).values(failed_at=None, next_attempt_at=now, attempts=0)
    return sorted(row.id for row in _written(database, due.returning(_c.id)))


def _written(database: Database, statement: ReturningUpdate[Any]) -> Sequence[Row[Any]]:
    """Runs an update in a transaction of its own; returns the rows that it changed."""
    return database.write(lambda connection: connection.execute(statement).all())
