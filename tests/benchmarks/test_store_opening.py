"""The benchmark of opening a store: both ways give the same rows, at a small size."""

from __future__ import annotations

import pytest

from benchmarks.store_opening import SIDES, measure


@pytest.mark.slow
def test_both_ways_give_the_same_rows_and_each_is_measured() -> None:
    found = measure(images=3000, asked=5, runs=1)
    assert found.keys() == {"5", "3000"}
    for sides in found.values():
        assert sides.keys() == SIDES.keys()
        assert len({taken.sha256 for taken in sides.values()}) == 1
        assert all(taken.seconds > 0 and taken.peak > 1e7 for taken in sides.values())
