"""How many requests, decisions and webhooks the decision log has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from moderation.decision_log.database import Database
from moderation.decision_log.quarantine import OPEN
from moderation.decision_log.tables import decisions, outbox, quarantine, submissions

_FINAL = or_(outbox.c.delivered_at.is_not(None), outbox.c.failed_at.is_not(None))


def count_ledger(database: Database) -> dict[str, int]:
    """Returns how many rows of each kind there are, all at one moment.

    `submissions` is `decided` + `quarantined`; docs/decision-log.md says what else must add up.
    """
    request_id, webhook = submissions.c.request_id, outbox.c.id
    return _read_ledger(
        database,
        submissions=_ledger_count(request_id),
        decided=_ledger_count(request_id, submissions.c.outcome == "decided"),
        quarantined=_ledger_count(request_id, submissions.c.outcome == "quarantined"),
        decisions=_ledger_count(decisions.c.id),
        webhooks_pending=_ledger_count(webhook, ~_FINAL),
        webhooks_delivered=_ledger_count(webhook, outbox.c.delivered_at.is_not(None)),
        webhooks_given_up=_ledger_count(webhook, outbox.c.delivered_at.is_(None), _FINAL),
    )


def count_open(database: Database) -> dict[str, int]:
    """Returns the part of the ledger that is open: in quarantine, and webhooks to be sent."""
    return _read_ledger(
        database,
        quarantine_open=_ledger_count(quarantine.c.id, *OPEN),
        outbox_undelivered=_ledger_count(outbox.c.id, ~_FINAL),
    )


def _ledger_count(column: ColumnElement[Any], *where: ColumnElement[bool]) -> Any:
    return select(func.count(column)).where(*where).scalar_subquery()


def _read_ledger(database: Database, **counts: Any) -> dict[str, int]:
    with database.reading() as connection:
        row = connection.execute(select(*(counts[name].label(name) for name in counts))).one()
    return {name: int(value) for name, value in row._mapping.items()}
