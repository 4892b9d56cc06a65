"""`audit run | compare | gate --predictions` in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.prediction_files import real_predictions, write_columns

pytestmark = pytest.mark.slow


def audit(*words: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Returns the finished `audit WORDS`; its tables are wide."""
    done = subprocess.run(
        [sys.executable, "-m", "audit", *words],
        env={**os.environ, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Returns a log of decisions of two systems, of which the new one blocks more Female."""
    n = 4_000
    path = write_columns(
        tmp_path / "log.parquet",
        id=[f"r{i}" for i in range(n)],
        gender=["Female", "Male"] * (n // 2),
        old=["block" if i % 50 == 0 else "allow" for i in range(n)],
        new=[i % 50 == 0 or i % 10 == 2 for i in range(n)],
    )
    return str(path)


def test_run_reports_whom_a_system_flags(log: str, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = audit("run", "--predictions", log, "--decision", "new", "--out", str(out))
    said = "By gender, Female is flagged more often than all others: 480 of 2,000 images against 0"
    assert done.stdout.startswith(said)
    assert "4,000 images in 3 rows that differ; systems: new" in done.stderr
    assert "The groups of gender were looked at, and those of id, old not" in done.stderr
    assert json.loads((out / "results.json").read_text())["header"]["model"] is None


def test_compare_says_what_changes_for_whom(log: str) -> None:
    done = audit(
        "compare",
        *("--predictions", log, "--decision", "old", "--decision", "new", "--by", "gender"),
        *("--format", "json"),
    )
    results = json.loads(done.stdout)
    assert [policy["kind"] for policy in results["header"]["policies"]] == ["decisions"] * 2
    [whole] = [
        row
        for row in results["shifts"]
        if row["by"] == "overall" and row["metric"] == "selection_rate"
    ]
    assert (whole["before_policy"], whole["after_policy"]) == ("old", "new")
    assert (whole["entered"], whole["left"]) == (400, 0)


def test_gate_checks_a_system_by_its_name(log: str, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("schema_version: 1\nsensitive_features: [gender]\nregression: 0.05\n")
    record = tmp_path / "gates.jsonl"
    words = (
        "--limits",
        str(limits),
        "--predictions",
        log,
        "--decision",
        "old",
        "--decision",
        "new",
    )
    done = audit(
        "gate", "--policy", "new", "--baseline", "old", *words, "--record", str(record), code=1
    )
    assert "Fail: the system is shown to break a limit" in done.stdout
    assert json.loads(record.read_text())["policy"] == "new"
    audit("gate", "--policy", "old", "--baseline", "new", *words)
    shown = audit("gates", str(record)).stdout
    assert "predictions:log (4,000 images)" in shown
    done = audit("gate", "--policy", "newer", "--baseline", "old", *words, code=2)
    assert "no system is called newer. There are: old, new" in done.stderr
    done = audit("gate", "--policy", "old", "--baseline", "old", *words, code=2)
    assert "old is its own baseline" in done.stderr
    done = audit(
        "gate", "--policy", "new", "--baseline", "old", *words, "--record", "beside", code=2
    )
    assert "a system has no file to be beside: name a file" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "weapons"), "Invalid value for --predictions"),
        (("run", "--dataset", "."), "Invalid value for --dataset"),
        (("run", "--near-duplicates", "0.9"), "Invalid value for --near-duplicates"),
        (("run", "--model", "starter"), "Invalid value for --model"),
        (("compare",), "name two systems or more"),
    ],
)
def test_options_of_images_are_refused(words: tuple[str, ...], said: str, log: str) -> None:
    done = audit(*words, "--predictions", log, "--decision", "new", code=2)
    assert said.replace("--predictions", "POLICY") in done.stderr


def test_options_of_predictions_are_refused_without_them() -> None:
    done = audit("run", "weapons", "--dataset", ".", "--decision", "new", code=2)
    assert "Invalid value for --decision" in done.stderr
    assert "name their file with --predictions" in " ".join(done.stderr.split())
    assert "name one or more, or --predictions" in audit("run", code=2).stderr
    assert "name a dataset" in audit("run", "weapons", "--model", "starter", code=2).stderr


def test_a_model_named_for_all_audits_does_not_matter(log: str) -> None:
    words = ("run", "--predictions", log, "--decision", "new", "--by", "gender")
    audit(*words, AUDIT_MODEL="starter", MODERATION_DTYPE="float32")


def test_many_systems_are_printed_a_row_each(tmp_path: Path) -> None:
    n = 400
    scores = {f"s{i}": [(k * (i + 3)) % 10 / 10 for k in range(n)] for i in range(8)}
    path = write_columns(tmp_path / "p.csv", g=["a", "b"] * (n // 2), **scores)
    done = audit("run", "--predictions", str(path), "--score", "s*@0.5", "--by", "g")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["system", "overall", "g", "a", "g", "b"] in lines
    [row] = [line for line in lines if line[:1] == ["1"]]
    counted = sum(score >= 0.5 for score in scores["s1"])
    assert row[1:4] == [str(counted), "of", str(n)]
    assert "Under 0, 1, 2, 3, 4, 5 and 2 more: an image is flagged where its score" in done.stdout
    assert "Scores flag from their threshold on, as no --flag is given." in done.stderr


def test_a_file_may_be_called_by_a_key(log: str) -> None:
    done = audit(
        *("compare", "--predictions", f"a={log}", "--predictions", f"b={log}"),
        *("--decision", "one=a:old", "--decision", "two=b:new", "--column", "id=id"),
        *("--by", "gender"),
    )
    assert "systems: one, two" in done.stderr


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["a", ""], d=["maybe", "block"])
    done = audit("run", "--predictions", str(path), "--decision", "d", "--by", "g", code=2)
    assert "d says 'maybe', which is not a known decision (row 2)" in done.stderr
    assert "g is empty (row 3)" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_real_predictions_take_little_memory() -> None:
    path, _ = real_predictions()
    # Not getrusage, which also has what the process that started this one ever took.
    program = (
        "import sys; sys.argv[0] = 'audit'; import audit.__main__ as m\n"
        "try: m.main()\n"
        "finally: print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0], "
        "file=sys.stderr)"
    )
    words = [
        *("--said", "label_*", "--implies", "*=@gender_*", "--truth-column", "gender"),
        *("--column", "id=file", "--by", "race", "--by", "age"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--predictions", str(path), *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert int(done.stderr.split()[-1]) < 600_000  # KiB
    assert "481 of 10,954" in done.stdout
