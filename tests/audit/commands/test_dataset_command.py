"""`audit datasets`: what it prints of a dataset, and of what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from audit.commands.datasets import app
from audit.commands.options import ReadingOptions
from audit.datasets.adapters import ADAPTERS, load_dataset
from audit.errors import AuditError, DatasetError
from tests.support.annotated_files import face, fairface, write_picture
from tests.support.command_line import python


def run(*words: str, code: int = 0) -> Any:
    """Returns the result of `audit datasets WORDS`, which exits with a code."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done


def document(*words: str, code: int = 0) -> Any:
    """Returns what `audit datasets WORDS` prints as JSON."""
    return json.loads(run(*words, "--format", "json", code=code).stdout)


def test_the_command_loads_no_tables_until_it_runs() -> None:
    code = "import sys, audit.commands.datasets; "
    code += "print(*{'pandas', 'pyarrow', 'torch', 'moderation.settings'} & set(sys.modules))"
    assert python(code).stdout.strip() == ""


def test_list_names_every_adapter_with_its_layout_and_licence() -> None:
    done = run("list")
    for adapter in ADAPTERS.values():
        for text in (adapter.name, adapter.layout, adapter.source, adapter.licence):
            assert text in done.stdout
    rows = document("list")
    assert [row["name"] for row in rows] == list(ADAPTERS)
    assert [row["name"] for row in rows if row["benign"]] == ["fairface", "utkface"]


def test_info_counts_each_feature_each_pair_and_all_together(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1), face(2, race="Black"), face(3, gender="Female"))
    described = document("info", str(path))
    assert [found["by"] for found in described["groups"]] == [
        *("race", "gender", "age"),
        *("race × gender", "race × age", "gender × age"),
        "race × gender × age",
    ]
    by_gender, few = described["groups"][1], "too few: no claims"
    assert by_gender["sizes"] == [
        {"group": "Female", "n": 1, "share": 1 / 3, "left_out": 0, "remark": few},
        {"group": "Male", "n": 2, "share": 2 / 3, "left_out": 0, "remark": few},
    ]
    assert described["groups"][2]["empty"] == 8
    assert (described["n"], described["benign"], described["left_out"]) == (3, True, [])
    assert "gender is not balanced: Male has 2, Female has 1" in described["warnings"]


def test_info_prints_a_table_for_people(tmp_path: Path) -> None:
    done = run("info", str(fairface(tmp_path, face(1), face(2, race="Black"))))
    assert "fairface:fairface_label_part: 2 images, nothing in it should be flagged" in done.stdout
    assert "sha256 " in done.stdout
    assert "too few: no claims" in done.stdout
    assert "race × gender × age" in done.stdout


def test_info_reports_what_is_wrong_with_annotations_and_images_at_once(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1), face(2, age="9-Mar"), face(3))
    (tmp_path / "val" / "3.jpg").write_bytes(b"no image")
    done = run("info", str(path), code=1)
    assert "row 3: 9-Mar is 3-9, which a spreadsheet turned into a date" in done.stdout
    assert "row 4: the image cannot be decoded" in done.stdout
    described = document("info", str(path), code=1)
    assert not described["valid"]
    assert [problem["row"] for problem in described["problems"]] == [3, 4]


def test_info_leaves_out_and_repairs_on_request(tmp_path: Path) -> None:
    path = fairface(tmp_path, face(1), face(2, age="9-Mar"), face(3, race=""))
    done = run("info", str(path), "--skip-bad", "--repair", "--not-benign")
    assert "2 images, not benign" in done.stdout
    assert "9-Mar to 3-9 (1)" in done.stdout
    assert "left out: " in done.stdout
    assert "row 4: race is empty" in done.stdout


def test_info_prints_what_is_alike_on_one_line_and_no_more_than_twenty(tmp_path: Path) -> None:
    rows = [face(1), *(face(number, gender="NA") for number in range(2, 37))]
    rows += [face(number, race=f"r{number}") for number in range(37, 67)]
    path = fairface(tmp_path, *rows)
    done = run("info", str(path), code=1)
    alike, *others, more = done.stdout.splitlines()
    assert "rows 3, 4, 5, 6, 7 and 30 more: there is no gender NA." in alike
    assert "row 38: there is no race r37." in others[0]
    assert (len(others), more) == (19, "... and 11 more")
    assert "65 problems" in done.stderr
    left_out = run("info", str(path), "--skip-bad").stdout
    assert [line for line in left_out.splitlines() if line.startswith("left out: ")] == [
        f"left out: {line}" for line in (alike, *others, more)
    ]
    assert len(document("info", str(path), code=1)["problems"]) == 65
    with pytest.raises(DatasetError) as refused:
        load_dataset(path)
    assert str(refused.value).splitlines() == [alike, *others, more]


def test_info_reads_any_table_by_its_columns(tmp_path: Path) -> None:
    write_picture(tmp_path / "photos" / "a.png")
    path = tmp_path / "people.csv"
    path.write_text("path,kind,eth\na.png,mug,x\n", encoding="utf-8")
    words = ["info", str(path), "--column", "image=path", "--column", "y_true=kind"]
    words += ["--column", "race=eth", "--images", str(tmp_path / "photos")]
    described = document(*words, "--truth", "mug=allow", "--benign")
    assert described["sensitive_features"] == ["race"]
    assert described["y_true"] == {"allow": 1}
    assert described["benign"]


def test_info_notes_which_groups_an_audit_does_not_look_at(tmp_path: Path) -> None:
    for number in range(120):
        write_picture(tmp_path / f"{number}.png", number)
    lines = [f"{number}.png,p{number},{'xy'[number % 2]}" for number in range(120)]
    path = tmp_path / "many.csv"
    path.write_text("\n".join(["file,who,form", *lines]), encoding="utf-8")
    words = ["info", str(path), *(f"--column={key}={key}" for key in ("who", "form"))]
    words.append("--column=image=file")
    note = (
        "who has 120 groups, so the audit does not look at them, nor at its intersections: join "
        "its values to at most 100, or name it with --by who."
    )
    assert f"note: {note}" in run(*words).stdout.splitlines()
    assert note in document(*words)["notes"]


def test_info_of_classes_alone_says_that_there_are_no_rates_by_group(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    done = run("info", str(tmp_path), "--adapter", "folders")
    assert "no sensitive feature" in done.stdout
    assert "cup" in done.stdout


@pytest.mark.parametrize("pair", ["image", "=path", "image="])
def test_a_pair_without_both_sides_is_refused(pair: str) -> None:
    with pytest.raises(typer.BadParameter, match="not of the form KEY=VALUE"):
        ReadingOptions(column=[pair]).load_options()


def test_a_key_that_is_named_twice_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="cup is named twice"):
        ReadingOptions(truth=["cup=allow", "cup=weapons"]).load_options()


def test_pairs_may_hold_a_second_sign() -> None:
    assert ReadingOptions(column=["race=a=b"]).load_options().columns == {"race": "a=b"}


def test_balance_writes_a_table_that_an_audit_reads(tmp_path: Path) -> None:
    file = fairface(tmp_path, *(face(i, race=("White", "Black")[i % 3 == 0]) for i in range(12)))
    out = tmp_path / "balanced.csv"
    done = run("balance", str(file), "--by", "race", "--n", "7", "--seed", "3", "--out", str(out))
    first, then = done.stdout.splitlines()
    assert first == f"6 images in {out}, 3 of each of 2 groups"
    words = then.removeprefix("Read it with --dataset ").split()
    found = document("info", words[0], *words[1:])
    [race] = [each for each in found["groups"] if each["by"] == "race"]
    assert {size["group"]: size["n"] for size in race["sizes"]} == {"Black": 3, "White": 3}
    assert found["benign"]
    nowhere = str(tmp_path / "no" / "b.csv")
    lost = run("balance", str(file), "--by", "race", "--out", nowhere, code=1)
    assert isinstance(lost.exception, AuditError)
    assert not list(tmp_path.glob("*.tmp"))
