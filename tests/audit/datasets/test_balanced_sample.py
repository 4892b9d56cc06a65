"""A balanced sample: equally many of each group, drawn alike from any order, and its table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.balanced_sample import balanced_rows, images_folder, sample_table
from audit.datasets.dataset import Dataset
from audit.datasets.image_references import read_reference
from audit.errors import DatasetError
from tests.support.annotated_files import face, fairface
from tests.support.reference_counts import dataset_of

RACES = [*"a" * 40, *"b" * 25, *"c" * 60]
GENDERS = ["f", "m", "f", "m", "m"] * 25


def _dataset() -> Dataset:
    return dataset_of({"race": RACES, "gender": GENDERS})


@pytest.mark.parametrize(
    ("by", "n", "groups", "each"),
    [
        (["race"], None, 3, 25),
        (["race"], 60, 3, 20),
        (["race"], 62, 3, 20),
        (["race", "gender"], None, 6, 10),
        (["gender"], 2, 2, 1),
    ],
)
def test_each_group_has_equally_many_images(
    by: list[str], n: int | None, groups: int, each: int
) -> None:
    rows = balanced_rows(_dataset(), by, n)
    assert rows.tolist() == sorted(set(rows.tolist()))
    sample = _dataset().take(rows)
    assert Counter(sample.groups(by).codes.tolist()) == dict.fromkeys(range(groups), each)


def test_a_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    dataset = _dataset()
    order = np.random.default_rng(1).permutation(len(dataset))

    def drawn(of: Dataset, seed: int) -> set[str]:
        return set(of.take(balanced_rows(of, ["race"], 60, seed)).table["image_id"])

    assert drawn(dataset, 0) == drawn(dataset.take(order), 0)
    assert drawn(dataset, 0) != drawn(dataset, 1)


@pytest.mark.parametrize(
    ("n", "message", "remedy"),
    [
        (78, "26 images of each group of race are asked for, and b (25) lack them", "Ask for 75"),
        (2, "race has 3 groups, and 2 images cannot hold one of each", "Ask for 3 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_can(n: int, message: str, remedy: str) -> None:
    with pytest.raises(DatasetError) as caught:
        balanced_rows(_dataset(), ["race"], n)
    [problem] = caught.value.problems
    assert message in problem.message
    assert problem.remedy.startswith(remedy)


def test_the_table_of_a_sample_is_read_as_the_images_that_it_names(tmp_path: Path) -> None:
    rows = [face(i, race=("White", "Black")[i % 3 == 0]) for i in range(12)]
    dataset = load_dataset(fairface(tmp_path, *rows))
    sample = dataset.take(balanced_rows(dataset, ["race"]))
    table = tmp_path / "elsewhere" / "sample.csv"
    table.parent.mkdir()
    table.write_text(sample_table(sample))
    names = ("image", "id", *sample.sensitive_features)
    options = LoadOptions(
        columns=dict(zip(names, names, strict=True)), images=images_folder(sample)
    )
    read = load_dataset(table, adapter="table", options=options)
    pictures = [[read_reference(each) for each in of.references] for of in (read, sample)]
    assert pictures[0] == pictures[1]
    assert read.groups(["race"]).sizes.tolist() == [4, 4]
    assert read.table["image_id"].tolist() == sample.table["image_id"].tolist()
