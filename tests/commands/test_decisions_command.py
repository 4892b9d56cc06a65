"""`moderation decisions` and retention, on SQLite and PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import Table, func, select, text, update

from moderation.decision_log.listing import Wanted, find_decisions
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.opening import open_log
from moderation.decision_log.records import Decided, Quarantined
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
from moderation.scoring.loading import load_pipeline
from moderation.scoring.pipeline import Timer
from moderation.settings import load_settings
from tests.conftest import ROOT
from tests.support.command_line import moderation
from tests.support.decision_samples import OTHER, WEAPONS, basis, image_sha256, submission, verdict

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def log(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionLog]:
    monkeypatch.setenv("MODERATION_DATABASE_URL", database_url)
    settings = load_settings(callback_urls="https://a.example/hook")
    with open_log(settings) as opened:
        yield opened


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return moderation("decisions", *words)


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


def counts(log: DecisionLog) -> dict[str, int]:
    with log.database.reading() as connection:
        return {
            table.name: int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in metadata.sorted_tables
        }


def test_list_shows_decisions_newest_first_by_every_filter(log: DecisionLog) -> None:
    ids = fill(log)
    assert log.engine.url.get_backend_name() in ("sqlite", "postgresql")

    def listed(*options: str) -> list[str]:
        done = run("list", "--format", "jsonl", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    assert listed() == ids
    assert listed("--limit", "2") == ids[:2]
    assert listed("--policy", "other") == ids[::2]
    assert listed("--since", "2026-06-01T01:00:00", "--until", "2026-06-01T03:00:00") == ids[1:3]
    assert listed("--image", image_sha256("image 3")) == ids[:1]
    assert listed("--request", "r2") == ids[1:2]
    action = json.loads(run("show", ids[0]).stdout)["action"]
    assert ids[0] in listed("--action", action)


def test_list_prints_every_format(log: DecisionLog) -> None:
    ids = fill(log, 2)
    table = run("list").stdout
    assert all(name[:8] in table for name in ids)
    assert [row["id"] for row in json.loads(run("list", "--format", "json").stdout)] == ids
    rows = list(csv.DictReader(io.StringIO(run("list", "--format", "csv").stdout)))
    assert [row["id"] for row in rows] == ids
    assert json.loads(rows[0]["verdict"])["decision_id"] == ids[0]
    assert "there is no such decision" in run("list", "--policy", "none").stderr


def test_show_prints_a_decision_and_a_request(log: DecisionLog) -> None:
    [decision_id] = fill(log, 1)
    entry = log.set_aside(submission("bad"), "image", ImageError("it is damaged"))
    assert isinstance(entry, Quarantined)
    decision = json.loads(run("show", decision_id).stdout)
    assert decision["verdict"]["policy"]["id"] == "weapons"
    assert decision["logit_scale"] == 100.0
    request = json.loads(run("show", "r0").stdout)
    assert (request["outcome"], request["decisions"]) == ("decided", [decision])
    bad = json.loads(run("show", "bad").stdout)
    assert bad["quarantine"][0]["id"] == entry.quarantine_id
    assert bad["quarantine"][0]["error"] == "it is damaged"
    missing = run("show", "none")
    assert missing.returncode == 2
    assert "no decision or request is called none" in missing.stderr


def test_export_writes_every_decision_in_every_format(log: DecisionLog, tmp_path: Path) -> None:
    ids = fill(log, 3)
    lines = run("export").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids
    one = run("export", "--policy", "other", "-o", str(tmp_path / "a.jsonl"))
    assert one.stdout == ""
    assert "1 exported" in one.stderr
    [line] = (tmp_path / "a.jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads(lines[1])
    done = run("export", "--as", "csv", "-o", str(tmp_path / "a.csv"))
    assert done.returncode == 0, done.stderr
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ids
    done = run("export", "--as", "parquet", "-o", str(tmp_path / "a.parquet"))
    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["id"] for row in rows] == ids
    assert rows[0]["decided_at"] == NOW + timedelta(hours=2)
    assert json.loads(rows[0]["verdict"]) == json.loads(lines[0])["verdict"]
    assert (rows[0]["frames"], rows[0]["logit_bias"]) == (1, None)
    assert sorted(path.name for path in tmp_path.glob("*a.*")) == ["a.csv", "a.jsonl", "a.parquet"]


def test_export_refuses_what_it_cannot_write(log: DecisionLog, tmp_path: Path) -> None:
    for options in (["--as", "parquet"], ["-o", str(tmp_path / "none" / "a.jsonl")]):
        done = run("export", *options)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")


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
        from moderation.decision_log.rows import decision_values

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


def test_a_replay_of_what_was_decided_differs_in_nothing(log: DecisionLog) -> None:
    ids = fill(log, 3)
    done = run("replay", "--all")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 decided again: all as they were" in done.stderr
    assert "1 decided again" in run("replay", ids[0]).stderr
    assert "1 decided again" in run("replay", "r0").stderr
    assert "1 decided again" in run("replay", "--all", "--policy", "other").stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("score", "a score or similarity is off by 0.25"),
        ("action", "action was "),
        ("policy", "its policy's content is not that of its hash"),
        ("column", "column action was "),
    ],
)
def test_a_replay_shows_what_was_changed(change: str, message: str, log: DecisionLog) -> None:
    [decision_id] = fill(log, 1)
    row = json.loads(run("show", decision_id).stdout)
    stored, here = row["verdict"], decisions.c.id == decision_id
    other = "allow" if stored["action"] == "block" else "block"
    if change == "score":
        score = stored["labels"][0]["score"]
        stored["labels"][0]["score"] = score + 0.25 if score < 0.5 else score - 0.25
        set_values(log, decisions, here, verdict=stored)
    elif change == "action":
        set_values(log, decisions, here, verdict={**stored, "action": other}, action=other)
    elif change == "policy":
        content = WEAPONS.model_dump(mode="json") | {"title": "another"}
        set_values(log, policies, policies.c.policy_id == "weapons", content=content)
    else:
        set_values(log, decisions, here, action=other)
    done = run("replay", decision_id)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{decision_id}: ")
    assert message in done.stdout
    assert "1 differ" in done.stderr


def test_a_replay_needs_to_know_which(log: DecisionLog) -> None:
    for options in ([], ["a", "--all"], ["--policy", "weapons"], ["--all", "--image", "a.png"]):
        done = run("replay", *options)
        assert done.returncode == 2
        assert "which decisions are meant" in done.stderr


def test_a_replay_with_the_image_looks_at_it_again(
    log: DecisionLog, photographs: list[Path]
) -> None:
    content = photographs[0].read_bytes()
    settings = load_settings(model="starter")
    with load_pipeline(settings, {"weapons": WEAPONS}) as pipeline:
        bases = pipeline.bases(["weapons"], frames=settings.frames)
        verdicts = pipeline.moderate(content, ["weapons"], request_id="r", timer=Timer())
    outcome = log.decide(submission("r"), bases, verdicts)
    assert isinstance(outcome, Decided)
    name = outcome.verdicts[0].decision_id or ""
    same = run(
        "replay", name, "--image", str(photographs[0]), "--model", "starter", "--tolerance", "1e-4"
    )
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    other = run("replay", name, "--image", str(photographs[1]), "--model", "starter")
    assert other.returncode == 2
    assert "not the image that was decided on" in other.stderr


def test_the_ledger_adds_up(log: DecisionLog) -> None:
    fill(log, 3)
    log.set_aside(submission("bad"), "image", ImageError("damaged"))
    ledger = json.loads(run("ledger", "--format", "json").stdout)
    assert ledger == {
        "submissions": 4,
        "decided": 3,
        "quarantined": 1,
        "decisions": 3,
        "webhooks_pending": 4,
        "webhooks_delivered": 0,
        "webhooks_given_up": 0,
    }
    assert "quarantined" in run("ledger").stdout


def test_a_database_that_does_not_answer_is_named_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODERATION_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/db")
    done = run("list")
    assert done.returncode == 3
    assert done.stderr.startswith("error: postgresql://me:***@127.0.0.1:1/db: ")
    assert "hunter2" not in done.stderr


def test_what_is_older_is_forgotten_and_nothing_else(log: DecisionLog) -> None:
    fill(log, 4)
    for name in ("open", "released"):
        log.set_aside(submission(name), "image", ImageError("damaged"))
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
    again = log.outcome("r3", submission("r3", image="image 3").request_sha256)
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
