"""The record of gates: a file to which runs are added whole, by several at once, and never lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from audit.commands.app import app
from audit.errors import AuditError
from audit.gate.runs import GateRun, open_record, read_runs
from tests.conftest import ROOT
from tests.support.command_line import python, unframed
from tests.support.gate_runs import gate_run

RUNS = [gate_run(gate=name) for name in "ab"]


def _write(path: Path, runs: list[GateRun]) -> None:
    for run in runs:
        with open_record(path) as record:
            record.append(run)


def test_a_record_has_one_whole_line_for_each_run(tmp_path: Path) -> None:
    path = tmp_path / "my.gates.jsonl"
    _write(path, RUNS)
    assert read_runs(path) == RUNS
    content = path.read_bytes()
    assert content.count(b"\n") == 2
    _write(path, [gate_run(gate="c", dataset="a\u2028b\nc")])
    assert path.read_bytes().startswith(content)
    assert path.read_bytes().isascii()
    assert read_runs(path)[2].dataset == "a\u2028b\nc"


@pytest.mark.parametrize(
    ("damage", "line", "what", "remedy"),
    [
        (lambda text: text[:-20], 2, "this last line has no end", "Delete the line"),
        (lambda text: text[:-1], 2, "this last line has no end", "Delete the line"),
        (lambda text: b"<<<<<<< ours\n" + text, 1, "this line is not the run", "lines of both"),
        (lambda text: text + b"\n", 3, "this line is not the run", "back as it was"),
        (lambda text: text.replace(b'"n": 700', b'"n": "?"', 1), 1, "n: Input", "back as it was"),
        (lambda text: text.replace(b'"n"', b'"m"'), 1, "this line is not the run", "as it was"),
        (lambda text: b"\xff" + text, 1, "this line is not the run", "back as it was"),
    ],
)
def test_a_damaged_record_is_refused_with_the_place_and_left_as_it_is(
    tmp_path: Path, damage: object, line: int, what: str, remedy: str
) -> None:
    path = tmp_path / "my.gates.jsonl"
    _write(path, RUNS)
    assert callable(damage)
    path.write_bytes(damaged := damage(path.read_bytes()))
    for attempt in (lambda: read_runs(path), lambda: _write(path, RUNS)):
        with pytest.raises(AuditError) as caught:
            attempt()
        assert caught.value.where == f"{path}:{line}"
        assert what in caught.value.what
        assert remedy in caught.value.remedy
    assert path.read_bytes() == damaged


def test_a_place_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "no" / "x.jsonl", tmp_path / "file" / "x.jsonl"):
        with pytest.raises(AuditError, match=r"cannot be written: .*--record FILE") as caught:
            _write(path, RUNS)
        assert caught.value.where == str(path)
        with pytest.raises(AuditError, match="cannot be read"):
            read_runs(path)


def test_what_keeps_nothing_that_is_written_is_no_record(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path(os.devnull), tmp_path / "pipe"):
        with pytest.raises(AuditError, match="it is not a file that keeps what is written"):
            _write(path, RUNS)


FULL = """
import resource, sys
from pathlib import Path
from audit.errors import AuditError
from audit.gate.runs import open_record, read_runs
path = Path(sys.argv[1])
[run] = read_runs(path)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
try:
    with open_record(path) as record:
        record.append(run)
except AuditError as error:
    print(error)
"""


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "my.gates.jsonl"
    _write(path, RUNS[:1])
    before = path.read_bytes()
    assert "the record cannot be written" in python(FULL, str(path)).stdout
    assert path.read_bytes() == before


MANY = """
import sys
from pathlib import Path
from audit.gate.runs import GateRun, open_record
run = GateRun.model_validate_json(sys.argv[2])
for _ in range(20):
    with open_record(Path(sys.argv[1])) as record:
        record.append(run.model_copy(update={"n": len(record.runs)}))
"""


def test_gates_at_once_take_turns_and_lose_no_run(tmp_path: Path) -> None:
    path = tmp_path / "my.gates.jsonl"
    words = [sys.executable, "-c", MANY, str(path), RUNS[0].model_dump_json()]
    started = [subprocess.Popen(words, cwd=ROOT, env={**os.environ}) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    # Each saw all runs before its own.
    assert [run.n for run in read_runs(path)] == list(range(40))


def test_the_record_is_shown_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "my.gates.jsonl"
    _write(path, [*RUNS, gate_run(gate="a", figures_shown=True, answer="fail")])
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["gates", str(path)]).stdout
    rows = [line.split("  ") for line in shown.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows if len(row) > 1]
    assert cells[0] == ["time", "policy", "dataset", "gate", "level", "answer", "figures"]
    assert [row[3:] for row in cells[-3:]] == [
        ["1", "97.5 %, spent", "no pass"],
        ["2", "97.5 %, spent", "no pass"],
        ["1", "95 %", "fail", "shown"],
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--record", "beside"], "is a shipped policy, which has nothing beside it"),
        (["--spend"], "is in a record: name one"),
        (["--show-figures"], "is in a record: name one"),
    ],
)
def test_a_record_that_cannot_be_kept_is_wrong_usage(
    tmp_path: Path, words: list[str], said: str
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("schema_version: 1\nsensitive_features: [race]\ngap: 0.1\n")
    gate = ["gate", "--policy", "weapons", "--limits", str(limits), "-d", str(tmp_path), *words]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, gate)
    assert done.exit_code == 2
    assert said in unframed(done.stderr)
