"""Folders of classes: which images are whose, and what is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit.datasets.coverage import coverages
from audit.datasets.image_references import read_reference
from moderation.images.folder import Kind
from tests.support.annotated_files import (
    load,
    only_problem,
    picture,
    write_picture,
)


def test_folders_are_classes_without_sensitive_features(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "cup" / "more" / "2.png")
    write_picture(tmp_path / "saw" / "1.png")
    write_picture(tmp_path / "saw" / ".hidden.txt")
    (tmp_path / "labels.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / "LICENSE").write_text("mine", encoding="utf-8")
    dataset = load(tmp_path)
    assert (dataset.adapter, dataset.benign, dataset.sensitive_features) == ("folders", False, ())
    assert dataset.table["image_id"].tolist() == ["cup/1.png", "cup/more/2.png", "saw/1.png"]
    assert dataset.table["y_true"].tolist() == ["cup", "cup", "saw"]
    assert coverages(dataset) == []


def test_images_of_classes_are_known_by_content_and_a_note_says_what_is_passed_over(
    tmp_path: Path,
) -> None:
    for name in ("cup/1.jfif", "cup/2", "cup/3.txt", "saw/.thumbs/4.png", "saw/._5.png", "saw/6"):
        write_picture(tmp_path / name)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "cup" / "more").symlink_to(tmp_path / "saw")
    dataset = load(tmp_path)
    assert dataset.table["image_id"].tolist() == ["cup/1.jfif", "cup/2", "cup/3.txt", "saw/6"]
    [note] = dataset.notes
    assert "hidden: 3 (.DS_Store, .thumbs, ._5.png)" in note
    assert "a link to a folder: 1 (more)" in note


def test_a_dataset_of_names_that_are_not_utf8_is_read(tmp_path: Path) -> None:
    write_picture(tmp_path / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xff.png"))
    dataset = load(tmp_path)
    assert dataset.table["y_true"].tolist() == [r"caf\udce9"]
    assert len(dataset.sha256) == 64
    assert read_reference(dataset.references[0]) == picture(0)


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
        ("film.mp4", f"it is {Kind.NO_IMAGE}"),
        ("cup/notes.txt", f"it is {Kind.NO_IMAGE}"),
        ("cup/pipe.png", f"it is {Kind.NO_FILE}"),
        ("cup/gone.png", f"it is {Kind.LINK_TO_NOWHERE}"),
        ("gone.png", f"it is {Kind.LINK_TO_NOWHERE}"),
    ],
)
def test_a_file_that_does_not_belong_to_a_class_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    odd = tmp_path / name
    if "nowhere" in message:
        odd.symlink_to(tmp_path / "nothing")
    elif "pipe" in message:
        os.mkfifo(odd)
    elif str(Kind.NO_IMAGE) in message:
        odd.write_text("words")
    else:
        write_picture(odd)
    problem = only_problem(tmp_path)
    assert (problem.path, problem.message) == (str(odd), message)


def test_a_folder_around_the_classes_is_pointed_to(tmp_path: Path) -> None:
    write_picture(tmp_path / "images" / "cup" / "1.png")
    problem = only_problem(tmp_path)
    assert problem.remedy == f"Name {tmp_path / 'images'} instead"


def test_truth_says_what_a_class_means_to_the_policies(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "saw" / "1.png")
    write_picture(tmp_path / "odd" / "1.png")
    truth = {"cup": "allow", "saw": "weapons"}
    dataset = load(tmp_path, truth=truth)
    assert dataset.table["y_true"].tolist() == ["allow", "odd", "weapons"]
    problem = only_problem(tmp_path, truth={"cupp": "allow"})
    assert "no image has the class cupp that --truth names" in problem.message
    assert problem.remedy == "The classes are: cup, odd, saw"
