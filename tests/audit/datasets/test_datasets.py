"""Adapters of datasets: every layout, and every trap that copies of these datasets set."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from audit.datasets.adapters import ADAPTERS, LoadOptions, load_dataset
from audit.datasets.adapters.fairface import (
    AGES,
    VALIDATION_COUNTS,
    VALIDATION_SIZE,
    age_group,
    differences,
)
from audit.datasets.adapters.spreadsheet import age_of_date
from audit.datasets.content import check_content, image_hashes, leave_out, row_problem
from audit.datasets.coverage import coverage, coverages
from audit.datasets.dataset import Dataset, natural_order
from audit.datasets.references import ParquetImage, read_bytes
from audit.errors import DatasetError, RowProblem
from tests.conftest import SHARED

PATH = ("path", pa.string())
FAIRFACE_COLUMNS = ("file", "age", "gender", "race", "service_test")
Cells = Mapping[str, str]


@pytest.fixture(scope="session")
def faces() -> Path:
    """Folder of 700 annotated photographs, kept outside the project."""
    folder = SHARED / "data" / "faces"
    if not folder.is_dir():
        pytest.skip("the annotated photographs of ../shared/data are not here")
    return folder


def picture(number: int = 0) -> bytes:
    """Returns a tiny PNG; another for each number."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (number % 256, number // 256, 7)).save(file, "PNG")
    return file.getvalue()


def write_picture(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number))
    return path


def face(number: int, **cells: str) -> dict[str, str]:
    """Returns a row of FairFace's labels that has nothing wrong with it."""
    right = {"age": "20-29", "gender": "Male", "race": "White", "service_test": "TRUE"}
    return {"file": f"val/{number}.jpg", **right, **cells}


def write_csv(path: Path, rows: Sequence[Cells], columns: Sequence[str] = FAIRFACE_COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def fairface(folder: Path, *rows: Cells, columns: Sequence[str] = FAIRFACE_COLUMNS) -> Path:
    """Writes FairFace's labels with an image for each row, and returns their file."""
    for number, row in enumerate(rows):
        write_picture(folder / row["file"], number)
    return write_csv(folder / "fairface_label_part.csv", rows, columns)


def problems_of(act: Callable[[], object]) -> tuple[RowProblem, ...]:
    with pytest.raises(DatasetError) as caught:
        act()
    return caught.value.problems


def only_problem(path: Path, **options: Any) -> RowProblem:
    [problem] = problems_of(lambda: load_dataset(path, options=LoadOptions(**options)))
    return problem


# FairFace as released


def test_fairface_is_read_with_its_three_features_in_the_order_of_reports(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1), face(2, gender="Female", age="3-9", race="East Asian"))
    dataset = load_dataset(path)
    assert (dataset.adapter, dataset.name) == ("fairface", "fairface:fairface_label_part")
    assert dataset.sensitive_features == ("race", "gender", "age")
    assert dataset.benign
    assert dataset.table["image_id"].tolist() == ["val/1.jpg", "val/2.jpg"]
    assert dataset.table["y_true"].tolist() == [None, None]
    assert dataset.table["race"].tolist() == ["White", "East Asian"]
    assert dataset.values("age") == ("3-9", "20-29")
    assert dataset.rows == (2, 3)
    assert read_bytes(dataset.references[1]) == picture(1)


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    rows = [face(1), face(2, age="0-2")]
    straight = load_dataset(fairface(tmp_path, *rows))
    turned = load_dataset(fairface(tmp_path, *rows, columns=FAIRFACE_COLUMNS[::-1]))
    assert straight.sha256 == turned.sha256
    assert straight.table.equals(turned.table)


def test_a_folder_with_one_file_of_labels_is_read(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1))
    assert load_dataset(tmp_path).source == file
    file.rename(tmp_path / "labels.csv")
    dataset = load_dataset(tmp_path)
    assert dataset.name == f"fairface:{tmp_path.name}"
    assert dataset.source == tmp_path / "labels.csv"


def test_a_folder_with_several_files_of_labels_is_refused_by_their_names(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1))
    shutil.copy(file, tmp_path / "fairface_label_train.csv")
    problem = only_problem(tmp_path)
    assert problem.path == str(tmp_path)
    assert "fairface_label_part.csv, fairface_label_train.csv" in problem.message
    assert "Name one of the files" in problem.remedy


def test_a_byte_order_mark_and_spaces_around_values_do_no_harm(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1, race=" White "))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_dataset(file).table["race"].tolist() == ["White"]


@pytest.mark.parametrize(
    ("feature", "cell", "value"),
    [
        ("race", "latino/hispanic", "Latino_Hispanic"),
        ("race", "Latino Hispanic", "Latino_Hispanic"),
        ("race", "Middle_Eastern", "Middle Eastern"),
        ("race", "southeast asian", "Southeast Asian"),
        ("age", "over 70", "more than 70"),
        ("age", "70+", "more than 70"),
        ("age", "More than 70", "more than 70"),
        ("age", "3–9", "3-9"),
        ("gender", "female", "Female"),
        ("gender", "MALE", "Male"),
    ],
)
def test_other_spellings_of_a_group_are_the_same_group(
    tmp_path: Path, feature: str, cell: str, value: str
) -> None:
    dataset = load_dataset(fairface(tmp_path, face(1, **{feature: cell})))
    assert dataset.table[feature].tolist() == [value]
    assert len(dataset.notes) == 1


@pytest.mark.parametrize("cell", ["TRUE", "False", "true", "0", "1"])
def test_service_test_may_be_written_in_several_ways(tmp_path: Path, cell: str) -> None:
    assert len(load_dataset(fairface(tmp_path, face(1, service_test=cell)))) == 1


@pytest.mark.parametrize(
    ("feature", "cell", "known"),
    [
        ("service_test", "maybe", "TRUE, FALSE"),
        ("race", "Martian", "White, Latino_Hispanic, Black"),
        ("gender", "0", "Male, Female"),
        ("age", "25", "0-2, 3-9, 10-19"),
        ("age", "2-Jan", "0-2, 3-9"),
        ("age", "Jan-02", "0-2, 3-9"),
    ],
)
def test_an_unknown_value_is_refused_by_row_with_the_known_ones(
    tmp_path: Path, feature: str, cell: str, known: str
) -> None:
    problem = only_problem(fairface(tmp_path, face(1), face(2, **{feature: cell})))
    assert problem.row == 3
    assert problem.message == f"there is no {feature} {cell}"
    assert known in problem.remedy


@pytest.mark.parametrize("cell", ["", "NaN", "nan", "  ", "null"])
@pytest.mark.parametrize("feature", ["race", "gender", "age", "service_test"])
def test_an_empty_value_is_refused_by_row(tmp_path: Path, feature: str, cell: str) -> None:
    problem = only_problem(fairface(tmp_path, face(1), face(2, **{feature: cell})))
    assert (problem.row, problem.message) == (3, f"{feature} is empty")


MANGLED = [
    *((cell, "3-9") for cell in ("9-Mar", "09-Mar", "Mar-9", "Mar-09", "March 9")),
    *((cell, "3-9") for cell in ("3-Sep", "03-Sep", "Sep-3", "Sep-03", "3. Sep", "9. Mrz")),
    *((cell, "3-9") for cell in ("9-Mar-24", "3/9/2024", "2024-03-09", "2024-09-03 00:00:00")),
    *((cell, "10-19") for cell in ("19-Oct", "Oct-19", "oct-19", "10/19/2024", "2019-10-01")),
]


@pytest.mark.parametrize(("cell", "age"), MANGLED)
def test_an_age_that_a_spreadsheet_made_a_date_is_refused_by_row(
    tmp_path: Path, cell: str, age: str
) -> None:
    problem = only_problem(fairface(tmp_path, face(1), face(2), face(3, age=cell)))
    assert problem.row == 4
    assert problem.message == f"{cell} is {age}, which a spreadsheet turned into a date"
    assert f"Write {age} there" in problem.remedy
    assert "--repair" in problem.remedy


def test_mangled_ages_are_put_right_on_request_and_counted(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1, age="9-Mar"), face(2, age="Oct-19"), face(3, age="9-Mar"))
    dataset = load_dataset(path, options=LoadOptions(repair=True))
    assert dataset.table["age"].tolist() == ["3-9", "10-19", "3-9"]
    assert "put right on request: 3. 9-Mar to 3-9 (2), Oct-19 to 10-19 (1)." in dataset.notes[-1]


@pytest.mark.parametrize("cell", [*AGES, "3.9", "9-Jan", "marble 9", "2-Jan", "", "10-Oct", "1/1"])
def test_what_no_spreadsheet_made_of_an_age_is_no_date(cell: str) -> None:
    assert age_of_date(cell) is None


def test_a_missing_column_is_refused_with_the_columns_that_are_there(tmp_path: Path) -> None:
    rows = [{"file": "1.jpg", "age": "0-2"}]
    problem = only_problem(write_csv(tmp_path / "fairface_label_val.csv", rows, ("file", "age")))
    assert problem.message == "there is no column race, gender"
    assert problem.remedy == "It has: file, age"


def test_a_file_without_the_labels_is_refused_with_its_columns_by_the_adapter(
    tmp_path: Path,
) -> None:
    file = write_csv(tmp_path / "a.csv", [{"file": "1.jpg", "age": "0-2"}], ("file", "age"))
    [problem] = problems_of(lambda: load_dataset(file, adapter="fairface"))
    assert problem.remedy.endswith("file, race, gender, age; this one has: file, age")


def test_a_truncated_copy_of_the_validation_set_is_noted(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2))
    assert len(load_dataset(file).notes) == 1
    dataset = load_dataset(file.rename(tmp_path / "fairface_label_val.csv"))
    assert "has 10,954 images, and this file 2: it is a part" in dataset.notes[-1]


def validation_rows() -> list[dict[str, str]]:
    """Returns rows with the published counts of each feature by itself."""
    columns = {
        feature: [group for group, n in counts.items() for _ in range(n)]
        for feature, counts in VALIDATION_COUNTS.items()
    }
    return [
        face(0, **{feature: values[row] for feature, values in columns.items()})
        for row in range(VALIDATION_SIZE)
    ]


def test_the_published_counts_add_up_to_the_size_of_the_validation_set() -> None:
    assert {sum(counts.values()) for counts in VALIDATION_COUNTS.values()} == {VALIDATION_SIZE}


def test_other_counts_than_the_published_are_noted(tmp_path: Path) -> None:
    rows = validation_rows()
    content = picture()
    names = [f"{number}.png" for number in range(len(rows))]
    table = pa.table(
        {
            "image": [{"bytes": content, "path": name} for name in names],
            **{name: [row[name] for row in rows] for name in ("race", "gender", "age")},
        }
    )
    pq.write_table(table, tmp_path / "validation-00000-of-00001.parquet")
    dataset = load_dataset(tmp_path)
    assert len(dataset.notes) == 1
    assert differences(dataset.table) == ()
    genders = pa.array(["Female", *table.column("gender").to_pylist()[1:]])
    changed = table.set_column(table.column_names.index("gender"), "gender", genders)
    pq.write_table(changed, tmp_path / "validation-00000-of-00001.parquet")
    note = load_dataset(tmp_path).notes[-1]
    assert "it was changed" in note
    assert "gender Male has 5,791, published are 5,792" in note


# Rules that hold for every adapter


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
    dataset = load_dataset(file, options=LoadOptions(images=tmp_path))
    assert dataset.table["image_id"].tolist() == ["val/1.jpg"]
    assert only_problem(file, images=tmp_path / "nowhere").remedy == "Name one with --images"


@pytest.mark.parametrize("again", ["val/1.jpg", "./val/1.jpg", "val/../val/1.jpg"])
def test_an_image_that_is_there_twice_is_refused_by_both_rows(tmp_path: Path, again: str) -> None:
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
    assert load_dataset(file).table["image_id"].tolist() == ["val/1.jpg"]


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_rows(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1, age="9-Mar", race=""), face(2), face(3, gender="?"))
    with file.open("a", encoding="utf-8") as out:
        out.write("val/4.jpg,20-29,Male\nval/5.jpg,20-29,Male,White,TRUE\n,20-29,Male,White,TRUE\n")
    found = problems_of(lambda: load_dataset(file))
    assert [problem.row for problem in found] == [2, 2, 4, 5, 6, 7]
    assert all(problem.path == str(file) for problem in found)
    assert "it has 3 cells, and the header 5" in found[3].message
    assert found[5].message == "its image or id is empty"
    assert f"{file}, row 4: there is no gender ?. Known are: Male, Female" in str(
        DatasetError(found)
    )


def test_bad_rows_are_left_out_on_request_and_never_silently(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2, age="", race=""), face(3))
    dataset = load_dataset(file, options=LoadOptions(skip_bad=True))
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


def test_rows_count_as_an_editor_counts_lines(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1)
    write_picture(tmp_path / "b.png", 2)
    file = tmp_path / "table.csv"
    file.write_text('path,remark,race\na.png,"two\nlines",x\n\nb.png,one,\n', encoding="utf-8")
    problem = only_problem(file, columns={"image": "path", "race": "race"})
    assert (problem.row, problem.message) == (5, "race is empty")


@pytest.mark.parametrize(
    ("content", "message", "row"),
    [
        (picture(), "it is not text in UTF-8", 0),
        ("file,age\nü.jpg,0-2\n".encode("latin-1"), "it is not text in UTF-8", 0),
        ("file,age\n".encode("utf-16"), "it is not text in UTF-8", 0),
        (b'file,race,gender,age\na,b,c,d\n"a"b,c,d,e\n', "it is not CSV", 3),
        (b'file,race,gender,age\n"a,b\n', "it is not CSV", 2),
        (b"", "its first line is not a header", 1),
        (b"a\0b,c\n", "its first line is not a header", 1),
        (b"file,age,file\n", "two columns are called file", 1),
        (b"file,age,,\n", "no adapter knows this layout", 0),
    ],
)
def test_what_is_no_csv_in_utf8_is_refused(
    tmp_path: Path, content: bytes, message: str, row: int
) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    problem = only_problem(file)
    assert message in problem.message
    assert (problem.path, problem.row) == (str(file), row)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "validation.parquet"
    file.write_bytes(b"PAR1 and no more")
    assert "it cannot be read as Parquet" in only_problem(file).message


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


@given(st.randoms(use_true_random=False))
def test_ages_sort_as_people_sort_them(shuffler: random.Random) -> None:
    shuffled = list(AGES)
    shuffler.shuffle(shuffled)
    assert sorted(shuffled, key=natural_order) == list(AGES)


@given(st.lists(st.text(max_size=6)))
def test_any_texts_can_be_sorted_in_natural_order(texts: list[str]) -> None:
    once = sorted(texts, key=natural_order)
    assert sorted(once, key=natural_order) == once


def test_an_unknown_class_is_not_the_class_none() -> None:
    def dataset(y_true: str | None) -> Dataset:
        table = pd.DataFrame({"image_id": ["a"], "y_true": [y_true]}, dtype=object)
        return Dataset("n", "a", Path("p"), table, (Path("a"),), ())

    assert dataset(None).sha256 != dataset("None").sha256


# FairFace as a model hub keeps it

HUB_NAMES = {
    "age": list(AGES),
    "gender": ["Male", "Female"],
    "race": ["East Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic"],
}


def write_hub(
    path: Path,
    rows: Sequence[Mapping[str, object]],
    features: Mapping[str, object] | None,
    paths: Sequence[str | None] | None = None,
) -> Path:
    """Writes rows of class numbers in row groups of two, with images' own bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = paths or [f"{number}.jpg" for number in range(len(rows))]
    images = [{"bytes": picture(i), "path": name} for i, name in enumerate(paths)]
    table = pa.table({"image": images, **{name: [row[name] for row in rows] for name in rows[0]}})
    if features is not None:
        stated = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": stated})
    pq.write_table(table, path, row_group_size=2)
    return path


def class_labels(**names: object) -> dict[str, object]:
    return {
        column: {"names": found, "_type": "ClassLabel"}
        for column, found in {**HUB_NAMES, **names}.items()
    }


HUB_ROWS = [
    {"age": 3, "gender": 0, "race": 3, "service_test": True},
    {"age": 8, "gender": 1, "race": 0, "service_test": False},
    {"age": 1, "gender": 1, "race": 5, "service_test": True},
]


def test_numbers_of_classes_are_read_by_the_names_that_the_file_states(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, class_labels())
    dataset = load_dataset(file)
    assert dataset.table["age"].tolist() == ["20-29", "more than 70", "3-9"]
    assert dataset.table["gender"].tolist() == ["Male", "Female", "Female"]
    assert dataset.table["race"].tolist() == ["White", "East Asian", "Latino_Hispanic"]
    assert dataset.table["image_id"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert dataset.rows == (1, 2, 3)
    assert dataset.references[2] == ParquetImage(file, 2, "image")
    assert [read_bytes(image) for image in dataset.references] == [picture(i) for i in range(3)]


def test_the_same_number_is_another_gender_where_the_file_says_so(tmp_path: Path) -> None:
    """A second copy on the Hub numbers the genders the other way round."""
    names = class_labels(gender={"0": "Female", "1": "Male"})
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, names)
    assert load_dataset(file).table["gender"].tolist() == ["Female", "Male", "Male"]


def test_names_may_be_stated_deeper(tmp_path: Path) -> None:
    names = {column: {"feature": feature} for column, feature in class_labels().items()}
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, names)
    assert load_dataset(file).table["gender"].tolist() == ["Male", "Female", "Female"]


@pytest.mark.parametrize("features", [None, {}, {"gender": {"dtype": "int64", "_type": "Value"}}])
def test_numbers_without_names_are_refused_and_never_guessed(
    tmp_path: Path, features: Mapping[str, object] | None
) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, features)
    problem = only_problem(file)
    assert problem.message.startswith("age, gender, race holds numbers")
    assert "never guessed: one copy of FairFace has Male as 0, another Female" in problem.remedy


def test_metadata_that_is_no_json_states_no_names(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, None)
    table = pq.read_table(file).replace_schema_metadata({"huggingface": "{"})
    pq.write_table(table, file)
    assert "holds numbers" in only_problem(file).message


@pytest.mark.parametrize(
    ("number", "message"), [(-1, "gender is empty"), (2, "there is no gender class 2 of 2")]
)
def test_a_number_without_a_class_is_refused_by_row(
    tmp_path: Path, number: int, message: str
) -> None:
    rows = [HUB_ROWS[0], {**HUB_ROWS[1], "gender": number}]
    problem = only_problem(write_hub(tmp_path / "part.parquet", rows, class_labels()))
    assert (problem.row, problem.message) == (2, message)


def test_a_null_in_a_parquet_file_is_an_empty_value(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{**HUB_ROWS[0]}, {**HUB_ROWS[1], "race": None}]
    problem = only_problem(write_hub(tmp_path / "part.parquet", rows, class_labels()))
    assert (problem.row, problem.message) == (2, "race is empty")


def test_groups_may_be_texts_in_a_parquet_file(tmp_path: Path) -> None:
    rows = [face(1), face(2, race="Black", service_test="0")]
    file = write_hub(tmp_path / "part.parquet", rows, None)
    assert load_dataset(file).table["race"].tolist() == ["White", "Black"]


@pytest.mark.parametrize("paths", [["a.jpg", None, "b.jpg"], ["a.jpg", "a.jpg", "b.jpg"]])
def test_images_without_a_path_of_their_own_are_called_by_file_and_row(
    tmp_path: Path, paths: list[str | None]
) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, class_labels(), paths)
    assert load_dataset(file).table["image_id"].tolist() == ["part#1", "part#2", "part#3"]


def test_the_shards_of_one_part_are_one_dataset(tmp_path: Path) -> None:
    for shard in range(2):
        name = f"validation-{shard:05}-of-00002-0f1e.parquet"
        write_hub(tmp_path / name, HUB_ROWS, class_labels())
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 6
    assert dataset.source == tmp_path
    assert len(set(dataset.table["image_id"])) == 6
    assert "this file 6" in dataset.notes[-1]


def test_a_problem_in_a_shard_names_the_shard(tmp_path: Path) -> None:
    names = [tmp_path / f"train-{shard:05}-of-00002.parquet" for shard in range(2)]
    write_hub(names[0], HUB_ROWS, class_labels())
    write_hub(names[1], [{**HUB_ROWS[0], "age": -1}], class_labels())
    problem = only_problem(tmp_path)
    assert (problem.path, problem.row) == (str(names[1]), 1)


def test_train_and_validation_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        write_hub(tmp_path / f"{part}-00000-of-00001.parquet", HUB_ROWS, class_labels())
    assert "several parts: train, validation" in only_problem(tmp_path).message


# UTKFace


def test_utkface_is_read_from_the_names_of_files(tmp_path: Path) -> None:
    write_picture(tmp_path / "1_0_2_20161219140623097.jpg.chip.jpg")
    write_picture(tmp_path / "part1" / "26_1_4_20170116174525125.jpg")
    (tmp_path / "README.md").write_text("aligned", encoding="utf-8")
    dataset = load_dataset(tmp_path)
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
def test_a_file_that_is_not_called_as_in_utkface_is_refused_by_its_name(
    tmp_path: Path, name: str, message: str
) -> None:
    write_picture(tmp_path / "1_0_2_20161219140623097.jpg")
    bad = write_picture(tmp_path / name)
    problem = only_problem(tmp_path)
    assert (problem.path, problem.row, problem.message) == (str(bad), 0, message)
    left = load_dataset(tmp_path, options=LoadOptions(skip_bad=True))
    assert (len(left), len(left.left_out)) == (1, 1)


def test_utkface_needs_a_folder(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "1_0_2_20161219140623097.jpg")
    [problem] = problems_of(lambda: load_dataset(file, adapter="utkface"))
    assert problem.message == "it is not a folder"


# Folders of classes


def test_folders_are_classes_without_sensitive_features(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "cup" / "more" / "2.png")
    write_picture(tmp_path / "saw" / "1.png")
    write_picture(tmp_path / "saw" / ".hidden.txt")
    (tmp_path / "labels.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / "LICENSE").write_text("mine", encoding="utf-8")
    dataset = load_dataset(tmp_path)
    assert (dataset.adapter, dataset.benign, dataset.sensitive_features) == ("folders", False, ())
    assert dataset.table["image_id"].tolist() == ["cup/1.png", "cup/more/2.png", "saw/1.png"]
    assert dataset.table["y_true"].tolist() == ["cup", "cup", "saw"]
    assert coverages(dataset) == []


def test_images_of_classes_are_known_by_content_and_what_is_passed_over_is_told(
    tmp_path: Path,
) -> None:
    for name in ("cup/1.jfif", "cup/2", "cup/3.txt", "saw/.thumbs/4.png", "saw/._5.png", "saw/6"):
        write_picture(tmp_path / name)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "cup" / "more").symlink_to(tmp_path / "saw")
    dataset = load_dataset(tmp_path)
    assert dataset.table["image_id"].tolist() == ["cup/1.jfif", "cup/2", "cup/3.txt", "saw/6"]
    [note] = dataset.notes
    assert "hidden: 3 (.DS_Store, .thumbs, ._5.png)" in note
    assert "a link to a folder: 1 (more)" in note


def test_a_dataset_of_names_that_are_not_utf8_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xff.png"))
    dataset = load_dataset(tmp_path)
    assert dataset.table["y_true"].tolist() == [r"caf\udce9"]
    assert len(dataset.sha256) == 64
    assert read_bytes(dataset.references[0]) == picture(0)


def test_an_empty_class_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    (tmp_path / "saw").mkdir()
    problem = only_problem(tmp_path)
    assert problem.path == str(tmp_path / "saw")
    assert "an empty class" in problem.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loose.png", "it is not in the folder of any class"),
        ("loose", "it is not in the folder of any class"),
        ("film.mp4", "it is no image"),
        ("cup/notes.txt", "it is no image"),
        ("cup/pipe.png", "it is a pipe, socket or device"),
        ("cup/gone.png", "it is a link to nowhere"),
        ("gone.png", "it is a link to nowhere"),
    ],
)
def test_a_file_that_belongs_to_no_class_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    odd = tmp_path / name
    if "nowhere" in message:
        odd.symlink_to(tmp_path / "nothing")
    elif "pipe" in message:
        os.mkfifo(odd)
    elif "no image" in message:
        odd.write_text("words")
    else:
        write_picture(odd)
    problem = only_problem(tmp_path)
    assert (problem.path, problem.message) == (str(odd), message)


def test_a_folder_around_the_classes_is_pointed_to(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "cup" / "1.png")
    problem = only_problem(tmp_path)
    assert problem.remedy == f"Name {tmp_path / 'images'} instead"


def test_truth_says_what_a_class_is_for_the_policies(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "saw" / "1.png")
    write_picture(tmp_path / "odd" / "1.png")
    truth = {"cup": "allow", "saw": "weapons"}
    dataset = load_dataset(tmp_path, options=LoadOptions(truth=truth))
    assert dataset.table["y_true"].tolist() == ["allow", "odd", "weapons"]
    problem = only_problem(tmp_path, truth={"cupp": "allow"})
    assert "no image has the class cupp that --truth names" in problem.message
    assert problem.remedy == "The classes are: cup, odd, saw"


# Any table


def people(folder: Path, *lines: str) -> Path:
    """Writes a table of three images in columns that no adapter knows."""
    for number in range(3):
        write_picture(folder / f"{number}.png", number)
    file = folder / "people.csv"
    file.write_text("\n".join(["path,cls,monk,who", *lines]), encoding="utf-8")
    return file


PEOPLE = {"image": "path", "y_true": "cls", "skin_tone": "monk", "id": "who"}


def test_a_table_is_read_by_its_named_columns(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,cup,10,a", "1.png,,9,b", "2.png,saw,1,c")
    dataset = load_dataset(file, options=LoadOptions(columns=PEOPLE))
    assert (dataset.adapter, dataset.name, dataset.benign) == ("table", "table:people", False)
    assert dataset.sensitive_features == ("skin_tone",)
    assert dataset.table["image_id"].tolist() == ["a", "b", "c"]
    assert dataset.table["y_true"].tolist() == ["cup", None, "saw"]
    assert dataset.values("skin_tone") == ("1", "9", "10")
    benign = load_dataset(file, options=LoadOptions(columns=PEOPLE, benign=True))
    assert benign.benign


def test_an_id_that_is_there_twice_is_refused_by_both_rows(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,cup,10,a", "1.png,cup,9,a")
    problem = only_problem(file, columns=PEOPLE)
    assert (problem.row, problem.message) == (3, "the id a is also in row 2")


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,cup,10,a")
    problem = only_problem(file, columns={"image": "path", "race": "ethnicity"})
    assert problem.message == "there is no column ethnicity"
    assert problem.remedy == "It has: path, cls, monk, who"


def test_a_mangled_age_is_found_in_any_table(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,cup,Oct-19,a")
    problem = only_problem(file, columns=PEOPLE)
    assert (problem.row, "10-19, which a spreadsheet turned" in problem.message) == (2, True)
    dataset = load_dataset(file, options=LoadOptions(columns=PEOPLE, repair=True))
    assert dataset.table["skin_tone"].tolist() == ["10-19"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"race": "monk"}, "which column holds the images is not said"),
        ({"image": "path", "image_id": "who"}, "a sensitive feature cannot be called image_id"),
    ],
)
def test_columns_that_make_no_table_are_refused(
    tmp_path: Path, columns: dict[str, str], message: str
) -> None:
    assert only_problem(people(tmp_path, "0.png,c,1,a"), columns=columns).message == message


def test_a_table_without_named_columns_is_refused_with_its_columns(tmp_path: Path) -> None:
    problem = only_problem(people(tmp_path, "0.png,cup,10,a"))
    assert problem.message == "no adapter knows this layout"
    assert "--column" in problem.remedy
    assert "path, cls, monk, who" in problem.remedy


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
BINARIES = [
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(len(picture()))),
    pa.dictionary(pa.int32(), pa.binary()),
]


@pytest.mark.parametrize("kind", [*TEXTS, *BINARIES], ids=str)
def test_images_of_a_parquet_table_may_be_bytes_or_paths(tmp_path: Path, kind: Any) -> None:
    write_picture(tmp_path / "0.png")
    is_path = kind in TEXTS
    image = "0.png" if is_path else picture()
    file = tmp_path / "table.parquet"
    table = {"img": pa.array([image], kind), "tone": pa.array([4.0]), "flag": pa.array([True])}
    pq.write_table(pa.table(table), file)
    columns = {"image": "img", "tone": "tone", "flag": "flag"}
    dataset = load_dataset(file, options=LoadOptions(columns=columns))
    assert dataset.table["image_id"].tolist() == ["0.png" if is_path else "table#1"]
    assert dataset.table["tone"].tolist() == ["4"]
    assert dataset.table["flag"].tolist() == ["True"]
    assert read_bytes(dataset.references[0]) == picture()


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_images_of_a_model_hub_may_be_any_kind_of_bytes(tmp_path: Path, kind: Any) -> None:
    image = pa.array([{"bytes": picture(), "path": "a.png"}], pa.struct([("bytes", kind), PATH]))
    pq.write_table(pa.table({"image": image, "sex": ["a"]}), tmp_path / "t.parquet")
    columns = {"image": "image", "sex": "sex"}
    dataset = load_dataset(tmp_path / "t.parquet", options=LoadOptions(columns=columns))
    assert dataset.table["image_id"].tolist() == ["a.png"]
    assert read_bytes(dataset.references[0]) == picture()


#: Columns that hold megabytes which are neither a name nor an image, and what is said of them.
UNFIT = {
    "image as numbers": ("image", [list(bytes(9000))], "neither images nor plain values are in"),
    "images in lists": ("image", [[{"bytes": bytes(10**6)}]], "neither images nor plain values"),
    "image as numbers in a record": ("image", [{"bytes": [0] * 9000}], "neither images nor plain"),
    "group of numbers": ("sex", [list(range(9000))], "neither images nor plain values are in sex"),
    "group of records": ("sex", [{"a": "x" * 10**6}], "neither images nor plain values are in sex"),
    "image as a group": ("sex", [b"x" * 10**6], "sex holds images, and no values"),
    "image of a hub as a group": (
        "sex",
        [{"bytes": b"x" * 10**6, "path": "x"}],
        "sex holds images",
    ),
    "path without end": ("image", ["x" * 10**6], "there is no file "),
    "group without end": ("sex", ["x" * 10**6], "sex has 1,000,000 characters, and a name has at most"),
    "hostile group": ("sex", ["\x1b[2J" * 10**5], "sex has 400,000 characters"),
    "hostile path": ("image", ["\x1b[2J\u202e.png"], r"\x1b[2J\u202e.png"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_column_that_holds_no_names_is_refused_in_few_words(tmp_path: Path, name: str) -> None:
    column, cells, told = UNFIT[name]
    write_picture(tmp_path / "0.png")
    table = {"image": ["0.png"], "sex": ["a"], column: pa.array(cells)}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    found = problems_of(
        lambda: load_dataset(
            tmp_path / "t.parquet",
            options=LoadOptions(columns={"image": "image", "sex": "sex"}),
        )
    )
    assert any(told in problem.message for problem in found)
    for problem in found:
        assert len(problem.message) <= 600
        assert str(problem).isprintable()


def test_a_binary_view_as_it_went_wrong_is_read(tmp_path: Path) -> None:
    """It was taken for a path, and each row was told with all bytes of its image."""
    views = pa.array([picture(i) for i in range(3)], pa.binary_view())
    pq.write_table(pa.table({"image": views, "sex": ["a", "b", "a"]}), tmp_path / "t.parquet")
    columns = {"image": "image", "sex": "sex"}
    dataset = load_dataset(tmp_path / "t.parquet", options=LoadOptions(columns=columns))
    assert check_content(dataset).sha256 == tuple(sha256(picture(i)) for i in range(3))
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-300])
    problem = only_problem(tmp_path / "cut.parquet", columns=columns)
    assert "cannot be read as Parquet" in problem.message
    assert len(problem.message) <= 600


# One group, one spelling

COMPOSED, DECOMPOSED = "M\u00e9tis", "Me\u0301tis"


def spelt(folder: Path, *values: str, column: str = "region") -> Path:
    """Writes a table with an image for each value."""
    for number in range(len(values)):
        write_picture(folder / f"{number}.png", number)
    rows = [{"file": f"{number}.png", column: value} for number, value in enumerate(values)]
    return write_csv(folder / "table.csv", rows, ("file", column))


def test_a_group_in_two_spellings_of_unicode_is_one_group_and_said(tmp_path: Path) -> None:
    options = LoadOptions(columns={"image": "file", "region": "region", "y_true": "region"})
    two = load_dataset(spelt(tmp_path, "Nord", COMPOSED, DECOMPOSED, DECOMPOSED), options=options)
    assert two.groups(["region"]).names == (COMPOSED, "Nord")
    assert two.groups(["region"]).sizes.tolist() == [3, 1]
    assert set(two.table["y_true"]) == {"Nord", COMPOSED}
    assert two.notes == tuple(
        rf"{name} {COMPOSED} was spelt in 2 ways, counted as one: 'Me\u0301tis' (2), "
        r"'M\xe9tis' (1)."
        for name in ("y_true", "region")
    )
    one = load_dataset(spelt(tmp_path, "Nord", *[COMPOSED] * 3), options=options)
    assert one.notes == ()
    assert two.sha256 == one.sha256


@pytest.mark.parametrize(("typed", "written"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_may_be_typed_in_another_spelling_than_the_file_has(
    tmp_path: Path, typed: str, written: str
) -> None:
    file = spelt(tmp_path, "a", written, column=written)
    pq.write_table(pa.table({"file": ["0.png"], written: [written]}), tmp_path / "t.parquet")
    truth = {typed: "allow"}
    for path in (file, tmp_path / "t.parquet"):
        columns = {"image": "file", typed: typed, "y_true": typed}
        dataset = load_dataset(path, options=LoadOptions(columns=columns, truth=truth))
        assert dataset.sensitive_features == (COMPOSED,)
        assert COMPOSED in dataset.groups([written]).names
        assert "allow" in dataset.table["y_true"].tolist()


@pytest.mark.parametrize(
    "other", ["Nord\u200b", "N\u00adord", "\u200eNord", "East\u00a0Side", "East  Side"]
)
def test_two_groups_that_look_the_same_are_refused(tmp_path: Path, other: str) -> None:
    file = spelt(tmp_path, "Nord", "East Side", "nord", other)
    problem = only_problem(file, columns={"image": "file", "region": "region"})
    assert "two values of region look the same" in problem.message
    assert ascii(other) in problem.message
    assert problem.remedy.startswith("Write them alike")


def test_the_tables_that_went_wrong_are_one_dataset(objects: Path) -> None:
    cases = objects.parent.parent / "cases"
    if not cases.is_dir():
        pytest.skip("the cases of ../shared/data are not here")
    options = LoadOptions(columns={"image": "file", "region": "region"}, images=objects)
    two, one = (
        load_dataset(cases / f"{name}.csv", options=options)
        for name in ("two-spellings", "one-spelling")
    )
    assert two.groups(["region"]).sizes.tolist() == one.groups(["region"]).sizes.tolist()
    assert two.groups(["region"]).names == (COMPOSED, "Nord")
    assert two.sha256 == one.sha256
    assert (len(two.notes), len(one.notes)) == (1, 0)


def test_a_table_needs_a_csv_or_parquet_file(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, columns={"image": "path"})
    assert problem.message == "it is not a CSV or Parquet file"


# The choice of an adapter


def test_every_adapter_is_registered_under_its_name() -> None:
    assert list(ADAPTERS) == ["fairface", "utkface", "folders", "table"]
    assert all(name == adapter.name for name, adapter in ADAPTERS.items())


def test_a_path_that_is_not_there_and_a_layout_that_nobody_knows_are_refused(
    tmp_path: Path,
) -> None:
    assert only_problem(tmp_path / "x").message == "there is no such file or folder"
    problem = only_problem(tmp_path)
    assert problem.message == "no adapter knows this layout"
    assert "fairface, utkface, folders, table" in problem.remedy
    [problem] = problems_of(lambda: load_dataset(tmp_path, adapter="coco"))
    assert problem.remedy == "The adapters are: fairface, utkface, folders, table"


@pytest.mark.parametrize("adapter", ["fairface", "folders"])
def test_a_named_adapter_says_what_it_misses(tmp_path: Path, adapter: str) -> None:
    [problem] = problems_of(lambda: load_dataset(tmp_path, adapter=adapter))
    assert re.match("there (are no labels of FairFace|is no folder) in it", problem.message)


def test_an_option_that_an_adapter_cannot_use_is_refused(tmp_path: Path) -> None:
    problem = only_problem(fairface(tmp_path, face(1)), truth={"a": "b"})
    assert problem.message == "the adapter fairface takes no --truth"
    assert problem.remedy == "These do: folders, table"


# What is in the images


def hashed(folder: Path, *hashes: str) -> Path:
    rows = [face(number, sha256=text) for number, text in enumerate(hashes)]
    return fairface(folder, *rows, columns=(*FAIRFACE_COLUMNS, "sha256"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_hash_of_every_image_is_told(tmp_path: Path) -> None:
    right = [sha256(picture(0)), sha256(picture(1)).upper(), ""]
    dataset = load_dataset(hashed(tmp_path, *right))
    assert dataset.expected_sha256 == (right[0], right[1].lower(), None)
    hashes, problems = image_hashes(dataset)
    assert hashes == tuple(sha256(picture(i)) for i in range(3))
    assert problems == []
    assert check_content(dataset).sha256 == hashes


def test_another_image_than_was_annotated_is_refused_by_row(tmp_path: Path) -> None:
    dataset = load_dataset(hashed(tmp_path, sha256(picture(0)), sha256(picture(7))))
    [problem] = problems_of(lambda: check_content(dataset))
    assert (problem.path, problem.row) == (str(dataset.source), 3)
    assert sha256(picture(7)) in problem.message
    assert sha256(picture(1)) in problem.message


def test_a_stated_hash_that_is_none_is_refused_by_row(tmp_path: Path) -> None:
    problem = only_problem(hashed(tmp_path, sha256(picture(0)), "abc"))
    assert (problem.row, problem.message) == (3, "abc is not a SHA-256")


def test_two_images_with_the_same_content_are_refused_by_both_rows(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2), face(3))
    write_picture(tmp_path / "val" / "3.jpg", 0)
    [problem] = problems_of(lambda: check_content(load_dataset(file)))
    assert problem.row == 4
    assert problem.message.endswith("the same, byte for byte, as val/1.jpg in row 2")


def test_an_image_that_cannot_be_decoded_is_refused_by_row(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2))
    (tmp_path / "val" / "2.jpg").write_bytes(picture()[:40])
    dataset = load_dataset(file)
    assert image_hashes(dataset)[1] == []
    [problem] = problems_of(lambda: check_content(dataset))
    assert (problem.row, "cannot be decoded" in problem.message) == (3, True)
    [_, problem] = problems_of(lambda: check_content(dataset, max_pixels=3))
    assert "cannot be decoded" in problem.message


def test_an_image_that_is_gone_has_no_hash_and_a_problem(tmp_path: Path) -> None:
    dataset = load_dataset(fairface(tmp_path, face(1), face(2)))
    (tmp_path / "val" / "2.jpg").unlink()
    hashes, [problem] = image_hashes(dataset)
    assert hashes == (sha256(picture(0)), "")
    assert (problem.row, "No such file" in problem.message) == (3, True)


def test_an_image_without_bytes_in_a_parquet_file_has_a_problem(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", [face(1), face(2)], None)
    table = pq.read_table(file)
    images = [{"bytes": None, "path": "1.jpg"}, table.column("image")[1].as_py()]
    pq.write_table(table.set_column(0, "image", pa.array(images)), file)
    _, [problem] = image_hashes(load_dataset(file))
    assert (problem.path, problem.row) == (str(file), 1)
    assert "there are no bytes in column image" in problem.message


def test_images_of_a_damaged_parquet_file_cannot_be_read(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", [face(1)], None)
    dataset = load_dataset(file)
    file.write_bytes(b"PAR1" * 9)
    with pytest.raises(OSError, match="damaged"):
        read_bytes(dataset.references[0])


def test_bad_images_are_left_out_on_request_and_never_silently(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2, age=""), face(3), face(4))
    (tmp_path / "val" / "3.jpg").write_bytes(b"no image")
    dataset = load_dataset(file, options=LoadOptions(skip_bad=True))
    checked = check_content(dataset, skip_bad=True)
    assert checked.dataset.table["image_id"].tolist() == ["val/1.jpg", "val/4.jpg"]
    assert checked.sha256 == (sha256(picture(0)), sha256(picture(3)))
    assert checked.dataset.rows == (2, 5)
    assert [problem.row for problem in checked.dataset.left_out] == [3, 4]
    assert [note for note in checked.dataset.notes if "left out" in note] == [
        "Rows left out on request, since something is wrong with them: 1.",
        "Images left out on request, since something is wrong with them: 1.",
    ]


def test_images_in_folders_are_named_by_their_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "saw" / "1.png")
    dataset = load_dataset(tmp_path)
    _, [problem] = image_hashes(dataset)
    assert (problem.path, problem.row) == (str(tmp_path / "saw" / "1.png"), 0)
    assert problem.message.endswith(f"as {tmp_path / 'cup' / '1.png'}")
    rest, kept = leave_out(dataset, [problem])
    assert (len(rest), kept.tolist()) == (1, [0])
    everything = [row_problem(dataset, index, "bad") for index in range(2)]
    assert len(problems_of(lambda: leave_out(dataset, everything))) == 2


def test_progress_is_told_by_the_number_of_the_image(tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(indexes: Any) -> Any:
        for index in indexes:
            seen.append(index)
            yield index

    image_hashes(load_dataset(fairface(tmp_path, face(1), face(2))), progress)
    assert seen == [0, 1]


# Real photographs


def test_the_annotated_photographs_are_balanced_by_race_and_gender_and_not_by_age(
    faces: Path,
) -> None:
    dataset = load_dataset(faces)
    assert len(dataset) == 700
    race, gender, age, race_gender, *_ = coverages(dataset)
    assert {size.n for size in race.sizes} == {100}
    assert {size.n for size in gender.sizes} == {350}
    assert {size.n for size in race_gender.sizes} == {50}
    assert {size.group: size.n for size in age.sizes} == dict(
        zip(AGES, (15, 83, 89, 205, 136, 87, 54, 18, 13), strict=True)
    )
    assert list(race.warnings()) == []
    assert "age is far from balanced: 20-29 has 205, more than 70 has 13" in age.warnings()


def test_the_annotated_photographs_are_those_that_were_annotated(faces: Path) -> None:
    dataset = load_dataset(faces)
    assert check_content(dataset).sha256 == dataset.expected_sha256


def test_the_labelled_photographs_are_read_by_folder_and_by_table(objects: Path) -> None:
    by_folder = load_dataset(objects)
    columns = {"image": "file", "y_true": "class", "sha256": "sha256"}
    by_table = load_dataset(
        objects.parent / "labels.csv", options=LoadOptions(columns=columns, images=objects.parent)
    )
    assert len(by_folder) == len(by_table) == 175
    classes = [sorted(dataset.table["y_true"]) for dataset in (by_folder, by_table)]
    assert classes[0] == classes[1]
    assert check_content(by_table).sha256 == by_table.expected_sha256
    assert sorted(check_content(by_folder).sha256) == sorted(check_content(by_table).sha256)


@pytest.mark.parametrize("name", ["overall", "a × b", "a×b", "a,b", " "])
def test_a_feature_whose_name_reads_as_more_than_one_is_refused(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / "t.csv").write_text("file,x\n1.png,v\n", encoding="utf-8")
    options = LoadOptions(columns={"image": "file", name: "x"})
    with pytest.raises(DatasetError, match="cannot be called"):
        load_dataset(tmp_path / "t.csv", options=options)


def test_a_value_that_reads_as_an_intersection_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / "t.csv").write_text("file,x\n1.png,A × B\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="reads as an intersection"):
        load_dataset(tmp_path / "t.csv", options=LoadOptions(columns={"image": "file", "x": "x"}))


def test_numbers_of_any_length_are_ordered_as_numbers() -> None:
    values = ["9" * 5000, "10", "9", "010", "² squared", "3-9", "٣"]
    assert sorted(values, key=natural_order)[:4] == ["3-9", "9", "010", "10"]
