"""Folders as people have them: images under any name, and other things among them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import typer

from moderation.commands.image_paths import find_images
from moderation.images.folder import Entry, Kind, counts_by_kind, entries, kind_of
from moderation.images.formats import FORMATS
from tests.support.hostile_files import picture, saved
from tests.support.nobody import nobody


def fill(folder: Path, *names: str | bytes) -> None:
    """Puts the same picture there under each name."""
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved(picture(16)))


def kinds(folder: Path, *, hidden: bool = True) -> dict[str, Kind]:
    return {
        entry.path.relative_to(folder).as_posix(): entry.kind
        for entry in entries(folder, hidden=hidden)
    }


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_known_by_its_content(form: str, tmp_path: Path) -> None:
    for name in ("bare", "photo.txt", ".hidden"):
        (tmp_path / name).write_bytes(saved(picture(16), form))
        assert kind_of(tmp_path / name) is Kind.IMAGE


@pytest.mark.parametrize(
    "content",
    [b"", b"B", b"BMW sells cars, and this is no bitmap", b"RIFF\0\0\0\0WAVE", b"GIF", b"\xff\xd8"],
)
def test_what_begins_otherwise_is_not_an_image_unless_it_is_named_like_one(
    content: bytes, tmp_path: Path
) -> None:
    """A file named like an image is looked at, so that its damage is reported."""
    for name, kind in (("notes", Kind.NO_IMAGE), ("._a.jpg", Kind.NO_IMAGE), ("a.JPE", Kind.IMAGE)):
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) is kind


def test_every_entry_is_an_image_or_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.jfif", "c.apng", "d", "more/.e.png", ".thumbs/f", b"caf\xe9.png")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "linked").symlink_to(tmp_path / "more")
    os.mkfifo(tmp_path / "pipe.png")
    others = {
        "notes.txt": Kind.NO_IMAGE,
        "gone.png": Kind.LINK_TO_NOWHERE,
        "round.png": Kind.LINK_TO_NOWHERE,
        "linked": Kind.LINK_TO_FOLDER,
        "pipe.png": Kind.NO_FILE,
    }
    plain = ("a.png", "b.jfif", "c.apng", "d", os.fsdecode(b"caf\xe9.png"))
    assert kinds(tmp_path) == others | dict.fromkeys(
        (*plain, "more/.e.png", ".thumbs/f"), Kind.IMAGE
    )
    found = kinds(tmp_path, hidden=False)
    assert {name for name, kind in found.items() if kind is Kind.IMAGE} == {*plain}
    assert found[".thumbs"] is found["more/.e.png"] is Kind.HIDDEN


def test_what_may_not_be_read_is_never_passed_over_in_silence() -> None:
    # Not below tmp_path, which no other user may even enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        fill(folder, "a.png", "secret", "closed/b.png")
        (folder / "secret").chmod(0)
        (folder / "closed").chmod(0)
        with nobody():
            found = find_images([name])
            # So that it gets a row, which says what is wrong with it.
            assert kinds(folder)["secret"] is Kind.IMAGE
        (folder / "closed").chmod(0o700)
    assert not found.complete
    assert counts_by_kind(found.passed_over) == "a folder that cannot be read: 1 (closed)"


def test_what_is_passed_over_is_counted_and_named_in_visible_letters() -> None:
    passed = [Entry(Path(f"n{number}.txt"), Kind.NO_IMAGE) for number in range(5)]
    passed.append(Entry(Path("a\x1b[2K\u202e"), Kind.HIDDEN))
    shown = r"hidden: 1 (a\x1b[2K\u202e); no image: 5 (n0.txt, n1.txt, n2.txt, ...)"
    assert counts_by_kind(passed) == shown


@pytest.mark.parametrize("name", ["no\x1b[2Ksuch", "x" * 5000, "a\0b", "iVBORw0KGgo" * 100])
def test_a_path_that_leads_nowhere_is_wrong_usage(name: str) -> None:
    with pytest.raises(typer.BadParameter, match="there is no file or folder") as caught:
        find_images([name])
    assert "\x1b" not in caught.value.message


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o700)
    with nobody(), pytest.raises(typer.BadParameter, match="may not be read") as caught:
        find_images([str(tmp_path / "locked" / "photo.jpg")])
    assert "there is no file" not in caught.value.message


def test_the_error_of_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(typer.BadParameter, match=r"passed over: no image: 1 \(notes.txt\)"):
        find_images([str(tmp_path)])
