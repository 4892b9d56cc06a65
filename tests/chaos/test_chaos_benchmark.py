"""The chaos benchmark: its ledger on logs that are wrong, and a whole short run."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text

from moderation.decision_log.tables import metadata
from moderation.errors import ImageError
from moderation.images.decode.child import Limits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import Preprocessing
from tests.chaos.databases import find_postgresql
from tests.chaos.faults import FAULTS, GARBAGE, schedule
from tests.chaos.images import HOSTILE, Photographs, hostile
from tests.chaos.ledger import Ledger, audit, count_final
from tests.chaos.load import Accepted, Answer
from tests.conftest import ROOT
from tests.support.waiting import PATIENCE_SECONDS

IMAGE, OTHER = "1" * 64, "2" * 64
WEAPONS, PRIVACY = Accepted("w", IMAGE, ("weapons",)), Accepted("p", OTHER, ("weapons", "privacy"))
HARM = Accepted("h", "", ("weapons",), "noise")
ACCEPTED = [WEAPONS, PRIVACY, HARM]


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
    _entry(engine, "q1", "h")
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
    how = {"model_fingerprint": "m", "preprocessing": "p", "frames": 1}
    _insert(engine, "decisions", id=name, verdict=verdict, **what, **how)


def _link(engine: Engine, name: str, position: int, decision: str) -> None:
    row = {"request_id": name, "position": position, "decision_id": decision}
    _insert(engine, "submission_decisions", **row)


def _entry(engine: Engine, name: str, request_id: str, **row: Any) -> None:
    known = {"reason": "image", "error_type": "ImageError"}
    _insert(engine, "quarantine", id=name, request_id=request_id, **known, **row)


def _delete(engine: Engine, where: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {where}"))


def _told(policy: str, decision: str, action: str = "block") -> dict[str, Any]:
    return {"policy": policy, "action": action, "decision_id": decision, "request_id": "own"}


def _sums(engine: Engine, answers: dict[str, Answer] | None = None) -> tuple[int, int]:
    ledger = audit(engine, ACCEPTED, answers or {}).ledger
    return ledger.lost, ledger.duplicated


def test_a_log_with_one_answer_each_is_clean(log: Engine) -> None:
    answers = {
        "w": Answer((_told("weapons", "d1"),)),
        "p": Answer((_told("weapons", "d2"), _told("privacy", "d3"))),
        "h": Answer((), "ImageError"),
    }
    found = audit(log, ACCEPTED, answers)
    assert found.ledger == Ledger(submitted=3, decided=2, quarantined=1, lost=0, duplicated=0)
    assert found.is_clean
    assert found.quarantined == {"image": 1}
    assert count_final(log, ACCEPTED) == 3


def test_a_request_without_a_row_is_lost(log: Engine) -> None:
    _delete(log, "submissions WHERE request_id = 'w'")
    _delete(log, "submission_decisions WHERE request_id = 'w'")
    found = audit(log, ACCEPTED, {})
    assert found.ledger == Ledger(submitted=3, decided=1, quarantined=1, lost=1, duplicated=0)
    assert found.findings["lost"] == {"no answer": ["w"]}
    assert count_final(log, ACCEPTED) == 2


def test_a_verdict_that_lacks_a_policy_is_lost(log: Engine) -> None:
    _delete(log, "submission_decisions WHERE decision_id = 'd3'")
    assert _sums(log) == (1, 0)


def test_a_request_in_quarantine_without_an_entry_is_lost(log: Engine) -> None:
    _delete(log, "quarantine")
    assert _sums(log) == (1, 0)


def test_two_rows_of_one_request_are_duplicated(log: Engine) -> None:
    _insert(log, "submissions", request_id="w", outcome="decided")
    assert _sums(log) == (0, 1)


def test_a_verdict_beside_an_open_entry_of_quarantine_is_duplicated(log: Engine) -> None:
    _entry(log, "q2", "w")
    assert audit(log, ACCEPTED, {}).findings == {"duplicated": {"a verdict and quarantine": ["w"]}}


def test_an_entry_that_was_released_before_the_verdict_is_history(log: Engine) -> None:
    _entry(log, "q2", "w", released_at="2026-01-01")
    assert audit(log, ACCEPTED, {}).is_clean


def test_two_open_entries_of_one_request_are_duplicated(log: Engine) -> None:
    _entry(log, "q2", "h")
    assert _sums(log) == (0, 1)


def test_a_second_decision_on_one_image_policy_and_model_is_duplicated(log: Engine) -> None:
    _decision(log, "d4", IMAGE, "weapons")
    found = audit(log, ACCEPTED, {})
    assert found.ledger.duplicated == 1
    assert list(found.findings["duplicated"]) == ["more than one decision"]


def test_a_request_with_more_decisions_than_policies_is_duplicated(log: Engine) -> None:
    _link(log, "w", 1, "d2")
    found = audit(log, ACCEPTED, {})
    assert found.ledger.duplicated == 1
    assert found.findings["wrong"] == {"decided on another image": ["w"]}


def test_a_host_that_was_told_something_else_than_the_log_says_is_noticed(log: Engine) -> None:
    assert _sums(log, {"w": Answer((_told("weapons", "d1", "pass"),))}) == (0, 1)
    assert _sums(log, {"w": Answer((_told("weapons", "another"),))}) == (0, 1)
    assert _sums(log, {"w": Answer((), "ImageError")}) == (0, 1)
    assert _sums(log, {"h": Answer((), "ModelError")}) == (0, 1)
    assert _sums(log, {"h": Answer((_told("weapons", "d1"),))}) == (0, 1)


def test_a_verdict_on_a_hostile_image_is_wrong(log: Engine) -> None:
    accepted = [WEAPONS._replace(hostile="noise"), PRIVACY, HARM]
    assert audit(log, accepted, {}).findings == {"wrong": {"decided although hostile": ["w"]}}


def test_an_answer_has_one_webhook_where_they_are_sent(log: Engine) -> None:
    for name in ("w", "p", "p"):
        _insert(log, "outbox", request_id=name)
    assert audit(log, ACCEPTED, {}).is_clean
    found = audit(log, ACCEPTED, {}, webhooks=True).findings
    assert found == {"wrong": {"not one webhook": ["h", "p"]}}


def test_each_kind_of_fault_happens_so_many_times_in_an_order_that_the_seed_gives() -> None:
    plan = schedule(3, 2.0, random.Random(1))
    assert Counter(kind for _, kind in plan) == dict.fromkeys(FAULTS, 3)
    assert plan == schedule(3, 2.0, random.Random(1)) != schedule(3, 2.0, random.Random(2))
    times = [due for due, _ in plan]
    assert times == sorted(times)
    assert times[-1] <= 2.0 * len(plan)


def test_the_images_of_the_load_all_differ_and_those_that_mean_harm_are_refused() -> None:
    photographs = Photographs(seed=1)
    cuts = [photographs.cut(number) for number in range(60)]
    assert len(set(cuts)) == 60
    assert cuts[7] == Photographs(seed=1).cut(7)
    small = Preprocessing(
        resize=32, crop=(32, 32), resample="bicubic", scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    limits = Limits(50_000_000, 1, PATIENCE_SECONDS)
    with DecoderPool(1, limits) as pool, DecoderPool(1, limits._replace(seconds=1.0)) as hasty:
        assert pool.squares(cuts[0], [small])[0].shape == (1, 32, 32, 3)
        for kind in HOSTILE:
            assert hostile(kind, 1) != hostile(kind, 2)
            with pytest.raises(ImageError):
                (hasty if kind == "slow" else pool).squares(hostile(kind, 1), [small])


def test_garbage_is_made_of_every_kind() -> None:
    made = {kind: make() for kind, make in GARBAGE.items()}
    assert len(set(made.values())) == len(GARBAGE)
    assert b"python-serialize" in made["pickled"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder below which PostgreSQL's user can work; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.timeout(900)  # a minute where nothing else runs
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_short_run_loses_nothing_and_leaves_nothing_behind(
    database: str, open_folder: Path
) -> None:
    if database == "postgresql" and find_postgresql() is None:
        pytest.skip("PostgreSQL's programs are not here")
    measured = open_folder / "chaos.json"
    options = ["--submissions", "60", "--faults", "1", "--spacing", "2", "--database", database]
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
    assert ledger["submitted"] == ledger["decided"] + ledger["quarantined"] == 60 + len(HOSTILE) + 1
    assert found["faults"] == dict.fromkeys(FAULTS, 1)
    assert found["poison_messages"] == dict.fromkeys(GARBAGE, 1)
    assert found["left_behind"] == []
    assert ended.returncode == 0, ended.stdout
    assert list(open_folder.iterdir()) == [measured]
    assert _processes_below(open_folder) == []


def _processes_below(folder: Path) -> list[str]:
    """Returns the processes with a temporary folder below this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR", "").startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
    return found
