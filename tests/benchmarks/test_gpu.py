"""The benchmark of a machine with a GPU: a quick run of it on the CPU, and parts that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import GOALS, PARTS, GpuPart, reached, run_part
from benchmarks.gpu_encoder import operations
from tests.conftest import ROOT


def test_a_quick_run_measures_every_part_with_two_line_processes(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    command = [sys.executable, "benchmarks/gpu.py", "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(file.read_text())["parts"]
    rows = [row for part in parts.values() for row in part["rows"]]
    assert [row["batch"] for row in rows if "batch" in row] == [1, 4]
    [features] = [row for row in rows if "smallest_cosine" in row]
    assert features["smallest_cosine"] > 0.99
    runs = {row["images"]: row for row in rows if "share_of_decoding" in row}
    assert set(runs) == {"640x480", "eight sizes"}
    for row in runs.values():
        steps = row["core_milliseconds"]
        assert min(steps["lines"], steps["encoder"], steps["decoders"], steps["redis"]) > 0
        assert row["images_per_second"] > 0
    assert {goal.what for goal, _ in reached(rows)} == {
        goal.what for goal in GOALS if "ViT" not in goal.what
    }
    for words in ("decoding alone, 640x480", "ready after", "line processes", "eight sizes, of"):
        assert words in done.stdout


def test_no_package_is_needed_that_the_head_does_not_name() -> None:
    absent = "sys.modules |= dict.fromkeys(('pytest', 'hypothesis', 'psycopg', 'scipy', 'pandas'))"
    parts = "import benchmarks.gpu, benchmarks.gpu_encoder, benchmarks.gpu_worker"
    command = [sys.executable, "-c", f"import sys; {absent}; {parts}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_a_part_that_fails_keeps_what_it_found(tmp_path: Path) -> None:
    found = run_part(GpuPart("none", ("benchmarks.gpu_encoder", "vit-h-14"), 60.0))
    assert (found.rows, found.problem.partition(";")[0]) == ([], "ended with 2")


def test_a_part_that_takes_too_long_is_stopped_and_keeps_what_it_found() -> None:
    found = run_part(GpuPart("worker", ("benchmarks.gpu_worker", "--quick"), 0.5))
    assert found.problem == "stopped after 0.5 s"
    assert found.seconds < 30


def test_all_parts_together_take_at_most_five_minutes() -> None:
    assert sum(part.seconds for part in PARTS) <= 300


@pytest.mark.parametrize(
    ("shape", "billions"),
    # 451 TFLOP/s were 2,787 images/s of ViT-L/14.
    [("vit-b-32", 8.8), ("vit-l-14", 162)],
)
def test_the_operations_of_an_image_are_those_of_its_layers(shape: str, billions: float) -> None:
    assert operations(shape) / 1e9 == pytest.approx(billions, rel=0.01)


def test_a_goal_takes_the_best_of_its_own_rows() -> None:
    rows = [
        {"shape": "vit-b-32", "batch": 1, "milliseconds": 6.4},
        {"shape": "vit-b-32", "batch": 1, "milliseconds": 1.5},
        {"shape": "vit-b-32", "batch": 16, "milliseconds": 0.1},
        {"images": "640x480", "share_of_decoding": 0.5},
        {"images": "640x480", "share_of_decoding": 0.7},
    ]
    assert [value for _, value in reached(rows)] == [0.7, 1.5]
