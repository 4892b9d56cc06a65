"""The benchmark of growth: its fit on made-up data, and a whole run at small sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import measure, write
from benchmarks.growth_dataset import Budget, _over_budget
from benchmarks.growth_points import Point, Skipped, fit, steps

QUANTITIES = {"labels": 5, "policies": 3, "queue": 4, "dataset": 5}


@pytest.mark.parametrize("power", [1, 2])
def test_the_fit_finds_the_power(power: int) -> None:
    sizes = steps(10, 10_000, 4)
    rng = np.random.default_rng(3)
    values = [3e-6 * size**power * rng.uniform(0.98, 1.02) for size in sizes]
    found = fit(sizes, values)
    assert found.slope == pytest.approx(power, abs=0.05)
    assert abs(found.slope - power) < found.error + 0.01
    assert found.verdict == ("at most linear" if power == 1 else "more than linear")


def test_the_line_has_a_fixed_part_and_one_for_each() -> None:
    sizes = steps(1, 1000, 5)
    found = fit(sizes, [0.5 + 0.02 * size for size in sizes])
    assert (found.fixed, found.each) == pytest.approx((0.5, 0.02))


def test_noise_alone_shows_nothing() -> None:
    assert fit([100, 300, 1000], [1.0, 30.0, 32.0]).verdict == "not shown"


def test_what_takes_no_measurable_time_does_not_grow() -> None:
    found = fit([1, 10, 100, 1000], [0.0] * 4)
    assert found.slope == pytest.approx(0.0)
    assert found.verdict == "at most linear"


def test_one_point_has_no_slope() -> None:
    with pytest.raises(ValueError, match="no slope"):
        fit([10], [1.0])


def test_sizes_are_evenly_spaced_and_hold_both_ends() -> None:
    assert steps(1, 1000, 1) == [1, 10, 100, 1000]
    assert steps(2, 2000, 5)[0] == 2
    assert steps(2, 2000, 5)[-1] == 2000


@pytest.mark.slow
def test_a_small_run_from_measuring_to_files(tmp_path: Path) -> None:
    ranges = {"labels": (2, 20), "policies": (1, 2), "queue": (1, 50), "dataset": (100, 200)}
    found = list(measure(ranges, 1, Budget(seconds=600.0, memory=2e9)))
    assert not [point for point in found if isinstance(point, Skipped)]
    write(found, 1, out=tmp_path, json_file=tmp_path / "growth.json")
    kept = json.loads((tmp_path / "growth.json").read_text())
    for axis, quantities in QUANTITIES.items():
        assert sum(one["axis"] == axis for one in kept["growth"]) == quantities
    assert all(point["value"] > 0 for point in kept["points"])
    picture = (tmp_path / "growth.svg").read_bytes()
    write(found, 1, out=tmp_path, json_file=None)
    assert (tmp_path / "growth.svg").read_bytes() == picture


@pytest.mark.slow
def test_a_size_that_would_take_too_much_is_left_out() -> None:
    found = list(measure({"dataset": (100, 100_000)}, 1, Budget(seconds=1e9, memory=2e9)))
    assert {
        (one.size, one.why.split(" about ")[0]) for one in found if isinstance(one, Skipped)
    } == {(100_000, "would take")}
    assert {one.size for one in found if isinstance(one, Point)} == {100}


def test_what_a_size_would_take_is_estimated_from_a_smaller_one() -> None:
    took = {"read": 0.02, "memory, read": 3e6}
    assert _over_budget(100, took, 1000, Budget(seconds=1.0, memory=1e8)) is None
    assert _over_budget(100, took, 10_000, Budget(seconds=1.0)) == "would take about 2 s"
    assert _over_budget(100, took, 10_000, Budget(memory=1e8)) == "would take about 0.3 GB"
