"""What the decision log reads from its tables and adds to them, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from moderation.decision_log.database import Vanished
from moderation.decision_log.records import (
    Answer,
    Decided,
    Values,
    decision_values,
    policy_values,
    quarantined_of,
    verdict_of,
)
from moderation.decision_log.tables import (
    decisions,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import RequestError
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis, DecisionKey

_KEY = tuple_(
    decisions.c.policy_sha256,
    decisions.c.model_fingerprint,
    decisions.c.preprocessing,
    decisions.c.frames,
)


def find_answer(
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


def _verdicts(connection: Connection, request_id: str) -> tuple[Verdict, ...]:
    asked = select_decisions(request_id).add_columns(
        submission_decisions.c.timings.label("own_timings")
    )
    return tuple(
        verdict_of(row, request_id=request_id, timings=row.own_timings)
        for row in connection.execute(asked)
    )


def select_decisions(request_id: str) -> Select[Any]:
    """Returns the query for the decisions that answered a request, in the order of its policies."""
    links = submission_decisions.c
    return (
        select(decisions)
        .join(submission_decisions, links.decision_id == decisions.c.id)
        .where(links.request_id == request_id)
        .order_by(links.position)
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


def find_verdicts(
    connection: Connection, image_sha256: str, keys: Iterable[DecisionKey]
) -> dict[DecisionKey, Verdict]:
    """Returns the decisions on an image, each by the key of what else it depends on."""
    found = select(decisions).where(decisions.c.image_sha256 == image_sha256, _KEY.in_(list(keys)))
    return {_key_of(row): verdict_of(row) for row in connection.execute(found)}


def _key_of(row: Row[Any]) -> DecisionKey:
    return DecisionKey(row.policy_sha256, row.model_fingerprint, row.preprocessing, row.frames)


def add_decisions(
    connection: Connection, request_id: str, pairs: Sequence[tuple[Basis, Verdict]], now: datetime
) -> tuple[Verdict, ...]:
    """Adds the decisions that are missing; returns the log's own, as answers to this request.

    Args:
        connection: in a transaction of the caller.
        request_id: of the request.
        pairs: the verdicts, all on one image, each with what it rests on.
        now: when they were decided.

    Raises:
        Vanished: another worker purged one of them at this moment.
    """
    _add_policies(connection, [basis for basis, _ in pairs], now)
    # Everybody adds in one order; otherwise two workers could wait for each other for ever.
    in_order = sorted(pairs, key=lambda pair: pair[0].key)
    rows = [decision_values(basis, verdict, request_id, now) for basis, verdict in in_order]
    if insert_new(connection, decisions, rows) == len(rows):  # nearly always: nothing to read
        found = {
            basis.key: verdict.model_copy(update={"decision_id": row["id"]})
            for (basis, verdict), row in zip(in_order, rows, strict=True)
        }
    else:  # a new statement sees what another transaction committed while this one waited for it
        image = pairs[0][1].image_sha256
        found = find_verdicts(connection, image, [basis.key for basis, _ in pairs])
    try:
        return tuple(
            found[basis.key].model_copy(
                update={"request_id": request_id, "timings": verdict.timings}
            )
            for basis, verdict in pairs
        )
    except KeyError as error:
        raise Vanished from error


def _add_policies(connection: Connection, bases: Sequence[Basis], now: datetime) -> None:
    wanted = {basis.policy.sha256: basis for basis in bases}
    # Looked up first, since a policy may be long and is nearly always there.
    known = select(policies.c.sha256).where(policies.c.sha256.in_(sorted(wanted)))
    missing = sorted(set(wanted) - set(connection.scalars(known)))
    insert_new(connection, policies, [policy_values(wanted[sha256], now) for sha256 in missing])


def insert_new(connection: Connection, table: Table, rows: list[Values]) -> int:
    """Adds the rows that are not there and returns how many.

    Where another transaction adds the same row, this one waits for its end.
    """
    if not rows:
        return 0
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    # The rows go beside the statement and not into it, so that it is compiled once.
    return len(connection.execute(adding, rows).all())
