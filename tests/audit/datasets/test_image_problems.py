"""The images of a dataset: which can be read, and which are what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.datasets.image_problems import (
    check_images,
    image_hashes,
    image_problem,
    leave_out_images,
)
from audit.datasets.image_references import read_reference
from tests.support.annotated_files import (
    face,
    fairface,
    hashed,
    load,
    picture,
    problems_of,
    sha256,
    write_hub,
    write_picture,
)


def test_every_image_has_its_hash(tmp_path: Path) -> None:
    right = [sha256(picture(0)), sha256(picture(1)).upper(), ""]
    dataset = load(hashed(tmp_path, *right))
    assert dataset.expected_sha256 == (right[0], right[1].lower(), None)
    hashes, problems = image_hashes(dataset)
    assert hashes == tuple(sha256(picture(i)) for i in range(3))
    assert problems == []


def test_an_image_that_is_not_the_one_annotated_is_refused_by_row(tmp_path: Path) -> None:
    dataset = load(hashed(tmp_path, sha256(picture(0)), sha256(picture(7))))
    [problem] = check_images(dataset).left_out
    assert (problem.path, problem.row) == (str(dataset.source), 3)
    assert sha256(picture(7)) in problem.message
    assert sha256(picture(1)) in problem.message


def test_an_image_that_is_annotated_in_two_ways_is_named_and_left_out_of_both(
    tmp_path: Path,
) -> None:
    """As FairFace's validation set as released: 567.jpg and 4209.jpg are the same bytes."""
    rows = [face(1), face(2, race="Black"), face(3, race="Indian"), face(4, race="Indian")]
    file = fairface(tmp_path, *rows)
    write_picture(tmp_path / "val" / "3.jpg", 1)
    dataset = load(file)
    hashes, problems = image_hashes(dataset)
    assert (hashes[1], problems) == (hashes[2], [])
    checked = check_images(dataset)
    assert checked.table["image_id"].tolist() == ["val/1.jpg", "val/4.jpg"]
    assert checked.left_out == ()
    race = checked.groups(["race"])
    assert (race.names, race.left_out) == (("Black", "Indian", "White"), (1, 1, 0))
    assert checked.notes[-1] == (
        "Images that are there twice, byte for byte, with different annotations, left out: 1. "
        "val/2.jpg in row 3 and val/3.jpg in row 4."
    )


def test_an_image_that_is_annotated_twice_in_the_same_way_counts_once(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2), face(3))
    write_picture(tmp_path / "val" / "3.jpg", 0)
    checked = check_images(load(file))
    assert checked.table["image_id"].tolist() == ["val/1.jpg", "val/2.jpg"]
    assert (checked.left_out, checked.missing) == ((), {})
    assert checked.notes[-1] == (
        "Images that are there twice, byte for byte, with the same annotations, counted once: 1. "
        "val/1.jpg in row 2 and val/3.jpg in row 4."
    )


def test_a_copy_of_a_bad_image_is_not_bad(tmp_path: Path) -> None:
    dataset = load(hashed(tmp_path, sha256(picture(7)), "", ""))
    write_picture(tmp_path / "val" / "1.jpg", 0)
    checked = check_images(dataset)
    assert checked.table["image_id"].tolist() == ["val/1.jpg", "val/2.jpg"]
    assert checked.left_out_images == 1


@pytest.mark.parametrize("races", [("White", "White"), ("White", "Black")])
def test_one_picture_in_place_of_many_is_refused_and_missing_where_it_is_left_out(
    tmp_path: Path, races: tuple[str, str]
) -> None:
    rows = [face(1), *(face(number, race=races[number % 2]) for number in range(2, 14))]
    file = fairface(tmp_path, *rows)
    for number in range(2, 14):
        write_picture(tmp_path / "val" / f"{number}.jpg", 99)
    _, problems = image_hashes(load(file))
    same = len(set(races)) == 1
    assert [problem.row for problem in problems] == list(range(4 if same else 3, 15))
    assert problems[-1].message.endswith("the same, byte for byte, as val/2.jpg in row 3")
    checked = check_images(load(file))
    assert len(checked) == (2 if same else 1)
    assert checked.left_out_images == len(checked.left_out) == len(problems)


def test_a_small_share_of_a_large_dataset_may_be_there_twice(tmp_path: Path) -> None:
    file = fairface(tmp_path, *(face(number) for number in range(1300)))
    for number in range(12):
        write_picture(tmp_path / "val" / f"{number}.jpg", 99)
    dataset = load(file)
    assert image_hashes(dataset)[1] == []  # 12 copies, since row 99 has that picture anyway
    assert "; and 7 more." in check_images(dataset).notes[-1]
    write_picture(tmp_path / "val" / "12.jpg", 99)
    write_picture(tmp_path / "val" / "13.jpg", 99)
    assert len(image_hashes(dataset)[1]) == 14


def test_a_small_dataset_of_which_most_is_there_twice_is_refused(tmp_path: Path) -> None:
    file = fairface(tmp_path, *(face(number) for number in range(11)))
    for number in range(10):
        write_picture(tmp_path / "val" / f"{number}.jpg", 50 + number // 2)
    assert len(image_hashes(load(file))[1]) == 5


def test_an_image_that_cannot_be_decoded_is_refused_by_row(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2))
    (tmp_path / "val" / "2.jpg").write_bytes(picture()[:40])
    dataset = load(file)
    assert image_hashes(dataset)[1] == []
    [problem] = check_images(dataset).left_out
    assert (problem.row, "cannot be decoded" in problem.message) == (3, True)
    [_, problem] = problems_of(lambda: check_images(dataset, max_pixels=3))
    assert "cannot be decoded" in problem.message


def test_an_image_that_is_gone_has_no_hash_and_a_problem(tmp_path: Path) -> None:
    dataset = load(fairface(tmp_path, face(1), face(2)))
    (tmp_path / "val" / "2.jpg").unlink()
    hashes, [problem] = image_hashes(dataset)
    assert hashes == (sha256(picture(0)), "")
    assert (problem.row, "No such file" in problem.message) == (3, True)


def test_an_image_without_bytes_in_a_parquet_file_has_a_problem(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", [face(1), face(2)], None)
    table = pq.read_table(file)
    images = [{"bytes": None, "path": "1.jpg"}, table.column("image")[1].as_py()]
    pq.write_table(table.set_column(0, "image", pa.array(images)), file)
    _, [problem] = image_hashes(load(file))
    assert (problem.path, problem.row) == (str(file), 1)
    assert "there are no bytes in column image" in problem.message


def test_images_of_a_damaged_parquet_file_cannot_be_read(tmp_path: Path) -> None:
    file = write_hub(tmp_path / "part.parquet", [face(1)], None)
    dataset = load(file)
    file.write_bytes(b"PAR1" * 9)
    with pytest.raises(OSError, match="damaged"):
        read_reference(dataset.references[0])


def test_bad_images_are_left_out_on_request_and_never_silently(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2, age=""), face(3), face(4))
    (tmp_path / "val" / "3.jpg").write_bytes(b"no image")
    dataset = load(file, skip_bad=True)
    checked = check_images(dataset)
    assert checked.table["image_id"].tolist() == ["val/1.jpg", "val/4.jpg"]
    assert checked.rows == (2, 5)
    assert [problem.row for problem in checked.left_out] == [3, 4]
    assert [note for note in checked.notes if "left out" in note] == [
        "Rows left out on request, since something is wrong with them: 1.",
        "Images left out on request, since something is wrong with them: 1.",
    ]


def test_images_in_folders_are_named_by_their_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    write_picture(tmp_path / "saw" / "1.png")
    dataset = load(tmp_path)
    hashes, _ = image_hashes(dataset)
    one, other = problems_of(lambda: leave_out_images(dataset, hashes, []))
    assert (one.path, one.row) == (str(tmp_path / "cup" / "1.png"), 0)
    assert one.message.endswith("byte for byte, as saw/1.png")
    assert other.message.endswith("byte for byte, as cup/1.png")
    rest, kept = leave_out_images(dataset, hashes, [other])
    assert (len(rest), kept.tolist()) == (1, [0])
    everything = [image_problem(dataset, index, "bad") for index in range(2)]
    assert len(problems_of(lambda: leave_out_images(dataset, hashes, everything))) == 2


def test_progress_is_shown_by_the_index_of_the_image(tmp_path: Path) -> None:
    seen: list[Any] = []

    def track(items: Any, total: int, doing: str, /) -> Any:
        seen.extend((doing, index, total) for index in items)
        return range(total)

    image_hashes(load(fairface(tmp_path, face(1), face(2))), track)
    assert seen == [("Reading images", 0, 2), ("Reading images", 1, 2)]


def test_the_annotated_photographs_are_those_that_were_annotated(faces: Path) -> None:
    dataset = load(faces)
    checked = check_images(dataset)
    assert checked.table.equals(dataset.table)
    assert (checked.notes, checked.left_out) == (dataset.notes, ())
    assert image_hashes(dataset) == (dataset.expected_sha256, [])


def test_an_image_that_was_left_out_is_counted_in_its_groups(tmp_path: Path) -> None:
    file = fairface(tmp_path, face(1), face(2, race="Black", age=""), face(3, race="Black"))
    (tmp_path / "val" / "3.jpg").write_bytes(b"no image")
    race, age = map(check_images(load(file, skip_bad=True)).groups, (["race"], ["age"]))
    assert (race.names, race.sizes.tolist()) == (("Black", "White"), [0, 1])
    assert (race.left_out, race.unplaced) == ((2, 0), 0)
    assert (age.left_out, age.unplaced) == ((1,), 1)


def test_an_image_without_sensitive_features_is_counted_in_the_whole(tmp_path: Path) -> None:
    write_picture(tmp_path / "cup" / "1.png")
    (tmp_path / "cup" / "2.png").write_bytes(b"no image")
    [whole] = check_images(load(tmp_path)).partitions([])
    assert whole.left_out == (1,)
