"""Files of annotations: lines, encodings and damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.annotated_files import (
    HUB_ROWS,
    only_problem,
    picture,
    write_hub,
    write_picture,
)


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
def test_a_file_that_is_not_csv_in_utf8_is_refused(
    tmp_path: Path, content: bytes, message: str, row: int
) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    problem = only_problem(file)
    assert message in problem.message
    assert (problem.path, problem.row) == (str(file), row)


def test_a_damaged_parquet_file_is_refused_in_few_words(tmp_path: Path) -> None:
    file = tmp_path / "validation.parquet"
    for content in (b"PAR1 and no more", write_hub(file, HUB_ROWS, None).read_bytes()[:-300]):
        file.write_bytes(content)
        problem = only_problem(file, columns={"image": "image"})
        assert "it cannot be read as Parquet" in problem.message
        assert len(problem.message) <= 600
