"""A store says what it holds, and what is removed of it is gone from the disk."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from moderation.errors import StoreError
from moderation.features import EmbeddingStore, FeatureSpace
from moderation.features.contents import KINDS, StoredSpace, read_contents
from moderation.features.pruning import (
    Chosen,
    chosen_descriptions,
    remove_unfinished_files,
)
from tests.features.test_store import SPACE, made

TEXTS = replace(SPACE, kind="texts", looking="none", preprocessing="none")
OUTPUTS = replace(SPACE, kind="outputs", fingerprint="1" * 16, model="other.onnx")
KEYS, ROWS = made(20)


def filled(root: Path) -> None:
    """Makes a store of two files of images, one of texts, and one of outputs."""
    for space, part in ((SPACE, (0, 12)), (SPACE, (12, 20)), (TEXTS, (0, 5)), (OUTPUTS, (0, 20))):
        with EmbeddingStore(root).open(space) as features:
            chosen = slice(*part)
            features.add(KEYS[chosen], ROWS[chosen])


def pruned(root: Path, chosen: Chosen) -> int:
    """Removes what is chosen; returns of how many rows."""
    removals = chosen.removals(read_contents(root))
    for removal in removals:
        removal.carry_out()
    return sum(removal.rows for removal in removals)


def numbers(root: Path) -> dict[str, tuple[int, int, int]]:
    """Returns how many keys, rows and files each kind has."""
    return {s.space.kind: (s.keys, s.rows, s.files) for s in read_contents(root).spaces}


def found(root: Path, space: FeatureSpace) -> list[bool]:
    there: list[bool] = EmbeddingStore(root).open(space).has(KEYS).tolist()
    return there


def test_contents_are_counted_by_space(tmp_path: Path) -> None:
    filled(tmp_path)
    with EmbeddingStore(tmp_path).open(SPACE) as features:
        features.add([made(1, seed=1)[0][0]], ROWS[:3], [3])
    [images, texts, outputs] = read_contents(tmp_path).spaces
    size = sum(path.stat().st_size for path in (tmp_path / SPACE.folder).iterdir())
    newest = max(path.stat().st_mtime for path in (tmp_path / SPACE.folder).iterdir())
    assert images == StoredSpace(SPACE, 21, 23, 3, size, datetime.fromtimestamp(newest, UTC))
    assert (texts.space, outputs.space) == (TEXTS, OUTPUTS)
    assert tuple(each.space.kind for each in (images, texts, outputs)) == KINDS
    assert images.space.model == "toy"
    assert read_contents(tmp_path / "nowhere").spaces == []


def test_a_damaged_file_and_one_in_the_wrong_place_are_named(tmp_path: Path) -> None:
    filled(tmp_path)
    first, second = sorted((tmp_path / SPACE.folder).iterdir())
    first.write_bytes(b"nonsense")
    elsewhere = tmp_path / "images" / "elsewhere"
    elsewhere.mkdir()
    second.rename(elsewhere / second.name)
    contents = read_contents(tmp_path)
    assert {error.where for error in contents.refused} == {
        str(first),
        str(elsewhere / second.name),
    }
    assert [space.space.kind for space in contents.spaces] == ["texts", "outputs"]


def test_an_image_is_removed_from_the_files_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    filled(tmp_path)
    yesterday = time.time() - 24 * 3600
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (yesterday, yesterday))
    row, key = ROWS[3].tobytes(), bytes.fromhex(KEYS[3])
    assert pruned(tmp_path, Chosen(keys=frozenset([key]))) == 2
    assert numbers(tmp_path) == {"images": (19, 19, 2), "texts": (5, 5, 1), "outputs": (19, 19, 1)}
    for path in (*(tmp_path / "images").rglob("*"), *(tmp_path / "outputs").rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        assert row not in content
        assert key not in content
    for space in (SPACE, OUTPUTS):
        assert found(tmp_path, space) == [i != 3 for i in range(20)]
        rows, _ = EmbeddingStore(tmp_path).open(space).get(KEYS)
        assert np.array_equal(rows, np.delete(ROWS, 3, axis=0))
    dates = [space.written.timestamp() for space in read_contents(tmp_path).spaces]
    assert dates == pytest.approx([yesterday] * 3, abs=1e-3)


def test_a_file_that_loses_all_its_rows_is_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    keys = frozenset(map(bytes.fromhex, KEYS[12:]))
    assert pruned(tmp_path, Chosen(keys=keys, model="toy")) == 8
    assert numbers(tmp_path) == {"images": (12, 12, 1), "texts": (5, 5, 1), "outputs": (20, 20, 1)}
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["toy", "toy@1", SPACE.fingerprint])
def test_a_model_is_removed_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    filled(tmp_path)
    assert pruned(tmp_path, Chosen(model=name)) == 25
    assert numbers(tmp_path) == {"outputs": (20, 20, 1)}


def test_what_is_older_is_removed(tmp_path: Path) -> None:
    filled(tmp_path)
    old = next((tmp_path / TEXTS.folder).iterdir())
    long_ago = time.time() - 10 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    now = datetime.now(UTC)
    assert pruned(tmp_path, Chosen(before=now - timedelta(days=11))) == 0
    assert pruned(tmp_path, Chosen(before=now - timedelta(days=9))) == 5
    assert numbers(tmp_path) == {"images": (20, 20, 2), "outputs": (20, 20, 1)}
    assert pruned(tmp_path, Chosen(before=now + timedelta(days=1))) == 40


def test_others_may_read_meanwhile(tmp_path: Path) -> None:
    filled(tmp_path)
    features = EmbeddingStore(tmp_path).open(SPACE)
    gone = frozenset(map(bytes.fromhex, KEYS[5:15]))
    pruned(tmp_path, Chosen(keys=gone))
    rows, counts = features.get(KEYS)
    assert counts.tolist() == [1] * 5 + [0] * 10 + [1] * 5
    assert np.array_equal(rows, np.concatenate([ROWS[:5], ROWS[15:]]))
    assert np.array_equal(features.get_every(KEYS[:5])[0], ROWS[:5])
    with pytest.raises(StoreError, match="10 features were removed while they were in use"):
        features.get_every(KEYS)


def test_whoever_ends_it_in_the_middle_can_begin_again(tmp_path: Path) -> None:
    filled(tmp_path)
    gone = frozenset(map(bytes.fromhex, KEYS[::2]))
    first, *_ = Chosen(keys=gone).removals(read_contents(tmp_path))
    content = first.file.head.path.read_bytes()
    first.carry_out()
    first.file.head.path.write_bytes(content)  # as if ended before it was removed
    assert found(tmp_path, SPACE) == [True] * 20
    pruned(tmp_path, Chosen(keys=gone))
    assert found(tmp_path, SPACE) == [i % 2 == 1 for i in range(20)]


def test_a_damaged_file_is_not_written_anew(tmp_path: Path) -> None:
    filled(tmp_path)
    [removal, *_] = Chosen(keys=frozenset([bytes.fromhex(KEYS[3])])).removals(
        read_contents(tmp_path)
    )
    path = removal.file.head.path
    content = bytearray(path.read_bytes())
    content[content.index(ROWS[5].tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        removal.carry_out()
    assert path.read_bytes() == content


def test_descriptions_go_with_their_model_and_with_everything(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name, text in (
        ("toy", '{"stamp": {"id": "toy", "revision": "1", "fingerprint": "f"}}'),
        ("other", '{"stamp": {"id": "other", "revision": "1", "fingerprint": "g"}}'),
        ("spoilt", "{"),
    ):
        (models / f"{name}.json").write_text(text)

    def names(chosen: Chosen) -> list[str]:
        return [path.stem for path in chosen_descriptions(tmp_path, chosen)]

    assert names(Chosen(model="toy")) == names(Chosen(model="f")) == ["toy"]
    assert names(Chosen()) == ["other", "spoilt", "toy"]
    assert names(Chosen(model="toy", before=datetime.now(UTC))) == []
    assert names(Chosen(keys=[b"x"])) == []


def test_what_killed_writers_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    filled(tmp_path)
    old, fresh = (tmp_path / SPACE.folder / f"part-{name}.tmp" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half a file")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    remove_unfinished_files(tmp_path)
    assert (old.exists(), fresh.exists()) == (False, True)
