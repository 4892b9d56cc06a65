"""Predictions with something wrong: each error says what it is, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Timer

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from audit.audits.predicted_subject import open_predictions
from audit.errors import AuditError
from audit.predicted.columns import PredictionOptions
from audit.predicted.files import database, open_file
from tests.support.prediction_files import write_columns

HEADER = "id,g,dec,lab,sc,y\n"


def forty_rows() -> str:
    """Returns a file without anything wrong in it."""
    rows = (
        f"i{k},{'ab'[k % 2]},{('allow', 'block')[k % 3 == 0]},{('Cat', 'Big Dog')[k % 5 == 0]},"
        f"0.{k % 10},{('cat', 'big dog')[k % 5 == 0]}\n"
        for k in range(40)
    )
    return HEADER + "".join(rows)


def write_rows(folder: Path, more: str = "", name: str = "p.csv") -> Path:
    """Writes the forty rows and more."""
    path = folder / name
    path.write_text(forty_rows() + more, encoding="utf-8")
    return path


def error_of(
    files: Sequence[Path | tuple[str, Path]],
    options: PredictionOptions,
    by: Sequence[Sequence[str]] | None = (("g",),),
) -> str:
    """Returns what opening the files is refused with."""
    with pytest.raises(AuditError) as caught:
        open_predictions(files, options, by)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PredictionOptions(), "which column holds what a system said is not said. Name a column"),
        (
            PredictionOptions(decisions=["decc"]),
            "--decision: there is no column decc. Did you mean dec? There are: id, g, dec",
        ),
        (PredictionOptions(decisions=["d*x"]), "--decision: no column fits d*x"),
        (PredictionOptions(scores=["sc"]), "--score: sc does not end in @THRESHOLD. Write"),
        (PredictionOptions(scores=["sc@half"]), "--score: sc@half does not end in @THRESHOLD"),
        (PredictionOptions(scores=["sc@nan"]), "--score: sc@nan does not end in @THRESHOLD"),
        (
            PredictionOptions(scores=["sc@0.5,0.7"]),
            "--score: 0.5,0.7: the threshold of review is not below the other. Write @BLOCK,REVIEW",
        ),
        (
            PredictionOptions(decisions=["x=dec"], said=["x=lab"]),
            "two systems are called x. Write NAME=COLUMN for each",
        ),
        (
            PredictionOptions(scores=["v/a=sc@0.5", "v/a=sc@0.6"]),
            "--score: two columns are called v/a. Name each once",
        ),
        (
            PredictionOptions(decisions=["dec"], truth_columns=["x=y"]),
            "--truth-column: no system is called x. There are: dec",
        ),
        (
            PredictionOptions(decisions=["dec"], truth_columns=["y", "lab"]),
            "--truth-column: two columns are y_true for all systems: y and lab",
        ),
        (
            PredictionOptions(said=["lab"], flags=["dog"]),
            "--flag: no system says the label dog. The labels are: Big Dog, Cat",
        ),
        (PredictionOptions(said=["lab"], flags=["cat"]), "Did you mean Cat?"),
        (
            PredictionOptions(said=["lab"], flags=["Cat=refuse"]),
            "--flag: Cat=refuse does not end in =review or =block",
        ),
        (
            PredictionOptions(said=["lab"], flags=["Cat", "*=review"]),
            "--flag: the label Cat is named twice, and flags in two ways",
        ),
        (
            PredictionOptions(said=["lab"], implies=["dog=cat"], truth_columns=["y"]),
            "--implies: no system says the label dog",
        ),
        (
            PredictionOptions(said=["lab"], implies=["*at=x", "Ca*=y"], truth_columns=["y"]),
            "--implies: the label Cat implies x and y. Name it alone, as LABEL=CLASS",
        ),
        (
            PredictionOptions(said=["lab"], implies=["@g"], truth_columns=["y"]),
            "--implies: the label Big Dog of lab implies a and b in other rows",
        ),
        (
            PredictionOptions(said=["lab"], implies=["Cat=x", "Big Dog=z"], truth_columns=["y"]),
            "--implies: no row has the class x. The classes of y_true are: big dog, cat",
        ),
        (
            PredictionOptions(said=["lab"], truth_columns=["g"]),
            "y_true: no class of y_true (a, b) is implied by a label of lab (Big Dog, Cat)",
        ),
        (
            PredictionOptions(decisions=["dec"], truth_columns=["y"]),
            "no class of y_true (big dog, cat) says what dec should decide. Say it with --truth",
        ),
        (
            PredictionOptions(said=["lab"]),
            "lab flags nothing, and it is not known what is right. Name the labels that flag",
        ),
        (
            PredictionOptions(decisions=["dec"], said=["lab"], truth_columns=["lab=y"]),
            "dec flags images, and lab does not, so they cannot be compared",
        ),
        (
            PredictionOptions(decisions=["lab"]),
            "lab says 'Cat', which is not a known decision (rows 3, 4, 5, 6, 8 and 27 more). "
            "Name the column with --said, and the words that flag with --flag WORD=review",
        ),
    ],
)
def test_what_was_typed_does_not_fit(options: PredictionOptions, said: str, tmp_path: Path) -> None:
    assert said in error_of([write_rows(tmp_path)], options)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,a,,Cat,0.1,cat\nx2,b,nan,Cat,0.1,cat\n", "dec is empty (rows 42, 43). Fill it in, or"),
        ("x,,allow,Cat,0.1,cat\n", "g is empty (row 42). Fill it in, or leave the row out"),
        (
            "x,unknown,allow,Cat,0.1,cat\n",
            "g is unknown, which reads as not known (row 42). Fill it in, or leave the row out "
            "with --skip-bad; if it is a group, keep it as one with --as-written g",
        ),
        (
            "x,a,allow,,0.1,cat\n",
            "lab is empty (row 42). Fill it in, or leave such rows out, counted by group",
        ),
        (
            "x,a,allow,Cat,NaN,cat\nx2,a,allow,Cat,,cat\n",
            "the score sc is empty or NaN (rows 42, 43). Fill it in, or leave such rows out",
        ),
        (
            "x,a,allow,Cat,high,cat\nx2,b,allow,Cat,inf,\n",
            "the score sc is not a number (rows 42, 43)",
        ),
        (
            "x,a,allow,Cat,55,cat\nx2,b,allow,Cat,-0.5,cat\n",
            "sc is outside 0 to 1, the scale of its threshold 0.5 (rows 42, 43). If scores are "
            "percentages, write @50. If they may be any numbers, add --any-scale",
        ),
        (
            "i1,a,allow,Cat,0.1,cat\n,a,allow,Cat,0.1,cat\n",
            "the id id is empty (row 43)",
        ),
        (
            "i1,a,allow,Cat,0.1,cat\ni1,a,allow,Cat,0.1,cat\n i2 ,a,allow,Cat,0.1,cat\n",
            "2 ids are in more than one row: i1, i2. Keep one row of each; --skip-bad leaves all",
        ),
        ("x,a,allow,Cat\n", "p.csv, row 42: it has 4 cells, and the header 6. Put quotes around"),
        ("x,a,allow,Cat,0.1,cat,dog\n", "row 42: it has 7 cells, and the header 6"),
        ('x,a,allow,"Cat,0.1,cat\n', "row 42: it is not CSV"),
        (
            "x,a,allow,cat,0.1,cat\n",
            "values of lab differ in case, width or invisible characters alone: 'Cat' (32), "
            "'cat' (1). Write them alike; if case tells them apart, say --as-written lab",
        ),
        ("x,A,allow,Cat,0.1,cat\n", "values of g differ in case, width or invisible characters"),
        (
            f"x,a,allow,{'c' * 300},0.1,cat\n",
            "lab has 300 characters, and a name has at most 200 (row 42)",
        ),
    ],
)
def test_a_row_has_something_wrong(row: str, said: str, tmp_path: Path) -> None:
    options = PredictionOptions(
        said=["lab"],
        decisions=["dec"],
        scores=["sc@0.5"],
        flags=["*"],
        truth_columns=["lab=y"],
        columns={"id": "id"},
    )
    assert said in error_of([write_rows(tmp_path, row)], options)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path, "x,,allow,Cat,0.1,cat\nx2,a,maybe,Cat,7,cat\n")
    said = error_of([path], PredictionOptions(decisions=["dec"], scores=["sc@0.5"]))
    assert "g is empty (row 42)" in said
    assert "dec says 'maybe', which is not a known decision (row 43)" in said
    assert "sc is outside 0 to 1, the scale of its threshold 0.5 (row 43)" in said


@pytest.mark.parametrize("n", ["1.5", "-1", "many", "", "inf", "nan"])
def test_a_count_is_a_whole_number(n: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"g,dec,n\na,allow,3\nb,block,{n}\n")
    said = error_of([path], PredictionOptions(decisions=["dec"], count="n"))
    assert "the count n is not a whole number from 0 on (row 3)" in said


def test_there_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(HEADER)
    said = error_of([tmp_path / "p.csv"], PredictionOptions(decisions=["dec"]))
    assert "it has no rows. Name a file of predictions" in said
    pd.DataFrame({"g": [], "dec": []}).astype(str).to_parquet(tmp_path / "p.parquet")
    said = error_of([tmp_path / "p.parquet"], PredictionOptions(decisions=["dec"]))
    assert "it has no rows" in said


def test_no_row_is_left(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["", ""], dec=["allow", "block"])
    options = PredictionOptions(decisions=["dec"], skip_bad=True)
    assert "no row is left in it" in error_of([path], options)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.csv", "", "row 1: its first line is not a header"),
        ("twice.csv", "g,g,dec\na,a,allow\n", "two columns are called g"),
        ("latin.csv", "g,dec\nfl\xfcchtling,allow\n", "it is not text in UTF-8. Save it"),
        ("bad.parquet", "no", "it cannot be read as Parquet"),
        ("p.json", "{}", "it is not a CSV or Parquet file. Name a file that ends in .csv"),
    ],
)
def test_a_file_that_cannot_be_read(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert said in error_of([tmp_path / name], PredictionOptions(decisions=["dec"]))
    missing = error_of([tmp_path / f"no-{name}"], PredictionOptions(decisions=["dec"]))
    assert "there is no such file" in missing


def test_a_column_of_lists_holds_no_values(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.parquet", g=["a", "b"], dec=[["allow"], ["block"]])
    said = error_of([path], PredictionOptions(decisions=["dec"]))
    assert "--decision: the column dec of" in said
    assert "holds lists, records or bytes, and no values" in said


def test_no_column_is_one_of_groups(tmp_path: Path) -> None:
    path = write_columns(
        tmp_path / "p.csv",
        file=[f"{i}.jpg" for i in range(40)],
        p=np.linspace(0, 1, 40).round(1).tolist(),
        one=["same"] * 40,
        dec=["allow", "block"] * 20,
    )
    said = error_of([path], PredictionOptions(decisions=["dec"]), None)
    assert (
        "no column looks like one of groups. Name one with --by; further columns: file, p" in said
    )


def test_labels_and_groups_have_bounds(tmp_path: Path) -> None:
    many = [f"v{i}" for i in range(1000)]
    path = write_columns(tmp_path / "p.csv", many=many, g=["a", "b"] * 500, l=["x"] * 1000)
    said = error_of([path], PredictionOptions(said=["many"], flags=["v1"]))
    assert "the column many has 1,000 values, more than 300 labels. Name a column of labels" in said
    said = error_of([path], PredictionOptions(said=["l"], flags=["x"]), [("many",)])
    assert "many has 1,000 groups, too many to compare" in said


def test_a_truth_that_no_row_has(tmp_path: Path) -> None:
    options = PredictionOptions(said=["lab"], truth_columns=["y"], truth={"horse": "cat"})
    said = error_of([write_rows(tmp_path)], options)
    assert "no row has the class horse that --truth names. The classes are: big dog, cat" in said


def test_ids_that_meet_no_row(tmp_path: Path) -> None:
    own = write_rows(tmp_path)
    other = write_columns(
        tmp_path / "other.csv",
        file=[f"i{k}" for k in range(2, 47)],
        second=["yes", "no", "no"] * 15,
    )
    options = PredictionOptions(decisions=["dec", "second"], columns={"id": "id,file"})
    said = error_of([own, other], options)
    assert f"p.csv: 2 of 40 rows have an id that is not in {other}: i0, i1." in said
    assert f"other.csv: 7 of 45 rows have an id that is not in {own}: i40, i41, i42" in said
    assert "i43, i44 and 2 more." in said
    assert "leave such rows out with --skip-bad" in said


def test_files_are_joined_by_a_column_that_each_has(tmp_path: Path) -> None:
    own = write_rows(tmp_path)
    other = write_columns(tmp_path / "other.csv", file=["i1"], second=["no"])
    said = error_of([own, other], PredictionOptions(decisions=["dec", "second"]))
    assert (
        "several files are joined by id, and which column holds it is not said. Add --column"
        in said
    )
    options = PredictionOptions(decisions=["dec", "second"], columns={"id": "id"})
    said = error_of([own, other], options)
    assert f"{other} has no column id, by which the files are joined. Name that of each" in said


def test_two_files_contradict_each_other(tmp_path: Path) -> None:
    own = write_rows(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text(forty_rows().replace("i3,b", "i3,a"))
    options = PredictionOptions(decisions=["x=1:dec", "z=2:dec"], columns={"id": "id"})
    said = error_of([own, other], options)
    assert f"{own} and {other}: g of 1 id is another in each of the two files: i3." in said


def test_a_column_of_two_files_needs_its_file(tmp_path: Path) -> None:
    files = [write_rows(tmp_path), write_rows(tmp_path, name="other.csv")]
    said = error_of(files, PredictionOptions(decisions=["dec"], columns={"id": "id"}))
    assert (
        "--decision: several files have a column dec. Say of which file it is: 1:dec or 2:dec"
        in said
    )
    said = error_of(files, PredictionOptions(scores=["s*@0.5"], columns={"id": "id"}))
    assert "several files have a column s*. Say of which file it is: 1:s* or 2:s*" in said


def test_two_files_have_one_key(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    said = error_of([("a", path), ("a", path)], PredictionOptions(decisions=["dec"]))
    assert "two files are called a. Give each another name, as NAME=FILE" in said


def test_too_many_rows_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("audit.predicted.cell_query.MOST_CELLS", 5)
    said = error_of(
        [write_rows(tmp_path)], PredictionOptions(decisions=["dec"], said=["lab"], flags=["*"])
    )
    assert "more than 5 rows differ in what is looked at. Name fewer systems" in said


def test_a_class_that_no_row_has_is_not_implied(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.csv", g=["a", "b"], y=["Male", "Female"], p=["man", "woman"])
    implies = ["man=Mole", "woman=female"]
    options = PredictionOptions(said=["p"], implies=implies, truth_columns=["y"])
    said = error_of([path], options)
    assert (
        "--implies: no row has the class Mole. Did you mean Male? The classes of y_true are:"
        in said
    )
    said = error_of([path], PredictionOptions(said=["p"], implies=implies, flags=["man"]))
    assert "no row has the class Mole. Name the column of y_true with --truth-column" in said


@pytest.mark.parametrize("count", [10**9, 10**14])
def test_more_images_than_are_audited(count: int, tmp_path: Path) -> None:
    rows = 10**5 if count > 10**9 else 2
    path = write_columns(
        tmp_path / "p.csv", g=["a", "b"] * (rows // 2), d=[0, 1] * (rows // 2), n=[count] * rows
    )
    said = error_of([path], PredictionOptions(decisions=["d"], count="n"))
    assert f"stand for {count * rows:,} images, and fewer than 1,000,000,000 can be audited" in said


def test_a_parquet_file_that_is_damaged_inside(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "p.parquet", g=["a", "b"] * 50, d=[0, 1, 1, 1] * 25)
    page = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[page + 2 : page + 12] = b"Z" * 10
    path.write_bytes(damaged)
    said = error_of([path], PredictionOptions(decisions=["d"]))
    assert said.startswith("--predictions: the predictions cannot be read: ")
    assert said.endswith(
        "See whether the file is whole, and whether the disk and the memory have room"
    )


def test_an_interrupted_query_is_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt_a_query(tmp_path)


def interrupt_a_query(tmp_path: Path) -> None:
    """Asks for a number that takes DuckDB hours, and interrupts it as Ctrl-C would."""
    path = open_file("1", write_columns(tmp_path / "p.csv", n=range(300), g=range(300)))
    with database() as connection:
        Timer(0.5, connection.interrupt).start()
        others = ", ".join(f"(SELECT c0 AS n{i} FROM {path.scan})" for i in range(9))
        connection.execute(f"SELECT count(DISTINCT n0 || n1 || n2 || n8) FROM {others}")
