"""Folders and tables of labels: which name means what, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.errors import DatasetError
from audit.evaluation import SystemLabel
from audit.evaluation.claimed_names import ClaimedNames
from audit.evaluation.label_folders import labelled_by_folder
from audit.evaluation.label_table import labelled_by_table
from audit.evaluation.labelled_dataset import LabelledDataset, labelled_by_class
from tests.support.annotated_files import face, fairface, write_picture

LABELS = (
    SystemLabel("handgun", "block", "weapons/firearms"),
    SystemLabel("long-gun", "block", "weapons/firearms"),
    SystemLabel("blade", "review", "weapons/blades"),
    SystemLabel("animal", None, None),
)


def by_folder(
    path: Path, truth: dict[str, str] | None = None, *, skip_bad: bool = False
) -> LabelledDataset:
    """Returns the pictures of a folder, each once."""
    claimed = ClaimedNames(LABELS, truth or {})
    found = labelled_by_folder(path, claimed, LoadOptions(skip_bad=skip_bad))
    return found.merged(claimed, skip_bad=skip_bad)


def by_table(path: Path, text: str, **columns: str) -> LabelledDataset:
    """Returns the pictures of a table beside three pictures."""
    for number in range(3):
        write_picture(path / f"{number}.png", number)
    (path / "labels.csv").write_text(text)
    claimed = ClaimedNames(LABELS)
    found = labelled_by_table(path / "labels.csv", claimed, LoadOptions(columns=columns))
    return found.merged(claimed)


def given(found: LabelledDataset) -> dict[str, dict[str, int]]:
    """Returns the mark of each name by picture."""
    rows = zip(found.images.ids, found.images.marks.tolist(), strict=True)
    return {image: dict(zip(found.images.names, marks, strict=True)) for image, marks in rows}


def test_a_folder_is_a_label_a_category_or_what_must_pass(tmp_path: Path) -> None:
    for number, name in enumerate(("Handgun", "blades", "weapons/firearms", "pass", "animal")):
        write_picture(tmp_path / name / "1.png", number)
    marks = given(by_folder(tmp_path))
    assert {image: [n for n, yes in own.items() if yes == 1] for image, own in marks.items()} == {
        "Handgun/1.png": ["handgun"],
        "blades/1.png": ["weapons/blades"],
        "weapons/firearms/1.png": ["weapons/firearms"],
        "pass/1.png": ["pass"],
        "animal/1.png": ["animal"],
    }


def test_one_picture_in_two_folders_has_both_labels(tmp_path: Path) -> None:
    write_picture(tmp_path / "handgun" / "a.png", 1)
    write_picture(tmp_path / "blade" / "b.png", 1)
    write_picture(tmp_path / "blade" / "c.png", 2)
    found = by_folder(tmp_path)
    assert given(found) == {
        "blade/b.png": {"blade": 1, "handgun": 1},
        "blade/c.png": {"blade": 1, "handgun": 0},
    }
    assert len(found.dataset) == 2
    [note] = found.dataset.notes
    assert note.startswith("1 picture there several times, byte for byte")


def test_a_picture_of_context_may_also_be_in_the_folder_of_what_must_pass(tmp_path: Path) -> None:
    write_picture(tmp_path / "animal" / "a.png", 1)
    write_picture(tmp_path / "pass" / "b.png", 1)
    assert given(by_folder(tmp_path)) == {"animal/a.png": {"animal": 1, "pass": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "file,handgun,blade\n0.png,1,0\n1.png,0,0\n",
            "is called handgun, and it is said that it is",
        ),
        ("file,handgun,weapons\n0.png,1,0\n", "is called handgun, and it is said that it is not"),
        ("file,handgun,pass\n0.png,1,1\n", "is called handgun, pass, which cannot all be"),
    ],
)
def test_a_table_that_says_two_things_of_a_picture_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    by_table(tmp_path, "file,handgun\n0.png,1\n")
    write_picture(tmp_path / "1.png", 0)  # the same picture as 0.png
    (tmp_path / "labels.csv").write_text(text)
    claimed = ClaimedNames(LABELS)
    found = labelled_by_table(tmp_path / "labels.csv", claimed, LoadOptions())
    with pytest.raises(DatasetError, match=said):
        found.merged(claimed)
    left = found.merged(claimed, skip_bad=True)
    assert set(given(left)["0.png"].values()) == {-1}
    assert left.dataset.notes[-1] == "Said to be two things that cannot both be, left out: 1."


def test_a_label_may_be_denied_where_its_category_is_not(tmp_path: Path) -> None:
    found = by_table(tmp_path, "file,handgun,weapons\n0.png,0,1\n1.png,,0\n")
    assert given(found) == {
        "0.png": {"handgun": 0, "weapons": 1},
        "1.png": {"handgun": -1, "weapons": 0},
    }


def test_a_folder_with_one_file_and_an_empty_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "handgun" / "a.png", 1)
    (tmp_path / "blade").mkdir()
    found = by_folder(tmp_path)
    assert given(found) == {"handgun/a.png": {"handgun": 1}}
    assert found.dataset.notes == ("Folders without an image: blade.",)


def test_a_folder_without_any_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blade").mkdir()
    with pytest.raises(DatasetError, match="there is no image in a folder of it"):
        by_folder(tmp_path)


def test_a_folder_that_no_label_claims_is_refused_with_the_nearest_and_how_to_map_it(
    tmp_path: Path,
) -> None:
    write_picture(tmp_path / "handguns" / "a.png", 1)
    with pytest.raises(DatasetError) as refused:
        by_folder(tmp_path)
    text = str(refused.value)
    assert "no label or category is called handguns; did you mean handgun?" in text
    assert "--truth handguns=LABEL" in text
    assert given(by_folder(tmp_path, {"handguns": "handgun"})) == {"handguns/a.png": {"handgun": 1}}


def test_what_is_left_out_by_name_and_every_other_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("revolver", "chair", "strange")):
        write_picture(tmp_path / name / "a.png", number)
    truth = {"revolver": "handgun", "strange": "unknown", "*": "pass"}
    found = by_folder(tmp_path, truth)
    assert given(found) == {
        "chair/a.png": {"handgun": 0, "pass": 1},
        "revolver/a.png": {"handgun": 1, "pass": 0},
    }
    assert found.dataset.notes == (
        "Left out, since what they show is said to be unknown: 1 image.",
    )


def test_truth_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "handgun" / "a.png", 1)
    with pytest.raises(DatasetError, match="no picture is called chair"):
        by_folder(tmp_path, {"chair": "pass"})
    with pytest.raises(DatasetError) as refused:
        by_folder(tmp_path, {"handgun": "gum"})
    assert "--truth handgun=gum: no label or category is called gum" in str(refused.value)
    assert len(refused.value.problems) == 1  # handgun itself is a label


def test_a_picture_that_is_harmless_and_not_is_refused_or_left_out(tmp_path: Path) -> None:
    write_picture(tmp_path / "handgun" / "a.png", 1)
    write_picture(tmp_path / "pass" / "a.png", 1)
    write_picture(tmp_path / "pass" / "b.png", 2)
    with pytest.raises(DatasetError, match=r"handgun/a.png is called handgun, pass"):
        by_folder(tmp_path)
    found = by_folder(tmp_path, skip_bad=True)
    assert given(found)["handgun/a.png"] == {"handgun": -1, "pass": -1}


def test_a_picture_beside_the_folders_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "handgun" / "a.png", 1)
    write_picture(tmp_path / "b.png", 2)
    (tmp_path / "README.md").write_text("Notes.")
    with pytest.raises(DatasetError, match=r"b.png: it is not in the folder of any label"):
        by_folder(tmp_path)


def test_a_table_with_several_labels_an_image(tmp_path: Path) -> None:
    found = by_table(tmp_path, "file,labels\n0.png,handgun|blade\n1.png,pass\n2.png,\n")
    assert given(found) == {
        "0.png": {"blade": 1, "handgun": 1, "pass": 0},
        "1.png": {"blade": 0, "handgun": 0, "pass": 1},
        "2.png": {"blade": -1, "handgun": -1, "pass": -1},
    }


def test_a_table_with_a_column_for_each_label(tmp_path: Path) -> None:
    text = "file,handgun,is_knife,note\n0.png,1,0,x\n1.png,0,,y\n2.png,no,yes,z\n"
    assert given(by_table(tmp_path, text, blade="is_knife")) == {
        "0.png": {"handgun": 1, "blade": 0},
        "1.png": {"handgun": 0, "blade": -1},
        "2.png": {"handgun": 0, "blade": 1},
    }


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("file,handgun\n0.png,2\n", {}, "row 2: handgun is 2, which is neither 0 nor 1"),
        ("file,labels\n0.png,gum|blade\n", {}, "no label or category is called gum"),
        ("file,note\n0.png,x\n", {}, "no column is called labels, or by a label or category"),
        ("photo,labels\n0.png,blade\n", {}, "which column holds the images is not said"),
        ("file,a\n0.png,1\n", {"gum": "a"}, "no label or category is called gum"),
        ("file,a,b\n0.png,1,1\n", {"labels": "a", "blade": "b"}, "names labels, and blade too"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, text: str, columns: dict[str, str], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        by_table(tmp_path, text, **columns)


def test_a_dataset_of_classes_and_a_benign_one(tmp_path: Path) -> None:
    faces = load_dataset(fairface(tmp_path, face(1), face(2)))
    assert [*given(labelled_by_class(faces, ClaimedNames(LABELS))).values()] == [{"allow": 1}] * 2
    for number, name in enumerate(("revolver", "chair")):
        write_picture(tmp_path / "classes" / name / "a.png", number)
    classes = load_dataset(tmp_path / "classes")
    claimed = ClaimedNames(LABELS, {"revolver": "handgun", "*": "unknown"})
    assert given(labelled_by_class(classes, claimed)) == {
        "chair/a.png": {"handgun": -1},
        "revolver/a.png": {"handgun": 1},
    }
    with pytest.raises(DatasetError, match="no label or category is called chair"):
        labelled_by_class(classes, ClaimedNames(LABELS, {"revolver": "handgun"}))
