"""Retention, and reading decisions in pages, on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import count, takewhile
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from moderation.decision_log.listing import Wanted, find_decisions
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.opening import open_log
from moderation.decision_log.records import Decided, decision_values
from moderation.decision_log.retention import Purged, purge
from moderation.decision_log.tables import (
    decisions,
    metadata,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import ImageError
from moderation.settings import load_settings
from tests.conftest import ROOT
from tests.support.decision_samples import OTHER, WEAPONS, basis, image_sha256, submission, verdict
from tests.support.filled_log import NOW, fill, set_values


@pytest.fixture
def log(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionLog]:
    monkeypatch.setenv("MODERATION_DATABASE_URL", database_url)
    with open_log(load_settings(callback_urls="https://a.example/hook")) as opened:
        yield opened


def counts(log: DecisionLog) -> dict[str, int]:
    with log.database.reading() as connection:
        return {
            table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in metadata.sorted_tables
        }


def test_decisions_are_read_in_pages_without_a_gap_or_a_repeat(log: DecisionLog) -> None:
    with log.database.writing() as connection:
        on = basis()
        log_policy = {
            "sha256": WEAPONS.sha256,
            "policy_id": "weapons",
            "version": 1,
            "content": {},
            "first_used_at": NOW,
        }
        connection.execute(policies.insert().values(log_policy))
        made = verdict(on)
        # Many at the very same time: the id alone tells them apart.
        rows = [
            decision_values(on, made, "r", NOW + timedelta(seconds=i // 700))
            | {"image_sha256": image_sha256(str(i))}
            for i in range(1500)
        ]
        for start in range(0, len(rows), 100):
            connection.execute(decisions.insert().values(rows[start : start + 100]))
    read = [(row.decided_at, row.id) for row in find_decisions(log.database, Wanted())]
    assert read == sorted(read, reverse=True)
    assert len(set(read)) == len(rows) == len(read)
    assert len(list(find_decisions(log.database, Wanted(), limit=501))) == 501


def test_what_is_older_is_forgotten_and_nothing_else(log: DecisionLog) -> None:
    fill(log, 4)
    for name in ("open", "released"):
        log.quarantine(submission(name), "image", ImageError("damaged"))
    old, young = NOW - timedelta(days=31), NOW - timedelta(days=29)
    # Requests r0 and r1 are old; the decision on image 1 is old too, and r3's is not.
    everything = decisions.c.id.is_not(None)
    set_values(log, decisions, everything, decided_at=old)
    set_values(log, policies, policies.c.policy_id.is_not(None), first_used_at=old)
    set_values(log, submissions, submissions.c.request_id.is_not(None), finished_at=young)
    gone = submissions.c.request_id.in_(["r0", "r1", "r2", "open"])
    set_values(log, submissions, gone, finished_at=old)
    set_values(log, quarantine, quarantine.c.request_id == "open", quarantined_at=old)
    set_values(log, outbox, outbox.c.request_id == "r0", delivered_at=old)
    set_values(log, outbox, outbox.c.request_id == "r1", failed_at=old)
    set_values(log, outbox, outbox.c.request_id == "r2", created_at=old)  # never delivered
    set_values(log, outbox, outbox.c.request_id == "r3", delivered_at=young)
    purged = purge(log.database, 30, now=NOW)
    assert purged == Purged(submissions=4, quarantine=1, outbox=2, decisions=3, policies=1)
    assert counts(log) == {
        submissions.name: 2,
        submission_decisions.name: 1,
        quarantine.name: 1,
        outbox.name: 4,
        decisions.name: 1,
        policies.name: 1,
    }
    assert purge(log.database, 30, now=NOW) == Purged(0, 0, 0, 0, 0)
    again = log.answer("r3", submission("r3", image="image 3").request_sha256)
    assert isinstance(again, Decided)


def test_forgetting_goes_on_beside_workers_that_decide(log: DecisionLog, tmp_path: Path) -> None:
    """Decisions vanish while requests on the same images come in: each is answered all the same."""
    code = (
        "import sys\n"
        "from datetime import UTC, datetime, timedelta\n"
        "from pathlib import Path\n"
        "from moderation.decision_log.opening import open_log\n"
        "from moderation.decision_log.retention import purge\n"
        "from moderation.settings import load_settings\n"
        "later = datetime.now(UTC) + timedelta(days=400)\n"
        "with open_log(load_settings()) as log:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        if purge(log.database, 30, now=later).decisions:\n"
        "            Path(sys.argv[1]).touch()\n"
    )
    purged = tmp_path / "purged"
    command = [sys.executable, "-c", code, str(purged)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as purging:
        assert purging.stdout
        assert purging.stdout.readline() == "ready\n"
        try:
            for i in takewhile(lambda i: i < 150 or not purged.exists(), count()):
                on = basis(OTHER if i % 2 else WEAPONS)
                made = verdict(on, request_id=f"r{i}", image=str(i % 3))
                outcome = log.decide(submission(f"r{i}"), [on], [made])
                assert isinstance(outcome, Decided)
                assert outcome.verdicts[0].decision_id
        finally:
            purging.kill()
    with log.database.reading() as connection:
        lost = connection.scalar(
            text(
                "SELECT count(*) FROM submission_decisions l "
                "LEFT JOIN decisions d ON d.id = l.decision_id WHERE d.id IS NULL"
            )
        )
    assert lost == 0
