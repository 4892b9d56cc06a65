"""How well a dataset covers its groups: balance, remarks on sizes, small groups."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from audit.datasets.coverage import coverage
from audit.datasets.dataset import Dataset


def of_sizes(*sizes: int) -> Dataset:
    """Returns a dataset with groups of these sizes."""
    groups = [f"group {i}" for i, size in enumerate(sizes) for _ in range(size)]
    names = [f"{number}.png" for number in range(len(groups))]
    table = pd.DataFrame({"image_id": names, "y_true": None, "race": groups}, dtype=object)
    return Dataset("n", "a", Path("p"), table, tuple(map(Path, names)), ("race",))


@pytest.mark.parametrize(
    ("sizes", "warning"),
    [
        ((125, 100), None),
        ((126, 100), "race is not balanced: group 0 has 126, group 1 has 100"),
        ((201, 100), "race is far from balanced: group 0 has 201, group 1 has 100"),
    ],
)
def test_a_feature_is_balanced_up_to_a_ratio_of_one_and_a_quarter(
    sizes: tuple[int, ...], warning: str | None
) -> None:
    warnings = list(coverage(of_sizes(*sizes), ("race",)).warnings())
    assert warnings == ([warning] if warning else [])


def test_remarks_change_at_thirty_and_at_a_hundred() -> None:
    sizes = coverage(of_sizes(29, 30, 99, 100), ("race",)).sizes
    few = "too few: no claims"
    assert [size.remark for size in sizes] == [few, "indicative", "indicative", ""]


def test_a_group_under_two_percent_is_named_and_stays() -> None:
    found = coverage(of_sizes(981, 19), ("race",))
    assert len(found.sizes) == 2
    assert any("under 2% of images: group 1 (1.9%)" in text for text in found.warnings())
    assert not any("2%" in text for text in coverage(of_sizes(980, 20), ("race",)).warnings())
