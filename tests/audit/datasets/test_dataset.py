"""Datasets: their hash, their groups, and the order of names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from audit.datasets.adapters.fairface import (
    AGES,
)
from audit.datasets.coded_values import natural_order
from audit.datasets.coverage import coverage
from audit.datasets.dataset import Dataset


@given(st.permutations(range(5)))
def test_the_order_of_rows_changes_neither_counts_nor_hash(order: Sequence[int]) -> None:
    cells = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"), ("e", "z")]
    table = pd.DataFrame(
        [{"image_id": name, "y_true": None, "group": group} for name, group in cells], dtype=object
    )
    dataset = Dataset("n", "a", Path("p"), table, tuple(Path(n) for n, _ in cells), ("group",))
    turned = dataset.take(np.array(order, dtype=np.intp))
    assert turned.sha256 == dataset.sha256
    assert coverage(turned, ("group",)) == coverage(dataset, ("group",))


def test_an_unknown_class_is_not_the_class_none() -> None:
    def dataset(y_true: str | None) -> Dataset:
        table = pd.DataFrame({"image_id": ["a"], "y_true": [y_true]}, dtype=object)
        return Dataset("n", "a", Path("p"), table, (Path("a"),), ())

    assert dataset(None).sha256 != dataset("None").sha256


@given(st.randoms(use_true_random=False))
def test_ages_sort_as_people_sort_them(shuffler: random.Random) -> None:
    shuffled = list(AGES)
    shuffler.shuffle(shuffled)
    assert sorted(shuffled, key=natural_order) == list(AGES)


@given(st.lists(st.text(max_size=6)))
def test_any_texts_can_be_sorted_in_natural_order(texts: list[str]) -> None:
    once = sorted(texts, key=natural_order)
    assert sorted(once, key=natural_order) == once


def test_numbers_of_any_length_are_ordered_as_numbers() -> None:
    values = ["9" * 5000, "10", "9", "010", "² squared", "3-9", "٣"]
    assert sorted(values, key=natural_order)[:4] == ["3-9", "9", "010", "10"]
