"""`moderation evaluate`: what it prints and writes, and that a second run takes no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit.errors import AuditError
from moderation.commands.app import app
from tests.support.annotated_files import write_picture
from tests.support.command_line import moderation
from tests.support.policy_texts import VALID
from tests.support.recorded_features import imported, unit_rows, write_npy_and_csv, write_texts


def run(*words: str, code: int = 0) -> Any:
    """Returns the result of `moderation evaluate WORDS`, which exits with a code."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["evaluate", *words])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A picture of each of two labels, one of both, and three that must pass."""
    folder = tmp_path / "pictures"
    for number, name in enumerate(("gun", "knife", "gun", "pass", "pass", "pass")):
        write_picture(folder / name / f"{number}.png", 40 * number)
    write_picture(folder / "knife" / "again.png", 80)
    (tmp_path / "small.yaml").write_text(VALID)
    (tmp_path / "strict.yaml").write_text(VALID.replace("version: 1\nt", "version: 2\nt"))
    return folder


@pytest.mark.slow
def test_the_second_run_takes_no_model_and_compares_two_policies(pictures: Path) -> None:
    of = pictures.parent
    policy, store = ("-p", str(of / "small.yaml")), ("--store", str(of / "store"))
    first = run(str(pictures), *policy, *store, "--model", "starter")
    assert "6 images; 6 embedded now" in first.stderr
    assert "1 picture there several times" in first.stderr
    assert "small flags" in first.stdout
    assert all(
        len(line) <= 80 for line in first.stdout.splitlines() if " [" in line and "/" in line
    )
    both = (*policy, "-p", str(of / "strict.yaml"))
    words = (str(pictures), *both, *store, "--format", "json", "--out", str(of / "out"))
    second = run(*words, "--model", "starter", "--thumbnails")
    assert "6 images; 0 embedded now" in second.stderr
    found = json.loads(second.stdout)
    assert found == json.loads((of / "out" / "evaluation.json").read_text())
    assert [system["name"] for system in found["systems"]] == ["small v1", "small v2"]
    names = {each["name"]: each["n"] for each in found["names"]}
    assert names == {"gun": 2, "knife": 2, "pass": 3}
    assert {row["difference"] for row in found["paired"] if row["n"]} <= {0.0, None}
    assert any("not CLIP's" in text for text in found["cautions"])
    [gun] = [f for f in found["figures"] if (f["system"], f["name"]) == ("small v1", "gun")]
    assert (gun["positives"], gun["negatives"], gun["unknown"]) == (2, 4, 0)
    assert "Evaluation of small v1, small v2" in (of / "out" / "evaluation.html").read_text()


def test_wrong_usage_is_said_before_a_model_is_looked_for(pictures: Path) -> None:
    policy = ("-p", str(pictures.parent / "small.yaml"))
    assert "name one or more" in run(str(pictures), code=2).output
    assert "name a folder or table, or --dataset" in run(*policy, code=2).output
    assert "--out" in run(str(pictures), *policy, "--thumbnails", code=2).output
    column = run(str(pictures), *policy, "--column", "a=b", code=2)
    assert "it is for a table, and this is a folder" in " ".join(column.output.split())
    assert "it is for --dataset" in run(str(pictures), *policy, "--benign", code=2).output


def test_what_is_wrong_with_the_pictures_is_wrong_usage(pictures: Path) -> None:
    write_picture(pictures / "knifes" / "7.png", 7)
    policy = str(pictures.parent / "small.yaml")
    done = moderation("evaluate", str(pictures), "-p", policy)
    assert done.returncode == 2
    assert "no label or category is called knifes; did you mean knife?" in done.stderr
    assert "--truth knifes=LABEL" in done.stderr


def test_a_policy_without_a_model_needs_one(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUDIT_MODEL", "MODERATION_MODEL"):
        monkeypatch.delenv(name, raising=False)
    policy = str(pictures.parent / "small.yaml")
    done = CliRunner().invoke(app, ["evaluate", str(pictures), "-p", policy])
    assert isinstance(done.exception, AuditError)
    assert "no model is named" in str(done.exception)
    monkeypatch.setenv("MODERATION_MODEL", "./no such folder")  # is one model, and not three
    done = CliRunner().invoke(app, ["evaluate", str(pictures), "-p", policy])
    assert "./no such folder" in str(done.exception)


def test_pictures_of_which_nothing_is_known_are_refused_before_they_are_embedded(
    pictures: Path,
) -> None:
    table = pictures / "labels.csv"
    table.write_text("file,labels\ngun/0.png,\nknife/1.png,\n")
    policy = str(pictures.parent / "small.yaml")
    done = moderation("evaluate", str(table), "-p", policy, "--model", "./nowhere")
    assert done.returncode == 2
    assert "of no picture it is said what it shows" in done.stderr


def test_recorded_features_are_evaluated_by_recorded_texts(tmp_path: Path) -> None:
    words = ("a gun", "a pistol", "a knife", "a thing", "a cat")
    texts = [f"a photo of {word}." for word in words]
    rows = unit_rows(5)
    classes = ("gun", "gun", "knife", "pass", "pass")
    labels = [{"file": f"{i}.jpg", "race": "White", "class": c} for i, c in enumerate(classes)]
    files = write_npy_and_csv(tmp_path / "given", rows, labels)
    written = write_texts(tmp_path / "texts.parquet", texts, rows)
    columns = {"id": "file", "y_true": "class"}
    imported(tmp_path / "recorded", *files, columns=columns, texts=written)
    (tmp_path / "small.yaml").write_text(VALID)
    asked = ("--dataset", str(tmp_path / "recorded"), "-p", str(tmp_path / "small.yaml"))
    found = json.loads(run(*asked, "--truth", "knife=unknown", "--format", "json").stdout)
    [gun] = [each for each in found["figures"] if each["name"] == "gun"]
    # Each picture looks like its own text, which outweighs all others at the recorded scale.
    assert (gun["positives"], gun["negatives"], gun["unknown"]) == (2, 2, 1)
    assert gun["decisions"][0]["false_positives"] == 0
    assert gun["roc_area"]["value"] == 1
    printed = run(*asked, "--truth", "knife=unknown").stdout
    lines = [line.split() for line in printed.splitlines()]
    assert ["allow", "2", "0", "0"] in lines
    assert ["gun", "gun", "1/2", "0"] in lines
    assert "have their own" in run(*asked, "--model", "starter", code=2).output
    shown = ("--thumbnails", "--out", str(tmp_path / "out"))
    assert "no picture is recorded" in run(*asked, *shown, "--truth", "gun=pass", code=2).output
