"""What a worker removes from the decision log beside its work, on a real database."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.opening import open_log
from moderation.decision_log.records import Submission
from moderation.decision_log.tables import quarantine, submissions
from moderation.errors import ImageError
from moderation.settings import load_settings
from moderation.worker.housekeeping import Housekeeping
from tests.support.waiting import until


def count(log: DecisionLog) -> int:
    with log.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(submissions)).scalar_one())


def set_aside(log: DecisionLog, name: str, *, days_ago: float) -> None:
    submission = Submission(name, "0" * 64, "bytes", "", ("weapons",), "bulk", None)
    log.set_aside(submission, "image", ImageError("it is damaged"))
    at = datetime.now(UTC) - timedelta(days=days_ago)
    with log.database.writing() as connection:
        for table, column in ((submissions, "finished_at"), (quarantine, "quarantined_at")):
            of = table.c.request_id == name
            connection.execute(update(table).where(of).values({column: at}))


def test_what_is_older_than_the_setting_goes_and_nothing_else(database_url: str) -> None:
    settings = load_settings(database_url=database_url, retention_days=10)
    with open_log(settings) as log:
        set_aside(log, "old", days_ago=11)
        set_aside(log, "young", days_ago=9)
        with Housekeeping(log, settings, every_seconds=0.05):
            until(lambda: count(log) == 1)
        assert count(log) == 1
        assert log.outcome("young", "0" * 64) is not None
        assert log.outcome("old", "0" * 64) is None


def test_it_ends_when_its_block_ends(database_url: str) -> None:
    def runs() -> bool:
        return "housekeeping" in {thread.name for thread in threading.enumerate()}

    settings = load_settings(database_url=database_url, retention_days=10)
    with open_log(settings) as log:
        with Housekeeping(log, settings):
            assert runs()
        until(lambda: not runs())
