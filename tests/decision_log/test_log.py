"""Final answers on SQLite and PostgreSQL: one for each request, from threads and processes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.records import Decided
from moderation.decision_log.tables import (
    decisions,
    metadata,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import (
    ImageError,
    LogUnavailable,
    PolicyError,
    RequestError,
)
from moderation.settings import load_settings
from moderation.worker.arrival import Arrival, read_arrived_request
from tests.conftest import ROOT
from tests.support.decision_samples import (
    ENDPOINTS,
    HOST,
    OTHER,
    STAMP,
    answer_to,
    at_once,
    basis,
    count,
    decide_one,
    decided,
    find_logged,
    image_sha256,
    quarantined,
    record_refusal,
    record_verdicts,
    submission,
    verdict,
)


def test_a_decided_request_has_that_answer_for_good(log: DecisionLog) -> None:
    asked, bases = submission(policies=["weapons", "other"]), [basis(), basis(OTHER)]
    verdicts = [verdict(one, seed=seed) for seed, one in enumerate(bases)]
    answer = decided(record_verdicts(log, asked, bases, verdicts))
    assert [one.policy.id for one in answer.verdicts] == ["weapons", "other"]
    assert all(one.decision_id for one in answer.verdicts)
    without_id = [one.model_copy(update={"decision_id": None}) for one in answer.verdicts]
    assert without_id == verdicts
    assert find_logged(log, asked) == answer
    assert find_logged(log, submission("unknown")) is None
    # The first answer stands, also against other scores.
    again = [verdict(one, seed=7, seconds=9.0) for one in bases]
    assert record_verdicts(log, asked, bases, again) == answer
    tables = (submissions, decisions, submission_decisions, policies, outbox)
    assert count(log, *tables) == [1, 2, 2, 2, 2]


def test_an_image_under_an_equal_basis_is_decided_once(log: DecisionLog) -> None:
    first = decide_one(log)
    other = verdict(basis(), request_id="r2", seed=5, seconds=0.5)
    second = decided(record_verdicts(log, submission("r2"), [basis()], [other]))
    assert second.verdicts[0].decision_id == first.verdicts[0].decision_id
    assert second.verdicts[0].labels == first.verdicts[0].labels
    assert second.verdicts[0].request_id == "r2"
    assert second.verdicts[0].timings == {"encode": 0.5}
    assert answer_to(log, "r2") == second
    assert count(log, submissions, decisions) == [2, 1]


def test_decisions_differ_in_what_they_depend_on(log: DecisionLog) -> None:
    fingerprint = STAMP.model_copy(update={"fingerprint": "e" * 64})
    preprocessing = STAMP.model_copy(update={"preprocessing": "q" * 64})
    bases = [
        basis(),
        basis(OTHER),
        basis(model=fingerprint),
        basis(model=preprocessing),
        basis(frames=4),
    ]
    for number, one in enumerate(bases):
        record_verdicts(
            log, submission(f"r{number}"), [one], [verdict(one, request_id=f"r{number}")]
        )
    device = basis(model=STAMP.model_copy(update={"device": "cuda", "dtype": "bfloat16"}))
    record_verdicts(log, submission("same"), [device], [verdict(device)])
    assert count(log, decisions) == [len(bases)]


def test_recall_gives_the_decisions_there_are_in_order(log: DecisionLog) -> None:
    first, other = decide_one(log), decide_one(log, "r2", image="c", seed=1)
    keys = [basis(OTHER).key, basis().key]
    images = [
        (image_sha256("b"), keys),
        (image_sha256("a"), keys),
        (image_sha256("a"), []),
        (image_sha256("c"), [keys[1]]),
    ]
    assert log.recall(images) == [
        [None, None],
        [None, first.verdicts[0]],
        [],
        [other.verdicts[0]],
    ]
    assert log.recall([]) == []


def test_a_request_id_that_is_used_for_another_request_is_refused(log: DecisionLog) -> None:
    decide_one(log)
    other = submission(image="b")
    message = "used before, for another request"
    with pytest.raises(RequestError, match=message):
        find_logged(log, other)
    with pytest.raises(RequestError, match=message):
        record_verdicts(log, other, [basis()], [verdict(basis(), image="b")])
    with pytest.raises(RequestError, match=message):
        record_refusal(log, other, "image", ImageError("damaged"))
    assert count(log, submissions, decisions, quarantine, outbox) == [1, 1, 0, 2]


@pytest.mark.parametrize(
    "error",
    [
        ImageError("it is damaged \0 \ud800", f"https://{HOST}/a.jpg", "Send another"),
        PolicyError([("a.yaml", 3, 4, "wrong", "Fix it")]),
        LogUnavailable("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_quarantined_request_gets_the_same_error_each_time(
    log: DecisionLog, error: ImageError
) -> None:
    first = quarantined(record_refusal(log, submission(), "image", error, deliveries=2, retries=3))
    again = quarantined(answer_to(log))
    assert (again.quarantine_id, again.reason) == (first.quarantine_id, "image")
    assert type(again.error) is type(error)
    assert again.error.args == error.args
    late = record_verdicts(log, submission(), [basis()], [verdict(basis())])
    assert quarantined(late).quarantine_id == first.quarantine_id
    assert count(log, submissions, quarantine, decisions, policies, outbox) == [1, 1, 0, 0, 2]


def test_an_error_whose_class_is_gone_keeps_its_words(log: DecisionLog) -> None:
    record_refusal(log, submission(), "fault", ImageError("what", "where", "remedy"))
    with log.database.writing() as connection:
        connection.execute(text("UPDATE quarantine SET error_type = 'OldError'"))
    answer = quarantined(answer_to(log))
    assert answer.error.args == ("what", "where", "remedy")


def test_a_released_request_is_decided_again_and_leaves_its_history(log: DecisionLog) -> None:
    entry = quarantined(record_refusal(log, submission(), "unavailable", ImageError("gone")))
    assert log.release(entry.quarantine_id) == "r1"
    assert answer_to(log) is None
    for end in (log.release, log.drop):
        with pytest.raises(RequestError, match="was released or dropped before"):
            end(entry.quarantine_id)
        with pytest.raises(RequestError, match="nothing in quarantine is called none"):
            end("none")
    decide_one(log)
    assert count(log, submissions, quarantine, decisions) == [1, 1, 1]


def test_a_dropped_request_keeps_its_answer(log: DecisionLog) -> None:
    entry = quarantined(record_refusal(log, submission(), "image", ImageError("damaged")))
    log.drop(entry.quarantine_id)
    again = quarantined(answer_to(log))
    assert again.quarantine_id == entry.quarantine_id
    with pytest.raises(RequestError, match="was released or dropped before"):
        log.release(entry.quarantine_id)


def test_each_endpoint_gets_a_webhook_that_holds_the_answer(log: DecisionLog) -> None:
    answer = decide_one(log)
    record_refusal(
        log, submission("r2"), "image", ImageError("it is damaged", "image", "Send another")
    )
    with log.engine.connect() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.created_at)).all()
    assert sorted(row.endpoint for row in rows[:2]) == list(ENDPOINTS)
    assert len({row.id for row in rows}) == 4
    assert all(row.id.startswith("msg_") and row.next_attempt_at == row.created_at for row in rows)
    sent, refused = json.loads(rows[0].payload), json.loads(rows[2].payload)
    assert sent["type"] == "moderation.decided"
    assert datetime.fromisoformat(sent["timestamp"]) == rows[0].created_at
    assert sent["timestamp"].endswith("Z")
    assert sent["data"]["verdicts"] == [answer.verdicts[0].model_dump(mode="json")]
    assert refused["type"] == "moderation.quarantined"
    assert refused["data"] == {
        "request_id": "r2",
        "reason": "image",
        "error": {
            "type": "ImageError",
            "what": "it is damaged",
            "where": "image",
            "remedy": "Send another",
        },
    }


def test_threads_with_one_request_end_with_one_answer(log: DecisionLog) -> None:
    bases = [basis(), basis(OTHER)]
    asked = submission(policies=["weapons", "other"])

    def act(number: int) -> Decided:
        order = bases if number % 2 else bases[::-1]
        verdicts = [verdict(one, seed=number, seconds=float(number)) for one in order]
        return decided(record_verdicts(log, asked, order, verdicts))

    answers = at_once(32, act)
    assert all(answer == answers[0] for answer in answers)
    assert find_logged(log, asked) == answers[0]
    assert count(log, submissions, decisions, outbox) == [1, 2, 2]


def test_threads_with_one_image_end_with_one_decision(log: DecisionLog) -> None:
    bases = [basis(OTHER, frames=frames) for frames in range(1, 5)] + [basis()]

    def act(number: int) -> Decided:
        order = bases if number % 2 else bases[::-1]
        name = f"r{number}"
        verdicts = [verdict(one, request_id=name, seed=number) for one in order]
        return decided(record_verdicts(log, submission(name), order, verdicts))

    answers = at_once(32, act)
    found = {
        (one.decision_id, one.model_copy(update={"request_id": ""}).model_dump_json())
        for answer in answers
        for one in answer.verdicts
    }
    assert len(found) == len(bases)
    assert count(log, submissions, decisions, outbox) == [32, len(bases), 64]


def test_answers_of_both_kinds_at_once_end_with_one_of_them(log: DecisionLog) -> None:
    def act(number: int) -> str:
        if number % 2:
            answer = record_verdicts(log, submission(), [basis()], [verdict(basis())])
        else:
            answer = record_refusal(log, submission(), "fault", ImageError("failed"))
        return type(answer).__name__

    kinds = set(at_once(16, act))
    assert len(kinds) == 1
    assert count(log, submissions, outbox) == [1, 2]


_PROCESS = """
import sys
from moderation.decision_log.log import open_log
from moderation.settings import load_settings
from tests.support.decision_samples import OTHER, basis, record_verdicts, submission, verdict

settings = load_settings(database_url=sys.argv[1], callback_urls="https://a.example/hook")
print("ready", flush=True)
sys.stdin.readline()
with open_log(settings) as log:
    for number in range(40):
        name = f"r{number}"
        bases = [basis(), basis(OTHER)]
        verdicts = [verdict(one, request_id=name, image=str(number // 2)) for one in bases]
        answer = record_verdicts(log, submission(name, image=str(number // 2)), bases, verdicts)
        print(*[one.decision_id for one in answer.verdicts])
"""


def _workers(url: str, number: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PROCESS, url]
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        for _ in range(number)
    ]


def _begin(process: subprocess.Popen[str]) -> None:
    """Lets a worker open the log, once it is ready."""
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_workers_that_start_at_once_make_the_tables_once_and_agree(database_url: str) -> None:
    running = _workers(database_url, 5)
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:  # only now does any of them open the log
        _begin(process)
    printed = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 5, printed
    assert len({output for output, _ in printed}) == 1
    with open_log(load_settings(database_url=database_url)) as log:
        assert count(log, submissions, decisions, outbox) == [40, 40, 40]


def test_a_worker_that_is_killed_leaves_whole_answers(database_url: str) -> None:
    with open_log(load_settings(database_url=database_url)) as log:
        [process] = _workers(database_url, 1)
        _begin(process)
        assert process.stdout
        for _ in range(10):
            process.stdout.readline()
        process.kill()
        process.communicate()
        whole, linked, announced = count(log, submissions, submission_decisions, outbox)
        assert whole >= 9
        assert (linked, announced) == (2 * whole, whole)


def test_no_image_and_no_secret_of_a_url_gets_into_the_database(
    log: DecisionLog, database_url: str
) -> None:
    decide_one(log)
    photo = base64.b64encode(b"the very bytes of a photograph").decode()
    message = {"request_id": "r3", "image": {"bytes": photo}, "policies": ["weapons"]}
    sent = read_arrived_request(message, Arrival("task", "interactive")).submission
    record_verdicts(log, sent, [basis()], [verdict(basis(), request_id="r3", image="b")])
    record_refusal(log, submission("r2"), "image", ImageError("damaged"))
    content = _everything_in(log, database_url)
    assert HOST.encode() in content
    assert b"r3" in content
    for secret in ("hunter2", "hunter3", "hunter4", photo, "the very bytes"):
        assert secret.encode() not in content


def _everything_in(log: DecisionLog, url: str) -> bytes:
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    with log.engine.connect() as connection:
        rows: list[Any] = []
        for table in metadata.sorted_tables:
            rows += connection.execute(text(f"SELECT t::text FROM {table.name} t")).all()
    return repr(rows).encode()
