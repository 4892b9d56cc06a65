"""What a worker does beside its work: purging a real database, in threads that go on and end."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.records import Submission
from moderation.decision_log.tables import quarantine, submissions
from moderation.errors import ImageError
from moderation.settings import load_settings
from moderation.worker.periodic_threads import PeriodicThread, periodic_purge
from tests.support.decision_samples import record_refusal
from tests.support.waiting import until


def count(log: DecisionLog) -> int:
    with log.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(submissions)).scalar_one())


def asked(name: str) -> Submission:
    return Submission(name, "0" * 64, "bytes", "", ("weapons",), "bulk", None)


def quarantined(log: DecisionLog, name: str, *, days_ago: float) -> None:
    record_refusal(log, asked(name), "image", ImageError("it is damaged"))
    at = datetime.now(UTC) - timedelta(days=days_ago)
    with log.database.writing() as connection:
        for table, column in ((submissions, "finished_at"), (quarantine, "quarantined_at")):
            of = table.c.request_id == name
            connection.execute(update(table).where(of).values({column: at}))


def test_what_is_older_than_the_setting_goes_and_nothing_else(database_url: str) -> None:
    settings = load_settings(database_url=database_url, retention_days=10)
    with open_log(settings) as log:
        quarantined(log, "old", days_ago=11)
        quarantined(log, "young", days_ago=9)
        with periodic_purge(log.database, settings.retention_days, every_seconds=0.05):
            until(lambda: count(log) == 1)
        assert count(log) == 1
        assert [*log.answers([asked("young"), asked("old")])] == ["young"]


def test_work_that_fails_is_done_again_until_the_block_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = []

    def work() -> None:
        done.append(threading.current_thread())
        raise ValueError("a fault")

    with PeriodicThread("sample", work, lambda: 0.01, at_once=True):
        until(lambda: len(done) >= 3)
    assert not done[0].is_alive()
    assert "sample failed" in caplog.text


def test_where_all_is_kept_nothing_runs(database_url: str) -> None:
    with (
        open_log(load_settings(database_url=database_url)) as log,
        periodic_purge(log.database, None),
    ):
        assert "housekeeping" not in {thread.name for thread in threading.enumerate()}
