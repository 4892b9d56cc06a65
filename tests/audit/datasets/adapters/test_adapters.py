"""What holds for every adapter: which one is taken, and which rows are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.datasets.adapters import ADAPTERS, load_dataset
from audit.errors import DatasetError
from tests.support.annotated_files import (
    face,
    fairface,
    hashed,
    load,
    only_problem,
    picture,
    problems_of,
    sha256,
    write_csv,
    write_picture,
)


def test_every_adapter_is_registered_under_its_name() -> None:
    assert list(ADAPTERS) == ["fairface", "utkface", "folders", "recorded", "table"]
    assert all(name == adapter.name for name, adapter in ADAPTERS.items())


def test_a_path_that_is_not_there_and_a_layout_that_nobody_knows_are_refused(
    tmp_path: Path,
) -> None:
    assert only_problem(tmp_path / "x").message == "there is no such file or folder"
    problem = only_problem(tmp_path)
    assert problem.message == "no adapter knows this layout"
    assert "fairface, utkface, folders, recorded, table" in problem.remedy
    [problem] = problems_of(lambda: load_dataset(tmp_path, adapter="coco"))
    assert problem.remedy == "The adapters are: fairface, utkface, folders, recorded, table"


@pytest.mark.parametrize("adapter", ["fairface", "folders"])
def test_a_named_adapter_says_what_is_missing(tmp_path: Path, adapter: str) -> None:
    [problem] = problems_of(lambda: load_dataset(tmp_path, adapter=adapter))
    missing = {
        "fairface": "there are no labels of FairFace in it",
        "folders": "there is no folder in it",
    }
    assert problem.message == missing[adapter]


def test_an_option_that_an_adapter_cannot_use_is_refused(tmp_path: Path) -> None:
    problem = only_problem(fairface(tmp_path, face(1)), truth={"a": "b"})
    assert problem.message == "the adapter fairface takes no --truth"
    assert problem.remedy == "These do: folders, recorded, table"


def test_a_missing_image_is_refused_by_row(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2))
    (tmp_path / "val" / "2.jpg").unlink()
    problem = only_problem(file)
    assert problem.row == 3
    assert problem.message == f"there is no file {tmp_path / 'val' / '2.jpg'}"
    assert "--images" in problem.remedy


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    file = fairface(tmp_path / "here", face(1))
    (tmp_path / "here" / "val").rename(tmp_path / "val")
    dataset = load(file, images=tmp_path)
    assert dataset.table["image_id"].tolist() == ["val/1.jpg"]
    assert only_problem(file, images=tmp_path / "nowhere").remedy == "Name one with --images"


@pytest.mark.parametrize("again", ["val/1.jpg", "./val/1.jpg", "val/../val/1.jpg"])
def test_an_image_that_occurs_twice_is_refused_by_both_rows(tmp_path: Path, again: str) -> None:
    problem = only_problem(fairface(tmp_path, face(1), face(2), face(3, file=again)))
    assert problem.row == 4
    assert problem.message == "the image val/1.jpg is also in row 2"


@pytest.mark.parametrize("way_out", ["../secret.jpg", "val/../../secret.jpg", "/etc/hostname"])
def test_a_path_that_leads_out_of_the_folder_of_images_is_refused(
    tmp_path: Path, way_out: str
) -> None:
    folder = tmp_path / "data"
    write_picture(tmp_path / "secret.jpg")
    fairface(folder, face(1))
    file = write_csv(folder / "fairface_label_part.csv", [face(1), face(2, file=way_out)])
    problem = only_problem(file)
    assert problem.row == 3
    assert "outside the folder of images" in problem.message


def test_an_absolute_path_inside_the_folder_of_images_is_called_by_its_place_there(
    tmp_path: Path,
) -> None:
    file = fairface(tmp_path, face(1, file=str(tmp_path / "val" / "1.jpg")))
    assert load(file).table["image_id"].tolist() == ["val/1.jpg"]


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_rows(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1, age="9-Mar", race=""), face(2), face(3, gender="?"))
    with file.open("a", encoding="utf-8") as out:
        out.write("val/4.jpg,20-29,Male\nval/5.jpg,20-29,Male,White,TRUE\n,20-29,Male,White,TRUE\n")
    found = problems_of(lambda: load(file))
    assert [problem.row for problem in found] == [2, 2, 4, 5, 6, 7]
    assert all(problem.path == str(file) for problem in found)
    assert "it has 3 cells, and the header 5" in found[3].message
    assert found[5].message == "its image or id is empty"
    assert f"{file}, row 4: there is no gender ?. Known are: Male, Female" in str(
        DatasetError(found)
    )


def test_bad_rows_are_left_out_on_request_and_never_silently(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2, age="", race=""), face(3))
    dataset = load(file, skip_bad=True)
    assert dataset.table["image_id"].tolist() == ["val/1.jpg", "val/3.jpg"]
    assert dataset.rows == (2, 4)
    assert [problem.row for problem in dataset.left_out] == [3, 3]
    assert dataset.notes[-1] == "Rows left out on request, since something is wrong with them: 1."


def test_a_dataset_in_which_every_row_is_bad_is_refused_all_the_same(tmp_path: Path) -> None:
    problem = only_problem(fairface(tmp_path, face(1, age="")), skip_bad=True)
    assert problem.message == "age is empty"


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    problem = only_problem(fairface(tmp_path))
    assert problem.message == "no image is left in it"


def test_a_stated_hash_that_is_not_a_hash_is_refused_by_row(tmp_path: Path) -> None:
    problem = only_problem(hashed(tmp_path, sha256(picture(0)), "abc"))
    assert (problem.row, problem.message) == (3, "abc is not a SHA-256")


def test_what_was_left_out_is_counted_by_group_as_far_as_it_is_known(tmp_path: Path) -> None:
    rows = [face(1), face(2, race="Black"), face(3, race="Black", age="?"), face(4, race="")]
    file = fairface(tmp_path, *rows, face(5, race="Indian"), face(6), face(7, service_test="?"))
    for gone in (2, 5):
        (tmp_path / "val" / f"{gone}.jpg").unlink()
    with file.open("a", encoding="utf-8") as out:
        out.write("val/8.jpg,20-29,Male\n")
    dataset = load(file, skip_bad=True)
    race = dataset.groups(["race"])
    assert race.names == ("Black", "Indian", "White")
    assert race.sizes.tolist() == [0, 0, 2]
    assert (race.left_out, race.unplaced) == ((2, 1, 1), 2)
    assert dataset.groups(["age"]).unplaced == 2
    both = dataset.groups(["age", "race"])
    assert both.names == ("20-29 × Black", "20-29 × Indian", "20-29 × White")
    assert (both.left_out, both.unplaced) == ((1, 1, 1), 3)
    [whole] = dataset.partitions([])
    assert (whole.sizes.tolist(), whole.left_out, whole.unplaced) == ([2], (6,), 0)


def test_a_row_that_repeats_another_loses_nothing_and_one_that_says_otherwise_loses_both(
    tmp_path: Path,
) -> None:
    rows = [face(1), face(1), face(2, race="Black"), face(2, race="Indian"), face(3)]
    file = fairface(tmp_path, *rows)
    assert [problem.row for problem in problems_of(lambda: load(file))] == [3, 4, 5]
    dataset = load(file, skip_bad=True)
    assert dataset.table["image_id"].tolist() == ["val/1.jpg", "val/3.jpg"]
    race = dataset.groups(["race"])
    assert (race.names, race.left_out) == (("Black", "Indian", "White"), (1, 1, 0))


def test_without_anything_left_out_nothing_is_counted_so(tmp_path: Path) -> None:
    race = load(fairface(tmp_path, face(1))).groups(["race"])
    assert (race.left_out, race.unplaced) == ((), 0)
