"""The benchmark of line processes: a tiny run with one and with two, and its simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.processes import ProcessesExtent, measure, print_processes, toy_settings
from benchmarks.simulated_machine import check_table, checks


def test_a_tiny_run_measures_one_process_and_two_line_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with toy_settings("sqlite", tmp_path) as settings:
        found = measure([1, 2], ProcessesExtent(1, 48, 0.1), settings, tmp_path, "small")
    one, two = found["processes"]["1"], found["processes"]["2"]
    assert min(one["images_per_second"], two["images_per_second"]) > 0
    assert min(one["memory_mb"], one["ready_seconds"], two["ready_seconds"]) > 0
    # The second line process is not free, and no process has the model twice.
    assert one["memory_mb"] < two["memory_mb"] < 3 * one["memory_mb"]
    for part, whole in (("worker", one), ("lines", two), ("encoder", two)):
        assert whole["core_milliseconds"][part] > 0
    assert one["core_milliseconds"]["lines"] == one["core_milliseconds"]["encoder"] == 0
    print_processes(found)
    assert "line processes" in capsys.readouterr().out
    checked = list(checks(found))
    assert [(each.lines, each.measured) for each in checked] == [
        (1, one["images_per_second"]),
        (2, two["images_per_second"]),
    ]
    assert all(each.simulated > 0 for each in checked)
    assert check_table(checked).row_count == 2
