"""Several processes that record overlapping batches in one log, and one that dies meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from sqlalchemy import text

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.tables import (
    decisions,
    outbox,
    policies,
    submission_decisions,
    submissions,
)
from tests.conftest import ROOT
from tests.support.decision_samples import count

_BATCHES, _SIZE, _STEP = 12, 60, 30
_REQUESTS = (_BATCHES - 1) * _STEP + _SIZE
_PROCESS = f"""
import json, sys
from sqlalchemy import event as events
from moderation.decision_log.log import open_log
from moderation.decision_log.records import Verdicts
from moderation.settings import load_settings
from tests.support.decision_samples import OTHER, basis, submission, verdict

url, way = sys.argv[1:]
on = [basis(), basis(OTHER)]
numbers = [range(n * {_STEP}, n * {_STEP} + {_SIZE}) for n in range({_BATCHES})]
if way == "backwards":
    numbers, on = [batch[::-1] for batch in numbers], on[::-1]

def outcome(number):
    name, image = f"r{{number}}", str(number // 3)
    asked = submission(name, image=image, policies=["weapons", "other"])
    return Verdicts(asked, on, [verdict(one, request_id=name, image=image) for one in on])

def stop(connection, cursor, statement, *_):
    if statement.startswith("INSERT INTO submission_decisions"):
        print("half", flush=True)
        sys.stdin.read()

settings = load_settings(database_url=url, callback_urls="https://a.example/hook")
with open_log(settings) as log:
    batches = [[outcome(number) for number in batch] for batch in numbers]
    if way == "half":
        log.record(batches[0])
        events.listen(log.engine, "before_cursor_execute", stop)
        log.record(batches[2])
    print("ready", flush=True)
    sys.stdin.readline()
    for batch in batches:
        for answer in log.record(batch):
            ids = sorted(one.decision_id for one in answer.verdicts)
            print(json.dumps([answer.request_id, ids]))
"""


def _writers(url: str, *ways: str) -> list[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, url, way],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            cwd=ROOT,
        )
        for way in ways
    ]


def _until_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    printed = process.stdout.readline()
    assert printed == f"{line}\n", process.communicate()


def _counts(log: DecisionLog) -> Sequence[int]:
    return count(log, submissions, submission_decisions, outbox, decisions, policies)


def test_overlapping_batches_in_opposite_orders_end_with_one_answer_each(
    log: DecisionLog, database_url: str
) -> None:
    running = _writers(database_url, "forwards", "backwards", "forwards", "backwards")
    for process in running:
        _until_line(process, "ready")
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, printed
    answers = [sorted(set(output.splitlines())) for output, _ in printed]
    assert answers == [answers[0]] * 4
    assert len({json.loads(line)[0] for line in answers[0]}) == len(answers[0]) == _REQUESTS
    images = -(-_REQUESTS // 3)
    assert _counts(log) == [_REQUESTS, 2 * _REQUESTS, _REQUESTS, 2 * images, 2]
    if not log.database.is_sqlite:  # none that was solved by trying again either
        with log.engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_clear_snapshot()"))
            found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            assert connection.scalar(text(found)) == 0


def test_a_process_that_is_killed_in_the_middle_of_a_batch_leaves_none_of_it(
    log: DecisionLog, database_url: str
) -> None:
    [process] = _writers(database_url, "half")
    _until_line(process, "half")
    before = _counts(log)
    assert before[:3] == [_SIZE, 2 * _SIZE, _SIZE]
    process.kill()
    process.communicate()
    assert _counts(log) == before
    # The next process finds nothing locked, and records that batch too.
    [process] = _writers(database_url, "forwards")
    _until_line(process, "ready")
    output, errors = process.communicate("\n")
    assert process.returncode == 0, errors
    assert len(output.splitlines()) == _BATCHES * _SIZE
    assert _counts(log)[:3] == [_REQUESTS, 2 * _REQUESTS, _REQUESTS]
