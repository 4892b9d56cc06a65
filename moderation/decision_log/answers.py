"""The final answers in the tables: found and added, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from moderation.decision_log.database import Vanished
from moderation.decision_log.decisions import select_request_decisions
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
from moderation.messages import Rendition, Verdict
from moderation.scoring.verdict import Basis, DecisionKey

_KEY = tuple_(
    decisions.c.policy_sha256,
    decisions.c.model_fingerprint,
    decisions.c.preprocessing,
    decisions.c.conditions,
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
        links = submission_decisions.c
        own = (links.timings.label("own_timings"), links.rendition.label("own_rendition"))
        rows = connection.execute(select_request_decisions(request_id).add_columns(*own))
        return Decided(
            request_id, tuple(_verdict_of_answer(row, request_id=request_id) for row in rows)
        )
    return _quarantined_answer(connection, request_id)


def _verdict_of_answer(row: Row[Any], *, request_id: str) -> Verdict:
    """Returns a verdict with what the answer to a request had of its own."""
    rendition = row.own_rendition and Rendition.model_validate(row.own_rendition)
    own = {"timings": row.own_timings, "rendition": rendition}
    return verdict_of(row, request_id=request_id, **own)


def _quarantined_answer(connection: Connection, request_id: str) -> Answer | None:
    last = (
        select(quarantine)
        .where(quarantine.c.request_id == request_id, quarantine.c.released_at.is_(None))
        .order_by(quarantine.c.quarantined_at.desc())
        .limit(1)
    )
    row = connection.execute(last).first()
    return quarantined_of(row) if row else None


def find_answered_verdicts(
    connection: Connection, image_sha256: str, keys: Iterable[DecisionKey]
) -> dict[DecisionKey, Verdict]:
    """Returns the verdicts that answers gave on an image, by the key of what else they rest on."""
    found = select(decisions).where(decisions.c.image_sha256 == image_sha256, _KEY.in_(list(keys)))
    return {
        DecisionKey(
            row.policy_sha256, row.model_fingerprint, row.preprocessing, row.conditions
        ): verdict_of(row)
        for row in connection.execute(found)
    }


def add_answer_decisions(
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
    _add_answer_policies(connection, [basis for basis, _ in pairs], now)
    # Everybody adds in one order; otherwise two workers could wait for each other for ever.
    in_order = sorted(pairs, key=lambda pair: pair[0].key)
    rows = [decision_values(basis, verdict, request_id, now) for basis, verdict in in_order]
    # Nearly always there is nothing to read.
    if insert_answer_rows(connection, decisions, rows) == len(rows):
        found = {
            basis.key: verdict.model_copy(update={"decision_id": row["id"]})
            for (basis, verdict), row in zip(in_order, rows, strict=True)
        }
    else:  # a new statement sees what another transaction committed while this one waited for it
        image = pairs[0][1].image_sha256
        found = find_answered_verdicts(connection, image, [basis.key for basis, _ in pairs])
    try:
        return tuple(
            found[basis.key].model_copy(
                update={
                    "request_id": request_id,
                    "timings": verdict.timings,
                    "rendition": verdict.rendition,
                }
            )
            for basis, verdict in pairs
        )
    except KeyError as error:
        raise Vanished from error


def _add_answer_policies(connection: Connection, bases: Sequence[Basis], now: datetime) -> None:
    wanted = {basis.policy.sha256: basis for basis in bases}
    # Looked up first, since a policy may be long and is nearly always there.
    known = select(policies.c.sha256).where(policies.c.sha256.in_(sorted(wanted)))
    missing = sorted(set(wanted) - set(connection.scalars(known)))
    rows = [policy_values(wanted[sha256], now) for sha256 in missing]
    insert_answer_rows(connection, policies, rows)


def insert_answer_rows(connection: Connection, table: Table, rows: list[Values]) -> int:
    """Adds the rows that are not there and returns how many.

    Where another transaction adds the same row, this one waits for its end.
    """
    if not rows:
        return 0
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    # The rows go beside the statement and not into it, so that it is compiled once.
    return len(connection.execute(adding, rows).all())
