"""Deletes what is older than the log may keep it, a little at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select

from moderation.decision_log.database import Database
from moderation.decision_log.tables import (
    decisions,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)

#: Rows that one transaction deletes: on SQLite writers wait for it.
_BATCH = 500


class Purged(NamedTuple):
    """How many rows went, by table."""

    submissions: int
    quarantine: int
    outbox: int
    decisions: int
    policies: int


def purge(database: Database, days: int, *, now: datetime | None = None) -> Purged:
    """Deletes what became final more than `days` ago, and returns how much.

    It keeps webhooks that are still to be sent, decisions that answer a request that it keeps, and
    policies of decisions that it keeps.

    Args:
        database: of the log.
        days: how long to keep.
        now: what the days are counted back from.

    Raises:
        LogUnavailable: the database does not answer; what was deleted before stays deleted.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    return Purged(*(_purge_expired(database, table, old) for table, old in _expired_rows(before)))


def _expired_rows(before: datetime) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """Yields which rows of each table may go, each table after those that point to it."""
    links = submission_decisions.c
    yield submissions, submissions.c.finished_at < before  # their links go too
    yield quarantine, quarantine.c.quarantined_at < before
    yield outbox, or_(outbox.c.delivered_at < before, outbox.c.failed_at < before)
    linked = select(links.request_id).where(links.decision_id == decisions.c.id).exists()
    yield decisions, and_(decisions.c.decided_at < before, ~linked)
    used = select(decisions.c.id).where(decisions.c.policy_sha256 == policies.c.sha256).exists()
    yield policies, and_(policies.c.first_used_at < before, ~used)


def _purge_expired(database: Database, table: Table, old: ColumnElement[bool]) -> int:
    [key] = table.primary_key

    def purge_some(connection: Connection) -> int:
        # Rows that another worker is deleting or using are left to it, or to the next time.
        some = select(key).where(old).limit(_BATCH).with_for_update(skip_locked=True, of=table)
        return connection.execute(delete(table).where(key.in_(some))).rowcount

    total = 0
    while gone := database.write(purge_some):
        total += gone
    return total
