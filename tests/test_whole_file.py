"""A file that is written whole: it takes its place at the end, or leaves everything as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from moderation.whole_file import whole_file


def test_a_file_takes_its_place_once_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "report.csv"
    for content in (b"first", b"second"):
        before = place.read_bytes() if place.exists() else None
        with whole_file(place) as file:
            file.write(content)
            assert (place.read_bytes() if place.exists() else None) == before
        assert place.read_bytes() == content
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_a_file_whose_writing_fails_leaves_the_one_before(
    failure: type[BaseException], tmp_path: Path
) -> None:
    place = tmp_path / "report.csv"
    place.write_bytes(b"before")

    def write_half() -> None:
        with whole_file(place) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure):
        write_half()
    assert list(tmp_path.iterdir()) == [place]
    assert place.read_bytes() == b"before"
