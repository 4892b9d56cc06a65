"""The benchmark of what more views cost: its counts, its pictures, and a tiny run of its speed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.manipulations import jpeg
from benchmarks.random_encoder import RandomEncoder
from benchmarks.views import lookings
from benchmarks.views_coverage import PLACES, SIZE, coverage_table, panorama
from benchmarks.views_decisions import change_of, change_table
from benchmarks.views_speed import rate_table, rates
from moderation.images.looks import Looking
from moderation.images.views import picture_views


def test_each_photograph_whose_decision_changes_is_counted_once() -> None:
    before = np.array([0, 0, 1, 2, 2, 3, 3, 2], np.int8)
    now = np.array([0, 2, 3, 2, 3, 3, 2, 1], np.int8)
    change = change_of(before, now, "faces", "weapons", "frames=16 views=auto", long=3)
    assert (change.n, change.flagged_before, change.flagged) == (8, 5, 6)
    assert (change.entered, change.left, change.raised) == (2, 1, 1)
    assert change.flagged - change.flagged_before == change.entered - change.left
    low, high = change.figures["interval"]
    assert low < change.figures["change"] == 1 / 8 < high
    assert change.figures["p"] == pytest.approx(1.0)
    assert change_table([change]).row_count == 1


def test_a_panorama_has_the_photograph_at_its_place() -> None:
    red = Image.new("RGB", (100, 100), "red")
    for place in PLACES:
        picture = Image.open(io.BytesIO(panorama(red, 0.5, place, None)))
        assert picture.size == SIZE
        columns = np.flatnonzero(np.asarray(picture)[SIZE[1] // 2, :, 1] < 128)
        start = round(place * (SIZE[0] - SIZE[1] // 2))
        assert abs(int(columns[0]) - start) <= 8
        assert 134 <= len(columns) <= 166
    assert coverage_table([]).row_count == 0


def test_a_tiny_run_measures_both_sides_on_the_same_files() -> None:
    chance = np.random.default_rng(0)
    contents = {
        name: [jpeg(Image.fromarray(chance.integers(0, 255, (*size, 3), dtype=np.uint8)))]
        for name, size in {"4:3": (75, 100), "3:1": (100, 300)}.items()
    }
    before, now = lookings()
    assert (before, now) == (Looking(1, 1), Looking(16, "auto"))
    panorama_views = len(picture_views((0, 0, 300, 100), "auto"))
    found = rates("random", RandomEncoder(200), contents, (before, now), rounds=2, images=4)
    assert [(each.shape, each.looks) for each in found] == [("4:3", 1), ("3:1", panorama_views)]
    for each in found:
        assert len(each.before) == len(each.now) == len(each.ratios) == 2
        assert all(ratio > 0 for ratio in each.ratios)
    assert rate_table(found).row_count == 2
