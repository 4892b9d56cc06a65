"""A decision log with decisions of two policies in it, and times to change afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, update

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Decided
from moderation.decision_log.tables import decisions
from tests.support.decision_samples import OTHER, WEAPONS, basis, submission, verdict

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def fill(log: DecisionLog, number: int = 4) -> list[str]:
    """Writes decisions, one an hour, of two policies in turn; returns their ids, newest first."""
    ids = []
    for i in range(number):
        on = basis(OTHER if i % 2 else WEAPONS)
        name, image = f"r{i}", f"image {i}"
        made = verdict(on, request_id=name, image=image, seed=i)
        outcome = log.decide(submission(name, image=image), [on], [made])
        assert isinstance(outcome, Decided)
        [decided] = outcome.verdicts
        assert decided.decision_id
        ids.append(decided.decision_id)
        at = NOW + timedelta(hours=i)
        set_values(log, decisions, decisions.c.id == ids[-1], decided_at=at)
    return ids[::-1]


def set_values(log: DecisionLog, table: Table, where: Any, **values: Any) -> None:
    with log.database.writing() as connection:
        connection.execute(update(table).where(where).values(**values))
