"""Decisions for people and programs that look back: filtered, one by one, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select

from moderation.decision_log.database import Database
from moderation.decision_log.records import quarantined_of
from moderation.decision_log.tables import (
    decisions,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import RequestError

#: Decisions that are read at once: some megabytes.
_PAGE = 500


@dataclass(frozen=True)
class WantedDecisions:
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


def count_decisions(database: Database, wanted: WantedDecisions) -> int:
    """Returns how many decisions there are."""
    asked = select(func.count()).select_from(decisions).where(*wanted.conditions)
    with database.reading() as connection:
        return int(connection.scalar(asked) or 0)


def find_decisions(
    database: Database, wanted: WantedDecisions, *, limit: int | None = None
) -> Iterator[Row[Any]]:
    """Yields decisions, newest first; they are read in pages, with no transaction in between."""
    at, name = decisions.c.decided_at, decisions.c.id
    asked = select(decisions).where(*wanted.conditions).order_by(at.desc(), name.desc())
    page, left = asked, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        with database.reading() as connection:
            rows = connection.execute(page.limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        last = rows[-1]
        # The second half implies the first, but an index can use only the first.
        after = or_(at < last.decided_at, name < last.id)
        page = asked.where(at <= last.decided_at, after)
        left = None if left is None else left - len(rows)


def newest_of_images(rows: Iterable[Row[Any]]) -> Iterator[Row[Any]]:
    """Yields of decisions, newest first, the first one on each image."""
    seen: set[bytes] = set()
    for row in rows:
        if (image := bytes.fromhex(row.image_sha256)) not in seen:
            seen.add(image)
            yield row


def find_decision(database: Database, decision_id: str) -> Row[Any] | None:
    """Returns the decision with that id, if there is one."""
    with database.reading() as connection:
        asked = select(decisions).where(decisions.c.id == decision_id)
        return connection.execute(asked).first()


def find_named_decisions(database: Database, names: Iterable[str]) -> Iterator[Row[Any]]:
    """Yields the decisions with those ids; for the id of a request, those that answered it.

    Raises:
        RequestError: no decision or request has one of them.
    """
    for name in names:
        row = find_decision(database, name)
        found = (
            [row]
            if row is not None
            else list(find_decisions(database, WantedDecisions(request=name)))
        )
        if not found:
            raise _decision_unknown_to_log(name)
        yield from found


def _decision_unknown_to_log(name: str) -> RequestError:
    """Returns the error for an id that the log has neither of a decision nor of a request."""
    remedy = "`moderation decisions list` shows what there is"
    return RequestError(f"no decision or request is called {name}", "decisions", remedy)


def describe_decision(database: Database, name: str) -> dict[str, Any]:
    """Returns all that is known of a decision, or of a request with its decisions.

    Raises:
        RequestError: no decision or request has that id.
    """
    if (decision := find_decision(database, name)) is not None:
        return decision._asdict()
    of_name = submissions.c.request_id == name
    since = quarantine.c.quarantined_at
    entries = select(quarantine).where(quarantine.c.request_id == name).order_by(since)
    with database.reading() as connection:
        row = connection.execute(select(submissions).where(of_name)).first()
        if row is None:
            raise _decision_unknown_to_log(name)
        decided = connection.execute(select_request_decisions(name)).all()
        quarantined = connection.execute(entries).all()
    return {
        **row._asdict(),
        "decisions": [decision._asdict() for decision in decided],
        "quarantine": [
            {**entry._asdict(), "error": str(quarantined_of(entry).error)} for entry in quarantined
        ],
    }


def select_request_decisions(request_id: str) -> Select[Any]:
    """Returns the query for the decisions that answered a request, in the order of its policies."""
    links = submission_decisions.c
    return (
        select(decisions)
        .join(submission_decisions, links.decision_id == decisions.c.id)
        .where(links.request_id == request_id)
        .order_by(links.position)
    )
