"""UTKFace: what the name of a file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.datasets.adapters import load_dataset
from audit.datasets.adapters.fairface import (
    AGES,
    age_group,
)
from tests.support.annotated_files import (
    load,
    only_problem,
    problems_of,
    write_picture,
)


def test_utkface_is_read_from_the_names_of_files(tmp_path: Path) -> None:
    write_picture(tmp_path / "1_0_2_20161219140623097.jpg.chip.jpg")
    write_picture(tmp_path / "part1" / "26_1_4_20170116174525125.jpg")
    (tmp_path / "README.md").write_text("aligned", encoding="utf-8")
    dataset = load(tmp_path)
    assert (dataset.adapter, dataset.benign, dataset.rows) == ("utkface", True, ())
    assert dataset.table["gender"].tolist() == ["Male", "Female"]
    assert dataset.table["race"].tolist() == ["Asian", "Others"]
    assert dataset.table["age"].tolist() == ["0-2", "20-29"]
    assert dataset.orders["age"] == AGES
    assert any("non-commercial" in note for note in dataset.notes)
    assert any("estimated" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("years", "group"),
    [
        *((0, "0-2"), (2, "0-2"), (3, "3-9"), (9, "3-9"), (10, "10-19"), (19, "10-19")),
        *((69, "60-69"), (70, "more than 70"), (116, "more than 70")),
    ],
)
def test_ages_in_years_fall_into_fairfaces_groups(years: int, group: str) -> None:
    assert age_group(years) == group


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("39_1_20170116174525125.jpg.chip.jpg", "its name lacks a field"),
        ("26_1__20170116174525125.jpg", "its name has fields of another kind"),
        ("26_2_0_20170116174525125.jpg", "there is no gender 2"),
        ("26_1_5_20170116174525125.jpg", "there is no race 5"),
        ("117_1_0_20170116174525125.jpg", "there is no age 117"),
    ],
)
def test_a_file_that_is_not_named_as_in_utkface_is_refused_by_its_name(
    tmp_path: Path, name: str, message: str
) -> None:
    write_picture(tmp_path / "1_0_2_20161219140623097.jpg")
    bad = write_picture(tmp_path / name)
    problem = only_problem(tmp_path)
    assert (problem.path, problem.row, problem.message) == (str(bad), 0, message)
    assert problem.remedy.endswith("Or leave such images out with --skip-bad")
    left = load(tmp_path, skip_bad=True)
    assert (len(left), len(left.left_out)) == (1, 1)


def test_utkface_needs_a_folder(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "1_0_2_20161219140623097.jpg")
    [problem] = problems_of(lambda: load_dataset(file, adapter="utkface"))
    assert problem.message == "it is not a folder"
