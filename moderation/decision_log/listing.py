"""Decisions for people and programs that look back: filtered, one by one, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from moderation.decision_log.database import Database
from moderation.decision_log.queries import select_decisions
from moderation.decision_log.records import quarantined_of
from moderation.decision_log.tables import (
    decisions,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import RequestError

#: Decisions that are read at once: some megabytes.
_PAGE = 500


@dataclass(frozen=True)
class Wanted:
    """Which decisions are wanted; None stands for any.

    Attributes:
        policy: id.
        action: allow, review or block.
        since: decided then or later.
        until: decided before.
        image: SHA-256 of the file.
        request: id of a request that it answered.
    """

    policy: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    image: str | None = None
    request: str | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What holds of the decisions, in SQL."""
        links = submission_decisions.c
        answered = select(links.decision_id).where(links.request_id == self.request)
        equal = (
            (decisions.c.policy_id, self.policy),
            (decisions.c.action, self.action),
            (decisions.c.image_sha256, self.image),
        )
        found = [column == value for column, value in equal if value is not None]
        if self.since is not None:
            found.append(decisions.c.decided_at >= self.since)
        if self.until is not None:
            found.append(decisions.c.decided_at < self.until)
        if self.request is not None:
            found.append(decisions.c.id.in_(answered))
        return found


def count_decisions(database: Database, wanted: Wanted) -> int:
    """Returns how many decisions there are."""
    asked = select(func.count()).select_from(decisions).where(*wanted.conditions)
    with database.reading() as connection:
        return int(connection.scalar(asked) or 0)


def find_decisions(
    database: Database, wanted: Wanted, *, limit: int | None = None
) -> Iterator[Row[Any]]:
    """Yields decisions, newest first; they are read in pages, with no transaction in between."""
    newest_first = (decisions.c.decided_at.desc(), decisions.c.id.desc())
    asked = select(decisions).where(*wanted.conditions).order_by(*newest_first)
    last: Row[Any] | None = None
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = asked if last is None else asked.where(_after(last))
        with database.reading() as connection:
            rows = connection.execute(page.limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        last = rows[-1]
        left = None if left is None else left - len(rows)


def find_decision(database: Database, decision_id: str) -> Row[Any] | None:
    """Returns the decision with that id, if there is one."""
    with database.reading() as connection:
        asked = select(decisions).where(decisions.c.id == decision_id)
        return connection.execute(asked).first()


def find_named(database: Database, names: Iterable[str]) -> Iterator[Row[Any]]:
    """Yields the decisions with those ids; for the id of a request, those that answered it.

    Raises:
        RequestError: no decision or request has one of them.
    """
    for name in names:
        row = find_decision(database, name)
        found = [row] if row is not None else list(find_decisions(database, Wanted(request=name)))
        if not found:
            raise unknown(name)
        yield from found


def unknown(name: str) -> RequestError:
    """Returns the error for an id that no decision or request has."""
    remedy = "`moderation decisions list` shows what there is"
    return RequestError(f"no decision or request is called {name}", "decisions", remedy)


def policy_content(database: Database, sha256: str) -> dict[str, Any] | None:
    """Returns the content of a policy that decided, if the log has it."""
    with database.reading() as connection:
        asked = select(policies.c.content).where(policies.c.sha256 == sha256)
        content: dict[str, Any] | None = connection.scalar(asked)
    return content


def find_request(database: Database, request_id: str) -> dict[str, Any] | None:
    """Returns all that is known of a request, as plain JSON values."""
    with database.reading() as connection:
        row = connection.execute(
            select(submissions).where(submissions.c.request_id == request_id)
        ).first()
        if row is None:
            return None
        decided = connection.execute(select_decisions(request_id)).all()
        quarantined = connection.execute(
            select(quarantine)
            .where(quarantine.c.request_id == request_id)
            .order_by(quarantine.c.quarantined_at)
        ).all()
    return {
        **plain(row),
        "decisions": [plain(decision) for decision in decided],
        "quarantine": [
            {**plain(one), "error": str(quarantined_of(one).error)} for one in quarantined
        ],
    }


def plain(row: Row[Any]) -> dict[str, Any]:
    """Returns a row as plain JSON values."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row._mapping.items()
    }


def ledger(database: Database) -> dict[str, int]:
    """Returns how many rows of each kind there are, all at one moment.

    `submissions` is `decided` + `quarantined`; docs/decision-log.md says what else must add up.
    """
    by_outcome = [
        _count(submissions.c.request_id, submissions.c.outcome == outcome).label(outcome)
        for outcome in ("decided", "quarantined")
    ]
    final = or_(outbox.c.delivered_at.is_not(None), outbox.c.failed_at.is_not(None))
    counts = select(
        _count(submissions.c.request_id).label("submissions"),
        *by_outcome,
        _count(decisions.c.id).label("decisions"),
        _count(outbox.c.id, ~final).label("webhooks_pending"),
        _count(outbox.c.id, outbox.c.delivered_at.is_not(None)).label("webhooks_delivered"),
        _count(outbox.c.id, outbox.c.delivered_at.is_(None), final).label("webhooks_given_up"),
    )
    with database.reading() as connection:
        row = connection.execute(counts).one()
    return {name: int(value) for name, value in row._mapping.items()}


def _count(column: ColumnElement[Any], *where: ColumnElement[bool]) -> Any:
    return select(func.count(column)).where(*where).scalar_subquery()


def _after(row: Row[Any]) -> ColumnElement[bool]:
    """Returns what holds of the decisions that follow a row, newest first."""
    at, name = decisions.c.decided_at, decisions.c.id
    # The second half implies the first, but an index can use only the first.
    return and_(at <= row.decided_at, or_(at < row.decided_at, name < row.id))
