"""`moderation decisions`, on SQLite and PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.tables import decisions, policies
from moderation.errors import ImageError
from moderation.images.rendition import RenditionFile, RenditionForm
from moderation.scoring.conditions import Conditions
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.settings import load_settings
from tests.support.command_line import moderation
from tests.support.decision_samples import (
    NOW,
    WEAPONS,
    decide_one,
    decided,
    fill,
    image_sha256,
    quarantined,
    record_refusal,
    record_verdicts,
    set_values,
    submission,
)
from tests.support.policy_texts import policy


@pytest.fixture
def log(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DecisionLog]:
    monkeypatch.setenv("MODERATION_DATABASE_URL", database_url)
    settings = load_settings(callback_urls="https://a.example/hook")
    with open_log(settings) as opened:
        yield opened


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return moderation("decisions", *words)


def test_list_shows_decisions_newest_first_by_every_filter(log: DecisionLog) -> None:
    ids = fill(log)

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
    entry = quarantined(
        record_refusal(log, submission("bad"), "image", ImageError("it is damaged"))
    )
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
    assert (rows[0]["conditions"], rows[0]["logit_bias"]) == (
        Conditions().text,
        None,
    )
    assert sorted(path.name for path in tmp_path.glob("*a.*")) == ["a.csv", "a.jsonl", "a.parquet"]


def test_export_refuses_what_it_cannot_write(log: DecisionLog, tmp_path: Path) -> None:
    for options in (["--as", "parquet"], ["-o", str(tmp_path / "none" / "a.jsonl")]):
        done = run("export", *options)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")


def test_a_replay_of_what_was_decided_differs_in_nothing(log: DecisionLog) -> None:
    ids = fill(log, 3)
    done = run("replay", "--all")
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 decided again: all as they were" in done.stderr
    assert "1 decided again" in run("replay", ids[0]).stderr
    assert "1 decided again" in run("replay", "r0").stderr
    assert "1 decided again" in run("replay", "--all", "--policy", "other").stderr


def test_a_decision_under_a_policy_with_look_alikes_or_without_later_keys_is_replayed(
    log: DecisionLog,
) -> None:
    alike = policy(scoring="contrast").model_dump(mode="json")["labels"]
    alike[0]["negatives"] = ["a toy gun", "a hair dryer"]
    for name, own in {
        "plain": policy(),
        "alike": policy(id="alike", scoring="contrast", labels=alike),
    }.items():
        decide_one(log, name, image=name, policy=own)
    done = run("replay", "--all")
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 decided again: all as they were" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("score", "a score or similarity is off by 0.25"),
        ("action", "action was "),
        ("policy", "its policy's content is not that of its hash"),
        ("column", "column action was "),
        ("prompt", "its policy has no such prompt: a kitten"),
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
    elif change == "prompt":
        stored["labels"][0]["prompt"] = "a kitten"
        set_values(log, decisions, here, verdict=stored)
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
    made: list[RenditionFile] = []
    with load_pipeline(settings, {"weapons": WEAPONS}, form=RenditionForm(side=100)) as pipeline:
        served = pipeline.served(["weapons"])
        verdicts = pipeline.moderate(content, served, request_id="r", publish=made.append)
    assert verdicts[0].rendition
    assert made  # which a replay writes nowhere
    answer = decided(
        record_verdicts(log, submission("r"), [policy.basis for policy in served], verdicts)
    )
    again = ("replay", answer.verdicts[0].decision_id or "", "--model", "starter", "--image")
    same = run(*again, str(photographs[0]), "--tolerance", "1e-4")
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    other = run(*again, str(photographs[1]))
    assert other.returncode == 2
    assert "not the image that was decided on" in other.stderr


def test_the_ledger_adds_up(log: DecisionLog) -> None:
    fill(log, 3)
    record_refusal(log, submission("bad"), "image", ImageError("damaged"))
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
