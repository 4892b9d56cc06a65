"""FairFace: as released, as a model hub stores it, and every trap that its copies set."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.datasets.adapters import load_dataset
from audit.datasets.adapters.fairface import (
    AGES,
    VALIDATION_COUNTS,
    VALIDATION_SIZE,
    fairface_differences,
)
from audit.datasets.adapters.spreadsheet import age_of_date
from audit.datasets.coverage import coverages
from audit.datasets.image_references import ParquetImage, read_reference
from tests.support.annotated_files import (
    FAIRFACE_COLUMNS,
    HUB_ROWS,
    face,
    fairface,
    load,
    only_problem,
    picture,
    problems_of,
    write_csv,
    write_hub,
)

HUB_NAMES = {
    "age": list(AGES),
    "gender": ["Male", "Female"],
    "race": ["East Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic"],
}


def test_fairface_is_read_with_its_three_features_in_the_order_of_reports(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1), face(2, gender="Female", age="3-9", race="East Asian"))
    dataset = load(path)
    assert (dataset.adapter, dataset.name) == ("fairface", "fairface:fairface_label_part")
    assert dataset.sensitive_features == ("race", "gender", "age")
    assert dataset.benign
    assert dataset.table["image_id"].tolist() == ["val/1.jpg", "val/2.jpg"]
    assert dataset.table["y_true"].tolist() == [None, None]
    assert dataset.table["race"].tolist() == ["White", "East Asian"]
    assert dataset.values("age") == ("3-9", "20-29")
    assert dataset.rows == (2, 3)
    assert read_reference(dataset.references[1]) == picture(1)


def test_the_order_of_columns_does_not_matter(tmp_path: Path) -> None:
    rows = [face(1), face(2, age="0-2")]
    straight = load(fairface(tmp_path, *rows))
    turned = load(fairface(tmp_path, *rows, columns=FAIRFACE_COLUMNS[::-1]))
    assert straight.sha256 == turned.sha256
    assert straight.table.equals(turned.table)


def test_a_folder_with_one_file_of_labels_is_read(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1))
    assert load(tmp_path).source == file
    file.rename(tmp_path / "labels.csv")
    dataset = load(tmp_path)
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
    assert load(file).table["race"].tolist() == ["White"]


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
    dataset = load(fairface(tmp_path, face(1, **{feature: cell})))
    assert dataset.table[feature].tolist() == [value]
    assert len(dataset.notes) == 1


@pytest.mark.parametrize("cell", ["TRUE", "False", "true", "0", "1"])
def test_service_test_may_be_written_in_several_ways(tmp_path: Path, cell: str) -> None:
    assert len(load(fairface(tmp_path, face(1, service_test=cell)))) == 1


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
    assert problem.remedy.endswith("leave such rows out, counted by group, with --skip-bad")


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
    dataset = load(path, repair=True)
    assert dataset.table["age"].tolist() == ["3-9", "10-19", "3-9"]
    assert "put right on request: 3. 9-Mar to 3-9 (2), Oct-19 to 10-19 (1)." in dataset.notes[-1]


@pytest.mark.parametrize("cell", [*AGES, "3.9", "9-Jan", "marble 9", "2-Jan", "", "10-Oct", "1/1"])
def test_a_cell_that_no_spreadsheet_makes_of_an_age_is_not_a_date(cell: str) -> None:
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
    assert len(load(file).notes) == 1
    dataset = load(file.rename(tmp_path / "fairface_label_val.csv"))
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
    dataset = load(tmp_path)
    assert len(dataset.notes) == 1
    assert fairface_differences(dataset.table) == ()
    genders = pa.array(["Female", *table.column("gender").to_pylist()[1:]])
    changed = table.set_column(table.column_names.index("gender"), "gender", genders)
    pq.write_table(changed, tmp_path / "validation-00000-of-00001.parquet")
    note = load(tmp_path).notes[-1]
    assert "it was changed" in note
    assert "gender Male has 5,791, published are 5,792" in note


def class_labels(**names: object) -> dict[str, object]:
    return {
        column: {"names": found, "_type": "ClassLabel"}
        for column, found in {**HUB_NAMES, **names}.items()
    }


def test_numbers_of_classes_are_read_by_the_names_that_the_file_states(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, class_labels())
    dataset = load(file)
    assert dataset.table["age"].tolist() == ["20-29", "more than 70", "3-9"]
    assert dataset.table["gender"].tolist() == ["Male", "Female", "Female"]
    assert dataset.table["race"].tolist() == ["White", "East Asian", "Latino_Hispanic"]
    assert dataset.table["image_id"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert dataset.rows == (1, 2, 3)
    assert dataset.references[2] == ParquetImage(file, 2, "image")
    assert [read_reference(image) for image in dataset.references] == [picture(i) for i in range(3)]


def test_the_same_number_is_a_different_gender_where_the_file_says_so(tmp_path: Path) -> None:
    """A second copy on the Hub numbers the genders the other way round."""
    names = class_labels(gender={"0": "Female", "1": "Male"})
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, names)
    assert load(file).table["gender"].tolist() == ["Female", "Male", "Male"]


def test_names_may_be_stated_deeper(tmp_path: Path) -> None:
    names = {column: {"feature": feature} for column, feature in class_labels().items()}
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, names)
    assert load(file).table["gender"].tolist() == ["Male", "Female", "Female"]


@pytest.mark.parametrize("features", [None, {}, {"gender": {"dtype": "int64", "_type": "Value"}}])
def test_numbers_without_names_are_refused_and_never_guessed(
    tmp_path: Path, features: Mapping[str, object] | None
) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, features)
    problem = only_problem(file)
    assert problem.message.startswith("age, gender, race holds numbers")
    assert "never guessed: one copy of FairFace has Male as 0, another Female" in problem.remedy


def test_metadata_that_is_not_json_states_no_names(tmp_path: Path) -> None:
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
    assert load(file).table["race"].tolist() == ["White", "Black"]


@pytest.mark.parametrize("paths", [["a.jpg", None, "b.jpg"], ["a.jpg", "a.jpg", "b.jpg"]])
def test_images_without_their_own_path_are_called_by_file_and_row(
    tmp_path: Path, paths: list[str | None]
) -> None:
    file = write_hub(tmp_path / "part.parquet", HUB_ROWS, class_labels(), paths)
    assert load(file).table["image_id"].tolist() == ["part#1", "part#2", "part#3"]


def test_the_shards_of_one_part_are_one_dataset(tmp_path: Path) -> None:
    for shard in range(2):
        name = f"validation-{shard:05}-of-00002-0f1e.parquet"
        write_hub(tmp_path / name, HUB_ROWS, class_labels())
    dataset = load(tmp_path)
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


def test_the_annotated_photographs_are_balanced_by_race_and_gender_and_not_by_age(
    faces: Path,
) -> None:
    dataset = load(faces)
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
