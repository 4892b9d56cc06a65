"""Adding rows that may be there already, inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from moderation.decision_log.answers import find_verdicts
from moderation.decision_log.engine import Vanished
from moderation.decision_log.rows import decision_values, policy_values
from moderation.decision_log.tables import decisions, policies
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis, DecisionKey


def add_decisions(
    connection: Connection, request_id: str, pairs: Sequence[tuple[Basis, Verdict]], now: datetime
) -> tuple[Verdict, ...]:
    """Adds the decisions that are not there; returns the log's own, as answers to this request."""
    _add_policies(connection, [basis for basis, _ in pairs], now)
    # In one order: two workers that add several at once would else wait for each other for ever.
    in_order = sorted(pairs, key=_place)
    rows = [decision_values(basis, verdict, request_id, now) for basis, verdict in in_order]
    if insert_new(connection, decisions, rows) == len(rows):  # nearly always: nothing to read
        found = {
            _place(pair): pair[1].model_copy(update={"decision_id": row["id"]})
            for pair, row in zip(in_order, rows, strict=True)
        }
    else:
        found = _present_verdicts(connection, pairs)
    try:
        return tuple(
            found[_place(pair)].model_copy(
                update={"request_id": request_id, "timings": pair[1].timings}
            )
            for pair in pairs
        )
    except KeyError as error:  # purged in between
        raise Vanished from error


def _place(pair: tuple[Basis, Verdict]) -> tuple[str, DecisionKey]:
    """Returns what there is one decision for."""
    basis, verdict = pair
    return verdict.image_sha256, basis.key


def _present_verdicts(
    connection: Connection, pairs: Sequence[tuple[Basis, Verdict]]
) -> dict[tuple[str, DecisionKey], Verdict]:
    """Returns the log's own decisions.

    By a statement of its own: it sees what another transaction committed while we waited for it.
    """
    keys = [basis.key for basis, _ in pairs]
    return {
        (image, key): verdict
        for image in {verdict.image_sha256 for _, verdict in pairs}
        for key, verdict in find_verdicts(connection, image, keys).items()
    }


def _add_policies(connection: Connection, bases: Sequence[Basis], now: datetime) -> None:
    wanted = {basis.policy.sha256: basis for basis in bases}
    # Asked first, since a policy may be long and is nearly always there.
    there = set(
        connection.scalars(select(policies.c.sha256).where(policies.c.sha256.in_(sorted(wanted))))
    )
    missing = sorted(set(wanted) - there)
    insert_new(connection, policies, [policy_values(wanted[sha256], now) for sha256 in missing])


def insert_new(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Adds the rows that are not there, and returns how many; waits for who adds the same."""
    if not rows:
        return 0
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    adding = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    # The rows beside the statement, not in it: so it is compiled once.
    return len(connection.execute(adding, rows).all())
