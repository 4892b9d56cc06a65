"""Retention, and reading decisions in pages, on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from moderation.decision_log.decisions import WantedDecisions, find_decisions
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import decision_values
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
from tests.conftest import ROOT
from tests.support.decision_samples import (
    NOW,
    OTHER,
    WEAPONS,
    basis,
    count,
    decide_one,
    decided,
    fill,
    find_logged,
    image_sha256,
    record_refusal,
    set_values,
    submission,
    verdict,
)


def test_decisions_are_read_in_pages_without_a_gap_or_a_repeat(log: DecisionLog) -> None:
    decide_one(log)  # which notes the policy
    with log.database.writing() as connection:
        on, made = basis(), verdict(basis())
        # Many at the very same time: the id alone tells them apart.
        rows = [
            decision_values(on, made, NOW + timedelta(seconds=i // 700))
            | {"id": str(uuid.uuid4()), "image_sha256": image_sha256(str(i))}
            for i in range(1500)
        ]
        for start in range(0, len(rows), 100):
            connection.execute(decisions.insert().values(rows[start : start + 100]))
    read = [(row.decided_at, row.id) for row in find_decisions(log.database, WantedDecisions())]
    assert read == sorted(read, reverse=True)
    assert len(set(read)) == len(read) == 1 + len(rows)
    assert len(list(find_decisions(log.database, WantedDecisions(), limit=501))) == 501


def test_what_is_older_is_forgotten_and_nothing_else(log: DecisionLog) -> None:
    fill(log, 4)
    for name in ("open", "released"):
        record_refusal(log, submission(name), "image", ImageError("damaged"))
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
    assert purged == Purged(submissions=4, quarantine=1, outbox=4, decisions=3, policies=1)
    tables = (submissions, submission_decisions, quarantine, outbox, decisions, policies)
    assert count(log, *tables) == [2, 1, 1, 8, 1, 1]
    assert {*tables} == {*metadata.sorted_tables}
    assert purge(log.database, 30, now=NOW) == Purged(0, 0, 0, 0, 0)
    assert decided(find_logged(log, submission("r3", image="image 3")))


def test_forgetting_goes_on_beside_workers_that_decide(
    log: DecisionLog, database_url: str, tmp_path: Path
) -> None:
    """Decisions vanish while requests on the same images come in: each is answered all the same."""
    code = (
        "import sys\n"
        "from datetime import UTC, datetime, timedelta\n"
        "from pathlib import Path\n"
        "from moderation.decision_log.log import open_log\n"
        "from moderation.decision_log.retention import purge\n"
        "from moderation.settings import load_settings\n"
        "later = datetime.now(UTC) + timedelta(days=400)\n"
        "with open_log(load_settings(database_url=sys.argv[2])) as log:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        if purge(log.database, 30, now=later).decisions:\n"
        "            Path(sys.argv[1]).touch()\n"
    )
    purged = tmp_path / "purged"
    command = [sys.executable, "-c", code, str(purged), database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as purging:
        assert purging.stdout
        assert purging.stdout.readline() == "ready\n"
        i = 0
        try:
            while i < 150 or not purged.exists():
                policy = OTHER if i % 2 else WEAPONS
                answer = decide_one(log, f"r{i}", image=str(i % 3), policy=policy)
                assert answer.verdicts[0].decision_id
                i += 1
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
