"""Decisions for people and programs that look back: by filter, one by one, counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select

from moderation.decision_log.engine import Database
from moderation.decision_log.rows import quarantined_of
from moderation.decision_log.tables import (
    decisions,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import RequestError

#: Decisions that are read in one go: some megabytes.
_PAGE = 500


@dataclass(frozen=True)
class Wanted:
    """Which decisions; None is any.

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
        """The same in SQL."""
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
    """Yields decisions, newest first, a page at a time: no transaction is open in between."""
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
    """Returns one decision."""
    with database.reading() as connection:
        asked = select(decisions).where(decisions.c.id == decision_id)
        return connection.execute(asked).first()


def find_named(database: Database, names: Iterable[str]) -> Iterator[Row[Any]]:
    """Yields the decisions of those ids; by the id of a request, those that answered it.

    Raises:
        RequestError: nothing is called so.
    """
    for name in names:
        row = find_decision(database, name)
        found = [row] if row is not None else list(find_decisions(database, Wanted(request=name)))
        if not found:
            raise unknown(name)
        yield from found


def unknown(name: str) -> RequestError:
    """Returns the error for an id that nothing has."""
    remedy = "`moderation decisions list` shows what there is"
    return RequestError(f"no decision or request is called {name}", "decisions", remedy)


def policy_content(database: Database, sha256: str) -> dict[str, Any] | None:
    """Returns the content of a policy that decided."""
    with database.reading() as connection:
        asked = select(policies.c.content).where(policies.c.sha256 == sha256)
        content: dict[str, Any] | None = connection.scalar(asked)
    return content


def find_request(database: Database, request_id: str) -> dict[str, Any] | None:
    """Returns all that is known of a request, as plain JSON."""
    with database.reading() as connection:
        row = connection.execute(
            select(submissions).where(submissions.c.request_id == request_id)
        ).first()
        if row is None:
            return None
        answers = connection.execute(_answers(request_id)).all()
        entries = connection.execute(
            select(quarantine)
            .where(quarantine.c.request_id == request_id)
            .order_by(quarantine.c.quarantined_at)
        ).all()
    return {
        **plain(row),
        "decisions": [plain(answer) for answer in answers],
        "quarantine": [_entry(entry) for entry in entries],
    }


def plain(row: Row[Any]) -> dict[str, Any]:
    """Returns a row as plain JSON."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row._mapping.items()
    }


def ledger(database: Database) -> dict[str, int]:
    """Returns how many of each there are, in one look; docs/decision-log.md says what must add up.

    `submissions` is `decided` + `quarantined`.
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
    """Returns what holds of decisions that come after a row, newest first."""
    at, name = decisions.c.decided_at, decisions.c.id
    # The first half alone is implied, and what an index can use.
    return and_(at <= row.decided_at, or_(at < row.decided_at, name < row.id))


def _answers(request_id: str) -> Select[Any]:
    links = submission_decisions.c
    return (
        select(decisions)
        .join(submission_decisions, links.decision_id == decisions.c.id)
        .where(links.request_id == request_id)
        .order_by(links.position)
    )


def _entry(row: Row[Any]) -> dict[str, Any]:
    return {**plain(row), "error": str(quarantined_of(row).error)}
