"""Any table of annotations: its columns, its images, its spellings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.datasets.image_problems import image_hashes
from audit.datasets.image_references import read_reference
from tests.support.annotated_files import (
    load,
    only_problem,
    picture,
    problems_of,
    write_csv,
    write_picture,
)


def people(folder: Path, *lines: str) -> Path:
    """Writes a table of three images in columns that no adapter knows."""
    for number in range(3):
        write_picture(folder / f"{number}.png", number)
    file = folder / "people.csv"
    file.write_text("\n".join(["path,cls,monk,who", *lines]), encoding="utf-8")
    return file


PEOPLE = {"image": "path", "y_true": "cls", "skin_tone": "monk", "id": "who"}


REGION = {"image": "file", "region": "region"}


def spelt(folder: Path, *values: str, column: str = "region") -> Path:
    """Writes a table with an image for each value."""
    for number in range(len(values)):
        write_picture(folder / f"{number}.png", number)
    rows = [{"file": f"{number}.png", column: value} for number, value in enumerate(values)]
    return write_csv(folder / "table.csv", rows, ("file", column))


def test_a_table_is_read_by_its_named_columns(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,cup,10,a", "1.png,,9,b", "2.png,saw,1,c")
    dataset = load(file, columns=PEOPLE)
    assert (dataset.adapter, dataset.name, dataset.benign) == ("table", "table:people", False)
    assert dataset.sensitive_features == ("skin_tone",)
    assert dataset.table["image_id"].tolist() == ["a", "b", "c"]
    assert dataset.table["y_true"].tolist() == ["cup", None, "saw"]
    assert dataset.values("skin_tone") == ("1", "9", "10")
    benign = load(file, columns=PEOPLE, benign=True)
    assert benign.benign


def test_an_id_that_occurs_twice_is_refused_by_both_rows(tmp_path: Path) -> None:
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
    dataset = load(file, columns=PEOPLE, repair=True)
    assert dataset.table["skin_tone"].tolist() == ["10-19"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"race": "monk"}, "which column holds the images is not said"),
        ({"image": "path", "image_id": "who"}, "a sensitive feature cannot be called image_id"),
    ],
)
def test_columns_that_do_not_make_a_table_are_refused(
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
    dataset = load(file, columns=columns)
    assert dataset.table["image_id"].tolist() == ["0.png" if is_path else "table#1"]
    assert dataset.table["tone"].tolist() == ["4"]
    assert dataset.table["flag"].tolist() == ["True"]
    assert read_reference(dataset.references[0]) == picture()


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_images_of_a_model_hub_may_be_any_kind_of_bytes(tmp_path: Path, kind: Any) -> None:
    struct = pa.struct([("bytes", kind), ("path", pa.string())])
    image = pa.array([{"bytes": picture(), "path": "a.png"}], struct)
    pq.write_table(pa.table({"image": image, "sex": ["a"]}), tmp_path / "t.parquet")
    columns = {"image": "image", "sex": "sex"}
    dataset = load(tmp_path / "t.parquet", columns=columns)
    assert dataset.table["image_id"].tolist() == ["a.png"]
    assert read_reference(dataset.references[0]) == picture()


#: Columns that hold megabytes which are neither a name nor an image, and what is said of them.
UNFIT: dict[str, tuple[str, list[Any], str]] = {
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
    "group without end": (
        "sex",
        ["x" * 10**6],
        "sex has 1,000,000 characters, and a name has at most",
    ),
    "hostile group": ("sex", ["\x1b[2J" * 10**5], "sex has 400,000 characters"),
    "hostile path": ("image", ["\x1b[2J\u202e.png"], r"\x1b[2J\u202e.png"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_column_that_does_not_hold_names_is_refused_in_few_words(
    tmp_path: Path, name: str
) -> None:
    column, cells, message = UNFIT[name]
    write_picture(tmp_path / "0.png")
    table = {"image": ["0.png"], "sex": ["a"], column: pa.array(cells)}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    found = problems_of(
        lambda: load(tmp_path / "t.parquet", columns={"image": "image", "sex": "sex"})
    )
    assert any(message in problem.message for problem in found)
    for problem in found:
        assert len(problem.message) <= 600
        assert str(problem).isprintable()


COMPOSED, DECOMPOSED = "M\u00e9tis", "Me\u0301tis"


def test_a_group_in_two_spellings_of_unicode_is_one_group_and_said(tmp_path: Path) -> None:
    options: dict[str, Any] = {"columns": {**REGION, "y_true": "region"}}
    two = load(spelt(tmp_path, "Nord", COMPOSED, DECOMPOSED, DECOMPOSED), **options)
    assert two.groups(["region"]).names == (COMPOSED, "Nord")
    assert two.groups(["region"]).sizes.tolist() == [3, 1]
    assert set(two.table["y_true"]) == {"Nord", COMPOSED}
    assert two.notes == tuple(
        rf"{name} {COMPOSED} was spelt in 2 ways, counted as one: 'Me\u0301tis' (2), "
        r"'M\xe9tis' (1)."
        for name in ("y_true", "region")
    )
    one = load(spelt(tmp_path, "Nord", *[COMPOSED] * 3), **options)
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
        dataset = load(path, columns=columns, truth=truth)
        assert dataset.sensitive_features == (COMPOSED,)
        assert COMPOSED in dataset.groups([written]).names
        assert "allow" in dataset.table["y_true"].tolist()


@pytest.mark.parametrize(
    "other", ["Nord\u200b", "N\u00adord", "\u200eNord", "nord", "NORD", "\uff2eord"]
)
def test_two_groups_that_look_the_same_are_refused_with_the_count_of_each(
    tmp_path: Path, other: str
) -> None:
    file = spelt(tmp_path, "Nord", "East Side", other, other, "Nord ")
    problem = only_problem(file, columns=REGION)
    assert "values of region differ in case, width or invisible characters alone" in problem.message
    assert "'Nord' (2)" in problem.message
    assert f"{other!a} (2)" in problem.message
    assert "East" not in problem.message
    assert problem.remedy == (
        "Write them alike; if case tells groups apart, say --as-written region"
    )
    assert only_problem(file, columns=REGION, skip_bad=True) == problem


def test_groups_that_differ_in_spaces_are_one_group_and_said(tmp_path: Path) -> None:
    several = ["East Side", "East\u00a0Side", "East  Side ", "East\tSide", "East\u2009Side"]
    dataset = load(spelt(tmp_path, *several, "Nord"), columns=REGION)
    assert dataset.groups(["region"]).names == ("East Side", "Nord")
    assert dataset.groups(["region"]).sizes.tolist() == [5, 1]
    [note] = dataset.notes
    assert note.startswith("region East Side was spelt in 5 ways, counted as one: ")
    assert all(f"{text!a} (1)" in note for text in several)


def test_notes_on_spellings_are_bounded(tmp_path: Path) -> None:
    values = [f"{number}{end}" for number in range(30) for end in ("", " ")]
    notes = load(spelt(tmp_path, *values), columns=REGION).notes
    assert len(notes) == 21
    assert notes[-1] == "10 more values were spelt in several ways, each counted as one."


@pytest.mark.parametrize(
    "cell", ["NA", "n/a", "N.A.", " None ", "UNKNOWN", "nan", "NULL", "-", "?", "#N/A", "<NA>"]
)
def test_a_value_that_reads_as_not_known_is_asked_about_like_an_empty_cell(
    tmp_path: Path, cell: str
) -> None:
    file = spelt(tmp_path, "Nord", cell, "", "Unknownsville")
    known, empty = problems_of(lambda: load(file, columns=REGION))
    assert (known.row, empty.row) == (3, 4)
    assert known.message == f"region is {cell.strip()}, which reads as not known"
    assert "--skip-bad" in known.remedy
    assert "keep it as one with --as-written region" in known.remedy
    assert empty.message == "region is empty"
    kept = load(file, columns=REGION, skip_bad=True).groups(["region"])
    assert (kept.names, kept.unplaced) == (("Nord", "Unknownsville"), 2)


def test_values_may_be_taken_as_they_are_written(tmp_path: Path) -> None:
    file = spelt(tmp_path, "NA", "na", "None", "null", "9-Mar", "DE")
    asked = frozenset({"region"})
    dataset = load(file, columns=REGION, as_written=asked)
    assert dataset.groups(["region"]).names == ("9-Mar", "DE", "NA", "na", "None", "null")
    columns = {"image": "file", DECOMPOSED: "region"}
    assert len(load(file, columns=columns, as_written=frozenset({COMPOSED}))) == 6
    problem = only_problem(spelt(tmp_path, "NA", " "), columns=REGION, as_written=asked)
    assert (problem.row, problem.message) == (3, "region is empty")
    problem = only_problem(file, columns=REGION, as_written=frozenset({"regio"}))
    assert problem.message == "there is no sensitive feature regio to take as written"
    assert problem.remedy == "It has: region"


def test_a_class_that_reads_as_not_known_stays_a_class(tmp_path: Path) -> None:
    file = people(tmp_path, "0.png,none,10,a", "1.png,unknown,9,b", "2.png,nan,1,c")
    dataset = load(file, columns=PEOPLE, truth={"none": "allow"})
    assert dataset.table["y_true"].tolist() == ["allow", "unknown", None]


def test_two_tables_that_differ_only_in_spelling_are_one_dataset(objects: Path) -> None:
    cases = objects.parent.parent / "cases"
    if not cases.is_dir():
        pytest.skip("the cases of ../shared/data are not here")
    options: dict[str, Any] = {"columns": REGION, "images": objects}
    two, one = (
        load(cases / f"{name}.csv", **options) for name in ("two-spellings", "one-spelling")
    )
    assert two.groups(["region"]).sizes.tolist() == one.groups(["region"]).sizes.tolist()
    assert two.groups(["region"]).names == (COMPOSED, "Nord")
    assert two.sha256 == one.sha256
    assert (len(two.notes), len(one.notes)) == (1, 0)


def test_a_table_needs_a_csv_or_parquet_file(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, columns={"image": "path"})
    assert problem.message == "it is not a CSV or Parquet file"


def test_the_labelled_photographs_are_read_by_folder_and_by_table(objects: Path) -> None:
    by_folder = load(objects)
    columns = {"image": "file", "y_true": "class", "sha256": "sha256"}
    by_table = load(objects.parent / "labels.csv", columns=columns, images=objects.parent)
    assert len(by_folder) == len(by_table) == 175
    classes = [sorted(dataset.table["y_true"]) for dataset in (by_folder, by_table)]
    assert classes[0] == classes[1]
    (by_table_hashes, problems), (by_folder_hashes, _) = map(image_hashes, (by_table, by_folder))
    assert (by_table_hashes, problems) == (by_table.expected_sha256, [])
    assert sorted(by_folder_hashes) == sorted(by_table_hashes)


@pytest.mark.parametrize("name", ["overall", "a × b", "a×b", "a,b", " "])
def test_a_feature_whose_name_reads_as_more_than_one_is_refused(tmp_path: Path, name: str) -> None:
    file = spelt(tmp_path, "v")
    problem = only_problem(file, columns={"image": "file", name: "region"})
    assert "cannot be called" in problem.message


def test_a_value_that_reads_as_an_intersection_is_refused(tmp_path: Path) -> None:
    problem = only_problem(spelt(tmp_path, "A × B"), columns=REGION)
    assert "reads as an intersection" in problem.message
