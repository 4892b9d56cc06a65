"""The chaos benchmark: its ledger on logs that are wrong, and a whole short run."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text

from moderation.decision_log.tables import metadata
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import ImageError
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import Preprocessing
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand
from moderation.queue.packed_message import pack_message
from moderation.scoring.conditions import Conditions
from moderation.settings import load_settings
from tests.chaos.faults import FAULTS, GARBAGE, schedule
from tests.chaos.images import HOSTILE, Photographs
from tests.chaos.ledger import Ledger, count_final, logged_among, reckon
from tests.chaos.load import AcceptedRequest, CollectedAnswer
from tests.chaos.target import held_messages
from tests.conftest import ROOT
from tests.support.database_servers import find_programs
from tests.support.waiting import PATIENCE_SECONDS

IMAGE, OTHER = "1" * 64, "2" * 64
WEAPONS = AcceptedRequest("w", IMAGE, ("weapons",))
PRIVACY = AcceptedRequest("p", OTHER, ("weapons", "privacy"))
HOSTILE_ONE = AcceptedRequest("h", "", ("weapons",), "noise")
ACCEPTED = [WEAPONS, PRIVACY, HOSTILE_ONE]


@pytest.fixture
def log() -> Iterator[Engine]:
    """A log that holds what it should, in tables that refuse nothing."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            columns = ", ".join(column.name for column in table.columns)
            connection.execute(text(f"CREATE TABLE {table.name} ({columns})"))
    for row in (("d1", IMAGE, "weapons"), ("d2", OTHER, "weapons"), ("d3", OTHER, "privacy")):
        _decision(engine, *row)
    for name, outcome in (("w", "decided"), ("p", "decided"), ("h", "quarantined")):
        _insert(engine, "submissions", request_id=name, outcome=outcome)
    for name, position, decision in (("w", 0, "d1"), ("p", 0, "d2"), ("p", 1, "d3")):
        _link(engine, name, position, decision)
    _quarantine(engine, "q1", "h")
    yield engine
    engine.dispose()


def _insert(engine: Engine, table: str, **row: Any) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def _decision(engine: Engine, name: str, image: str, policy: str) -> None:
    verdict = json.dumps({"policy": policy, "action": "block", "request_id": "first"})
    what = {"image_sha256": image, "policy_sha256": policy, "policy_id": policy}
    how = {
        "model_fingerprint": "m",
        "preprocessing": "p",
        "conditions": Conditions().text,
    }
    _insert(engine, "decisions", id=name, verdict=verdict, **what, **how)


def _link(engine: Engine, name: str, position: int, decision: str) -> None:
    row = {"request_id": name, "position": position, "decision_id": decision}
    _insert(engine, "submission_decisions", **row)


def _quarantine(engine: Engine, name: str, request_id: str, **row: Any) -> None:
    known = {"reason": "image", "error_type": "ImageError"}
    _insert(engine, "quarantine", id=name, request_id=request_id, **known, **row)


def _delete(engine: Engine, where: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {where}"))


def _verdict(policy: str, decision: str, action: str = "block") -> dict[str, Any]:
    return {"policy": policy, "action": action, "decision_id": decision, "request_id": "own"}


def test_a_log_with_one_answer_each_is_clean(log: Engine) -> None:
    answers = {
        "w": CollectedAnswer((_verdict("weapons", "d1"),)),
        "p": CollectedAnswer((_verdict("weapons", "d2"), _verdict("privacy", "d3"))),
        "h": CollectedAnswer((), "ImageError"),
    }
    found = reckon(log, ACCEPTED, answers)
    assert found.ledger == Ledger(submitted=3, decided=2, quarantined=1, lost=0, duplicated=0)
    assert found.is_clean
    assert found.quarantined == {"image": 1}
    assert count_final(log, ACCEPTED) == 3


def test_a_request_without_a_row_is_lost(log: Engine) -> None:
    _delete(log, "submissions WHERE request_id = 'w'")
    _delete(log, "submission_decisions WHERE request_id = 'w'")
    found = reckon(log, ACCEPTED, {})
    assert found.ledger == Ledger(submitted=3, decided=1, quarantined=1, lost=1, duplicated=0)
    assert found.findings == {"lost": {"no answer": ["w"]}}
    assert count_final(log, ACCEPTED) == 2


Findings = dict[str, dict[str, list[str]]]
_TWICE: Findings = {"duplicated": {"more than one decision": [f"{IMAGE} weapons"]}}
_TOO_MANY: Findings = {
    "duplicated": {"more decisions than policies": ["w"]},
    "wrong": {"decided on another image": ["w"]},
}


@pytest.mark.parametrize(
    ("change", "sums", "findings"),
    [
        (
            lambda log: _delete(log, "submission_decisions WHERE decision_id = 'd3'"),
            (1, 0),
            {"lost": {"a verdict without all of its decisions": ["p"]}},
        ),
        (
            lambda log: _delete(log, "quarantine"),
            (1, 0),
            {"lost": {"quarantined without a row there": ["h"]}},
        ),
        (
            lambda log: _insert(log, "submissions", request_id="w", outcome="decided"),
            (0, 1),
            {"duplicated": {"more than one answer": ["w"]}},
        ),
        (
            lambda log: _quarantine(log, "q2", "w"),
            (0, 1),
            {"duplicated": {"a verdict and quarantine": ["w"]}},
        ),
        (
            lambda log: _quarantine(log, "q2", "w", released_at="2026-01-01"),
            (0, 0),
            {},
        ),
        (
            lambda log: _quarantine(log, "q2", "h"),
            (0, 1),
            {"duplicated": {"more than once in quarantine": ["h"]}},
        ),
        (lambda log: _decision(log, "d4", IMAGE, "weapons"), (0, 1), _TWICE),
        (lambda log: _link(log, "w", 1, "d2"), (0, 1), _TOO_MANY),
    ],
    ids=[
        "a policy without a decision",
        "quarantined without a row there",
        "two rows of one request",
        "a verdict and open quarantine",
        "released before the verdict",
        "twice in quarantine",
        "a second decision on one basis",
        "more decisions than policies",
    ],
)
def test_what_is_wrong_in_the_log_is_counted_and_named(
    change: Callable[[Engine], None], sums: tuple[int, int], findings: Findings, log: Engine
) -> None:
    change(log)
    found = reckon(log, ACCEPTED, {})
    assert (found.ledger.lost, found.ledger.duplicated) == sums
    assert found.findings == findings
    assert found.is_clean == (not findings)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("w", CollectedAnswer((_verdict("weapons", "d1", "pass"),))),
        ("w", CollectedAnswer((_verdict("weapons", "another"),))),
        ("w", CollectedAnswer((), "ImageError")),
        ("h", CollectedAnswer((), "ModelError")),
        ("h", CollectedAnswer((_verdict("weapons", "d1"),))),
    ],
)
def test_a_host_that_got_something_other_than_the_log_says_is_noticed(
    name: str, answer: CollectedAnswer, log: Engine
) -> None:
    found = reckon(log, ACCEPTED, {name: answer})
    assert (found.ledger.lost, found.ledger.duplicated) == (0, 1)
    assert found.findings == {"duplicated": {"the host got something else": [name]}}


def test_a_verdict_on_a_hostile_image_is_wrong(log: Engine) -> None:
    accepted = [WEAPONS._replace(hostile="noise"), PRIVACY, HOSTILE_ONE]
    assert reckon(log, accepted, {}).findings == {"wrong": {"decided although hostile": ["w"]}}


def test_an_answer_has_one_webhook_where_they_are_sent(log: Engine) -> None:
    for name in ("w", "p", "p"):
        _insert(log, "outbox", request_id=name)
    assert reckon(log, ACCEPTED, {}).is_clean
    found = reckon(log, ACCEPTED, {}, webhooks=True).findings
    assert found == {"wrong": {"not one webhook": ["h", "p"]}}


def test_each_kind_of_fault_happens_so_many_times_in_an_order_that_the_seed_gives() -> None:
    plan = schedule(3, 2.0, random.Random(1))
    assert Counter(kind for _, kind in plan) == dict.fromkeys(FAULTS, 3)
    assert plan == schedule(3, 2.0, random.Random(1)) != schedule(3, 2.0, random.Random(2))
    times = [due for due, _ in plan]
    assert times == sorted(times)
    assert times[-1] <= 2.0 * len(plan)


def test_the_images_of_the_load_all_differ_and_the_hostile_ones_are_refused() -> None:
    photographs = Photographs(seed=1)
    cuts = [photographs.cut(number) for number in range(60)]
    assert len(set(cuts)) == 60
    assert cuts[7] == Photographs(seed=1).cut(7)
    small = Preprocessing(
        resize=32, crop=(32, 32), resample="bicubic", scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    limits = DecodeLimits(50_000_000, 1, PATIENCE_SECONDS)
    with DecoderPool(1, limits) as pool, DecoderPool(1, limits._replace(seconds=1.0)) as hasty:
        assert pool.sights(cuts[0], [small])[0].squares.shape == (1, 32, 32, 3)
        for kind, make in HOSTILE.items():
            assert make(1) != make(2)
            with pytest.raises(ImageError):
                (hasty if kind == "slow" else pool).sights(make(1), [small])


def test_requests_are_found_that_have_a_row_in_the_log(log: Engine) -> None:
    assert logged_among(log, ["w", "h", "another"]) == {"w", "h"}
    assert logged_among(log, []) == set()


def test_what_is_in_hand_is_known_with_its_queue_and_its_worker(server: EmbeddedRedis) -> None:
    settings = load_settings(broker_url=server.url)
    with connect(settings) as connection:
        waiting = {
            queue: pack_message(TASK_NAME, f"a-{queue}", {}, QUEUES[queue]) for queue in QUEUES
        }
        for queue, message in waiting.items():
            connection.lpush(QUEUES[queue], message)
        connection.lpush(QUEUES["bulk"], b"garbage")
        with closing(Hand(connection, settings, worker="worker-1-a2", queues=[*QUEUES])) as hand:
            hand.take(3, 10**6)
        found = {held.request_id: held for held in held_messages(connection)}
    assert found.keys() == {"a-interactive", "a-bulk", ""}
    assert found["a-interactive"] == (
        "worker-1-a2",
        QUEUES["interactive"],
        waiting["interactive"].encode(),
    )
    assert found["a-bulk"].queue == found[""].queue == QUEUES["bulk"]
    assert found["a-bulk"].is_of("worker-1")
    assert not found["a-bulk"].is_of("worker-11")


def test_garbage_is_made_of_every_kind() -> None:
    made = {kind: make() for kind, make in GARBAGE.items()}
    assert len(set(made.values())) == len(GARBAGE)
    assert b"python-serialize" in made["pickled"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which PostgreSQL's user can work; pytest's own folders are closed to it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.timeout(900)  # a minute where nothing else runs
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_short_run_loses_nothing_and_leaves_nothing_behind(
    database: str, open_folder: Path
) -> None:
    if database == "postgresql" and find_programs() is None:
        pytest.skip("PostgreSQL is not installed here")
    measured = open_folder / "chaos.json"
    options = ["--submissions", "160", "--faults", "1", "--spacing", "2", "--database", database]
    ended = subprocess.run(
        [sys.executable, "benchmarks/chaos.py", *options, "--json", str(measured)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(open_folder)},
        capture_output=True,
        text=True,
    )
    assert measured.exists(), ended.stderr
    found = json.loads(measured.read_text())
    ledger = found["ledger"]
    assert (ledger["lost"], ledger["duplicated"]) == (0, 0), ended.stdout
    assert (
        ledger["submitted"] == ledger["decided"] + ledger["quarantined"] == 160 + len(HOSTILE) + 1
    )
    assert found["faults"] == dict.fromkeys(FAULTS, 1)
    _assert_moments_met({fault["kind"]: fault["detail"] for fault in found["fault_log"]})
    assert found["poison_messages"] == dict.fromkeys(GARBAGE, 1)
    assert found["left_behind"] == []
    assert ended.returncode == 0, ended.stdout
    assert list(open_folder.iterdir()) == [measured]
    assert _processes_below(open_folder) == []


def _assert_moments_met(details: dict[str, str]) -> None:
    """The kills of one moment of a batch hit it."""
    number = r"[1-9]\d*"
    assert re.search(rf": {number} in hand, 0 of them logged", details["kill-after-taking"])
    assert re.search(rf": {number} in hand, {number} of them logged", details["kill-before-answer"])


def _processes_below(folder: Path) -> list[str]:
    """Returns the processes whose temporary folder is in this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
    return found
