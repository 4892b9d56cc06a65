"""The embedding store: rows come back as they were, and damage is an error."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.encoders.encoder import Float32s, unit, widened
from moderation.errors import ModelError, StoreError
from moderation.features import EmbeddingStore, FeatureSpace, Storage, text_key
from moderation.features.store_files import Part, read_head, read_part, write_part
from moderation.images.looks import DEFAULT_LOOKING, Looking
from moderation.messages import ModelStamp
from tests.conftest import ROOT
from tests.support.nobody import nobody
from tests.support.stub_encoder import StubEncoder

SPACE = FeatureSpace(
    "images", "0123456789abcdef", "fedcba9876543210", "float32", "frames=16 views=auto", "toy", "1"
)
BOTH: list[Storage] = ["float32", "float16"]
NUMBERED = [hashlib.sha256(bytes([i])).hexdigest() for i in range(4)]


def made(n: int, width: int = 16, seed: int = 0) -> tuple[list[str], Float32s]:
    """Returns n keys and (n, d) rows of unit length."""
    rows = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return [text_key(f"{seed}/{i}") for i in range(n)], unit(rows)


def one_part(root: Path) -> Path:
    [path] = root.rglob("*.parquet")
    return path


def filled(root: Path, n: int = 20, width: int = 16, storage: Storage = "float32") -> Path:
    """Returns the one file of a new store."""
    with EmbeddingStore(root).open(SPACE, storage) as features:
        features.add(*made(n, width))
    return one_part(root)


def test_float32_rows_come_back_as_they_were(tmp_path: Path) -> None:
    keys, rows = made(50)
    with EmbeddingStore(tmp_path).open(SPACE) as features:
        features.add(keys, rows)
        assert np.array_equal(features.get(keys)[0], rows)
    again = EmbeddingStore(tmp_path).open(SPACE)
    found_rows, found = again.get([keys[7], text_key("unknown"), keys[3]])
    assert found.tolist() == [1, 0, 1]
    assert np.array_equal(found_rows, rows[[7, 3]])
    assert (len(again), again.width, str(found_rows.dtype)) == (50, 16, "float32")


@pytest.mark.parametrize("storage", BOTH)
def test_the_rows_of_one_key_come_back_together_and_in_order(
    storage: Storage, tmp_path: Path
) -> None:
    keys, rows = made(7)
    with EmbeddingStore(tmp_path).open(SPACE, storage) as features:
        features.add(keys[:3], rows[:6], [1, 3, 2])
        features.add([keys[1], keys[3]], rows[5:], [1, 1])  # the second key keeps its three
    again = EmbeddingStore(tmp_path).open(SPACE, storage)
    for known in (features, again):
        assert len(known) == 4
        found, counts = known.get([keys[2], keys[6], keys[1], keys[3]])
        assert counts.tolist() == [2, 0, 3, 1]
        assert np.abs(found - rows[[4, 5, 1, 2, 3, 6]]).max() <= (storage == "float16") * 1e-3
        assert known.rounded(keys) == (4 if storage == "float16" else 0)


@pytest.mark.parametrize("counts", [[1], [1, 1], [2, 2], [3, 0], [4, -1], [1, 1, 1]])
def test_counts_that_are_not_those_of_the_rows_are_refused(
    counts: list[int], tmp_path: Path
) -> None:
    keys, rows = made(3)
    features = EmbeddingStore(tmp_path).open(SPACE)
    with pytest.raises(ValueError, match="2 keys and rows of shape"):
        features.add(keys[:2], rows, counts)
    assert len(features) == 0


def test_float16_rows_come_back_within_the_stated_bound_and_of_unit_length(tmp_path: Path) -> None:
    keys, rows = made(2000, 512)
    with EmbeddingStore(tmp_path).open(SPACE, "float16") as features:
        features.add(keys, rows)
        before, _ = features.get(keys)
    after, found = EmbeddingStore(tmp_path).open(SPACE, "float16").get(keys)
    assert found.all()
    assert np.array_equal(before, after)
    assert np.abs(after - rows).max() < 1e-4
    assert np.abs(np.linalg.norm(after, axis=1) - 1).max() < 1e-6
    assert np.abs(after[:500] @ after.T - rows[:500] @ rows.T).max() < 2e-4


@pytest.mark.parametrize("row", [[1.0] + [0.0] * 15, [0.25] * 16, [0.9999, 0.01414] + [1e-7] * 14])
def test_no_row_is_off_by_more_than_the_bound_in_float16(row: list[float], tmp_path: Path) -> None:
    rows = unit(np.array([row], dtype=np.float32))
    with EmbeddingStore(tmp_path).open(SPACE, "float16") as features:
        features.add([text_key("x")], rows)
        assert np.abs(features.get([text_key("x")])[0] - rows).max() < 1e-3


def test_float16_takes_half_the_room(tmp_path: Path) -> None:
    sizes = [filled(tmp_path / name, 200, 512, name).stat().st_size for name in BOTH]
    assert sizes[1] < 0.6 * sizes[0]


def test_what_is_read_does_not_depend_on_how_new_rows_would_be_stored(tmp_path: Path) -> None:
    keys, rows = made(20)
    for storage in BOTH:
        filled(tmp_path / storage, storage=storage)
        wide, narrow = (EmbeddingStore(tmp_path / storage).open(SPACE, new) for new in BOTH)
        assert len(wide) == len(narrow) == 20
        assert np.array_equal(wide.get(keys)[0], narrow.get(keys)[0])
        assert np.array_equal(wide.get(keys)[0], rows) == (storage == "float32")
        assert str(wide.get(keys)[0].dtype) == "float32"


def test_a_float32_row_is_read_before_a_float16_one_of_the_same_key(tmp_path: Path) -> None:
    keys, rows = made(20)
    for number in range(4):  # files are read by their random names
        root = tmp_path / str(number)
        before = EmbeddingStore(root).open(SPACE)
        filled(root, storage="float16")
        with before:
            before.add(keys[:5], rows[:5])
        both = EmbeddingStore(root).open(SPACE, "float16")
        assert len(both) == 20
        assert both.rounded(keys) == 15
        assert np.array_equal(both.get(keys[:5])[0], rows[:5])


def test_only_rounded_rows_are_scaled_again_and_they_are_counted(tmp_path: Path) -> None:
    keys, rows = made(30)
    with EmbeddingStore(tmp_path).open(SPACE, "float16") as features:
        features.add(keys[:10], rows[:10])
    with EmbeddingStore(tmp_path).open(SPACE) as features:
        features.add(keys[10:20], rows[10:20])
        assert features.rounded(keys) == 10
    features = EmbeddingStore(tmp_path).open(SPACE)
    assert [features.rounded(part) for part in (keys, keys[5:15], keys[10:], [])] == [10, 5, 0, 0]
    found = features.get(keys[:20])[0]
    assert np.array_equal(found[10:], rows[10:20])
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    assert 0 < np.abs(found[:10] - rows[:10]).max() < 1e-3


def test_a_row_is_looked_up_without_being_read(tmp_path: Path) -> None:
    keys, rows = made(3)
    features = EmbeddingStore(tmp_path).open(SPACE)
    features.add(keys[:2], rows[:2])
    there = features.has([keys[2], keys[0], keys[0]])
    assert there.dtype == np.bool_
    assert there.tolist() == [False, True, True]
    assert features.has([]).shape == (0,)


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_a_store_that_is_a_file_or_below_one_is_refused_before_anything_is_computed(
    below: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    root = tmp_path / "file" / below
    with pytest.raises(StoreError, match="cannot be kept there") as caught:
        EmbeddingStore(root).refuse_unwritable()
    assert caught.value.where == str(root)
    assert "name another" in caught.value.remedy


def test_a_store_that_may_not_be_written_to_is_refused() -> None:
    # Not below tmp_path, which no other user may even enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with nobody(), pytest.raises(StoreError, match="Permission denied"):
            EmbeddingStore(Path(folder)).refuse_unwritable()
        assert list(Path(folder).iterdir()) == []


def test_a_store_that_can_be_written_to_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "store"
    EmbeddingStore(folder).refuse_unwritable()
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)  # as its owner wants it
    EmbeddingStore(folder).refuse_unwritable()
    assert folder.stat().st_mode & 0o777 == 0o755


def test_an_empty_store_finds_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path / "store").open(SPACE) as features:
        rows, found = features.get([text_key("x")])
        features.add([], np.empty((0, 16), np.float32))
    assert (rows.shape, found.tolist(), len(features), features.width) == ((0, 0), [0], 0, 0)
    assert features.get([])[0].shape == (0, 0)
    assert not (tmp_path / "store").exists()


def test_each_space_has_its_own_folder_and_sees_nothing_of_another(tmp_path: Path) -> None:
    stamp = StubEncoder().stamp
    spaces = [
        FeatureSpace.of_images(stamp, DEFAULT_LOOKING),
        FeatureSpace.of_texts(stamp),
        FeatureSpace.of_images(stamp, Looking()),
        FeatureSpace.of_images(stamp, Looking(1, "auto")),
        *(
            FeatureSpace.of_images(stamp.model_copy(update={name: text}), DEFAULT_LOOKING)
            for name, text in (
                ("dtype", "bfloat16"),
                ("preprocessing", "1" * 16),
                ("fingerprint", "1" * 16),
            )
        ),
    ]
    for i, space in enumerate(spaces):
        with EmbeddingStore(tmp_path).open(space) as features:
            assert len(features) == 0
            features.add(*made(i + 1))
    assert [len(EmbeddingStore(tmp_path).open(space)) for space in spaces] == [*range(1, 8)]
    folders = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet")}
    looked_at = "frames_16_views_auto"
    assert f"images/{stamp.fingerprint}-{stamp.preprocessing}-float32-{looked_at}" in folders
    assert f"texts/{stamp.fingerprint}-none-float32-none" in folders


def test_the_same_weights_under_another_name_are_the_same_space(tmp_path: Path) -> None:
    filled(tmp_path)
    renamed = replace(SPACE, model="/some/folder", revision="local")
    assert len(EmbeddingStore(tmp_path).open(renamed)) == 20


def test_a_space_that_cannot_name_a_folder_is_refused() -> None:
    stamp: ModelStamp = StubEncoder().stamp.model_copy(update={"fingerprint": "../elsewhere"})
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        FeatureSpace.of_images(stamp, DEFAULT_LOOKING)


@pytest.mark.parametrize("ending", [RuntimeError, KeyboardInterrupt])
def test_what_was_computed_before_an_exception_is_kept(
    ending: type[BaseException], tmp_path: Path
) -> None:
    keys, rows = made(30)

    def embed() -> None:
        with EmbeddingStore(tmp_path).open(SPACE) as features:
            features.add(keys[:10], rows[:10])
            raise ending

    with pytest.raises(ending):
        embed()
    with EmbeddingStore(tmp_path).open(SPACE) as features:
        _, found = features.get(keys)
        assert found.sum() == 10
        features.add([key for key, there in zip(keys, found, strict=True) if not there], rows[10:])
    assert np.array_equal(EmbeddingStore(tmp_path).open(SPACE).get(keys)[0], rows)


def test_it_writes_every_thousand_rows(tmp_path: Path) -> None:
    keys, rows = made(2500)
    features = EmbeddingStore(tmp_path).open(SPACE)
    for start in range(0, 2500, 100):
        features.add(keys[start : start + 100], rows[start : start + 100])
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == 2000
    features.flush()
    features.flush()
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == 2500
    assert len(list(tmp_path.rglob("*.parquet"))) == 3


def test_an_unknown_storage_is_refused_before_anything_is_embedded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="storage is 'flaot16', and it can be float32, float16"):
        EmbeddingStore(tmp_path).open(SPACE, "flaot16")  # type: ignore[arg-type]


def test_it_writes_when_time_has_passed(tmp_path: Path) -> None:
    keys, rows = made(3)
    features = EmbeddingStore(tmp_path).open(SPACE)
    features.add(keys[:1], rows[:1])
    assert not list(tmp_path.rglob("*.parquet"))
    features._pending_since -= 30
    features.add(keys[1:2], rows[1:2])
    features.add(keys[2:], rows[2:])
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == 2


def test_a_key_that_is_known_keeps_its_row(tmp_path: Path) -> None:
    keys, rows = made(2)
    with EmbeddingStore(tmp_path).open(SPACE) as features:
        features.add([keys[0], keys[0]], rows)
        features.add(keys[:1], rows[1:])
        assert np.array_equal(features.get(keys[:1])[0], rows[:1])
        assert len(features) == 1
    assert np.array_equal(EmbeddingStore(tmp_path).open(SPACE).get(keys[:1])[0], rows[:1])


def test_changing_a_row_after_it_was_added_does_not_change_the_store(
    tmp_path: Path,
) -> None:
    keys, rows = made(2)
    given_rows = rows.copy()
    features = EmbeddingStore(tmp_path).open(SPACE)
    features.add(keys, given_rows)
    given_rows[:] = 0
    assert np.array_equal(features.get(keys)[0], rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan] * 16, "not finite"),
        ([np.inf] * 16, "not finite"),
        ([3e38] * 16, "not finite"),
        ([0.0] * 16, "not of unit length"),
        ([1.0] * 16, "not of unit length"),
        ([1.0] + [0.0] * 7, "width 8, and those before it 16"),
    ],
)
def test_a_row_that_is_not_a_feature_is_refused(
    row: list[float], message: str, tmp_path: Path
) -> None:
    features = EmbeddingStore(tmp_path).open(SPACE)
    features.add(*made(1))
    with pytest.raises(ModelError, match=message):
        features.add([text_key("x")], np.array([row], dtype=np.float32))
    assert len(features) == 1


@pytest.mark.parametrize("keys", [["abc"], ["00" * 31], ["g" * 64], ["00" * 32] * 2])
def test_keys_that_are_not_hashes_or_too_many_are_refused(keys: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        EmbeddingStore(tmp_path).open(SPACE).add(keys, made(1)[1])


WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from moderation.features import EmbeddingStore, FeatureSpace
root, me = Path(sys.argv[1]), sys.argv[2]
given = np.load(root / f"{me}.npz")
keys, rows = given["keys"].tolist(), given["rows"]
with EmbeddingStore(root).open(FeatureSpace(*sys.argv[3:])) as features:
    (root / f"ready-{me}").touch()
    while len(list(root.glob("ready-*"))) < 2:
        time.sleep(0.005)
    for i in range(0, len(keys), 30):
        features.add(keys[i : i + 30], rows[i : i + 30])
        features.flush()
"""


def test_two_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    keys, rows = made(650)
    writers = []
    for name, mine in (("first", slice(0, 350)), ("second", slice(300, 650))):
        np.savez(tmp_path / f"{name}.npz", keys=keys[mine], rows=rows[mine])
        words = [sys.executable, "-c", WRITER, str(tmp_path), name, *astuple(SPACE)]
        writers.append(subprocess.Popen(words, cwd=ROOT))
    sizes = [0]
    while any(writer.poll() is None for writer in writers):
        sizes.append(len(EmbeddingStore(tmp_path).open(SPACE)))  # it can be read meanwhile
        time.sleep(0.02)
    assert [writer.wait() for writer in writers] == [0, 0]
    assert sizes == sorted(sizes)
    features = EmbeddingStore(tmp_path).open(SPACE)
    assert len(features) == 650
    assert np.array_equal(features.get(keys)[0], rows)


def test_what_a_killed_writer_left_is_ignored_and_removed_after_a_day(tmp_path: Path) -> None:
    folder = filled(tmp_path).parent
    old, fresh = folder / "part-old.tmp", folder / "part-fresh.tmp"
    for path in (old, fresh):
        path.write_bytes(b"half a file")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == 20
    assert not old.exists()
    assert fresh.exists()


def test_a_disk_that_cannot_be_written_is_an_error_that_keeps_the_rows(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.write_text("a file where the folder should be")
    features = EmbeddingStore(root).open(SPACE)
    features.add(*made(3))
    with pytest.raises(StoreError, match="cannot be written"):
        features.flush()
    root.unlink()
    features.flush()
    assert len(EmbeddingStore(root).open(SPACE)) == 3


def refusal(root: Path, space: FeatureSpace = SPACE) -> str:
    """Returns the error that a store gives when it is opened, or asked for what is in its file."""
    with pytest.raises(StoreError) as caught:
        EmbeddingStore(root).open(space).get([*made(20)[0], *NUMBERED])
    assert caught.value.where == str(one_part(root))
    assert caught.value.remedy == "Delete this file; its images are embedded again"
    return caught.value.what


@pytest.mark.parametrize("storage", BOTH)
def test_a_file_that_is_cut_off_or_is_something_else_is_refused(
    storage: Storage, tmp_path: Path
) -> None:
    path = filled(tmp_path, storage=storage)
    content = path.read_bytes()
    cut = (content[:-1], content[: len(content) // 2], content[:100])
    for damaged in (*cut, b"", b"PAR1", b"nonsense" * 100):
        path.write_bytes(damaged)
        assert "damaged" in refusal(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("storage", BOTH)
def test_no_byte_can_be_flipped_in_a_file_unnoticed(storage: Storage, tmp_path: Path) -> None:
    """For each byte of the file: either an error, or nobody reads what was flipped.

    Bit 3 is in the row count of the footer, which no page checksum covers.
    """
    path = filled(tmp_path, 12, 8, storage)
    content = path.read_bytes()
    keys = made(12)[0]
    rows = EmbeddingStore(tmp_path).open(SPACE, storage).get(keys)[0]
    pages = page_bytes(path)
    unread = 0
    for place, bit in product(range(len(content)), (3, 6)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            again = EmbeddingStore(tmp_path).open(SPACE, storage)
            found, _ = again.get(keys)
        except StoreError:
            continue
        assert place not in pages
        assert len(again) == len(keys)
        assert np.array_equal(found, rows)
        unread += 1
    assert unread < len(content) / 2


def page_bytes(path: Path) -> set[int]:
    """Returns the places of all keys and values in a file."""
    table = pq.read_table(path)
    content = path.read_bytes()
    found: list[Any] = table.column("key").to_pylist()
    keys, features = b"".join(found), cast(Any, table.column("feature").combine_chunks())
    values = features.flatten().to_numpy(zero_copy_only=False)
    places: set[int] = set()
    for block in (keys, values.tobytes()):
        start = content.index(block)
        places |= set(range(start, start + len(block)))
    return places


def test_a_file_of_another_space_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    others = [
        replace(SPACE, kind="texts"),
        replace(SPACE, fingerprint="f" * 16),
        replace(SPACE, preprocessing="f" * 16),
        replace(SPACE, dtype="bfloat16"),
        replace(SPACE, looking="frames=16 views=1"),
    ]
    for i, other in enumerate(others):
        folder = tmp_path / str(i) / other.folder
        folder.mkdir(parents=True)
        (folder / path.name).write_bytes(path.read_bytes())
        assert "of another model or preprocessing" in refusal(tmp_path / str(i), other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "evenhand-features-1"),
        ("format", None),
        ("model", "another"),
        ("revision", "2"),
        ("storage", "float16"),
        ("width", "8"),
        ("width", "9" * 40),
        ("width", "-1"),
        ("sha256", "0" * 64),
        ("sha256", None),
        ("keys_sha256", "0" * 64),
        ("more", "1"),
    ],
)
def test_a_file_with_other_metadata_is_refused(
    name: str, value: str | None, tmp_path: Path
) -> None:
    path = filled(tmp_path)
    table = pq.read_table(path)
    metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    changed = {**metadata, name: value}
    kept = {name: text for name, text in changed.items() if text is not None}
    pq.write_table(table.replace_schema_metadata(kept), path)
    assert refusal(tmp_path)


def test_a_file_of_a_version_that_had_no_hash_of_keys_is_read(tmp_path: Path) -> None:
    keys, rows = made(20)
    path = filled(tmp_path)
    table = pq.read_table(path)
    earlier = {k: v for k, v in table.schema.metadata.items() if k != b"keys_sha256"}
    pq.write_table(table.replace_schema_metadata(earlier), path)
    features = EmbeddingStore(tmp_path).open(SPACE)
    assert len(features) == 20
    assert np.array_equal(features.get(keys)[0], rows)


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2, 3]}), filled(tmp_path))
    assert "not a file of this store" in refusal(tmp_path)


def test_rows_that_are_exchanged_between_keys_are_noticed(tmp_path: Path) -> None:
    path = filled(tmp_path)
    table = pq.read_table(path)
    exchanged = table.set_column(
        0, table.schema.field("key"), table.column("key").take([*range(19, -1, -1)])
    )
    pq.write_table(exchanged.replace_schema_metadata(table.schema.metadata), path)
    assert "hash" in refusal(tmp_path)


@pytest.mark.parametrize("factor", [0.5, np.nan])
def test_stored_rows_that_are_not_features_are_refused(factor: float, tmp_path: Path) -> None:
    _, rows = made(4)
    keys = [bytes.fromhex(key) for key in NUMBERED]
    wrong = (rows * factor).astype(np.float32)
    write_part(tmp_path / SPACE.folder, SPACE, Part("float32", keys, wrong))
    assert "a feature is not" in refusal(tmp_path)


def test_files_whose_widths_differ_are_refused(tmp_path: Path) -> None:
    first = filled(tmp_path)
    keys = [hashlib.sha256(b"x").digest()]
    write_part(first.parent, SPACE, Part("float32", keys, made(1, 8)[1]))
    with pytest.raises(StoreError, match=r"its rows have width \d+, others \d+"):
        EmbeddingStore(tmp_path).open(SPACE)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / SPACE.folder / "part-folder.parquet").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot be read .*Make it readable"):
        EmbeddingStore(tmp_path).open(SPACE)


def test_a_file_is_read_and_verified_when_a_row_of_it_is_asked_for(tmp_path: Path) -> None:
    keys, rows = made(20)
    for part in (slice(0, 10), slice(10, 20)):
        with EmbeddingStore(tmp_path).open(SPACE) as features:
            features.add(keys[part], rows[part])
    spoilt = next(
        path
        for path in tmp_path.rglob("*.parquet")
        if bytes.fromhex(keys[10]) in read_head(path, SPACE).keys
    )
    content = bytearray(spoilt.read_bytes())
    content[content.index(rows[12].tobytes())] ^= 1
    spoilt.write_bytes(content)
    features = EmbeddingStore(tmp_path).open(SPACE)
    assert (len(features), features.width) == (20, 16)
    assert features.has(keys).all()
    assert np.array_equal(features.get(keys[:10])[0], rows[:10])
    for _ in range(2):
        with pytest.raises(StoreError, match="damaged"):
            features.get(keys[9:11])


def test_what_is_read_on_demand_is_what_reading_every_file_gives(tmp_path: Path) -> None:
    keys, rows = made(120)
    random = np.random.default_rng(3)
    for storage in (*BOTH, *BOTH):
        own = random.permutation(60)[:40] * 2  # pairs of rows, some of them in several files
        with EmbeddingStore(tmp_path).open(SPACE, storage) as features:
            looks = np.concatenate([rows[i : i + 2] for i in own])
            features.add([keys[i] for i in own], looks, [2] * len(own))
    every: dict[bytes, list[Any]] = {}
    for path in sorted(tmp_path.rglob("*.parquet")):
        part = read_part(path, SPACE)
        for key in dict.fromkeys(part.keys):
            found = part.rows[[each == key for each in part.keys]]
            before = every.get(key)
            if before is None or before[0].itemsize < found.itemsize:
                every[key] = [found]
    assert len(list(tmp_path.rglob("*.parquet"))) > 2
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == len(every)
    for count in (1, 5, 120):
        asked = [keys[i] for i in random.permutation(120)[:count]]
        read, counts = EmbeddingStore(tmp_path).open(SPACE).get(asked)
        blocks = [every.get(bytes.fromhex(key), [None])[0] for key in asked]
        assert counts.tolist() == [0 if block is None else 2 for block in blocks]
        expected = [widened(block) for block in blocks if block is not None]
        assert np.array_equal(read, np.concatenate([read[:0], *expected]))


def test_a_file_that_is_removed_or_replaced_while_others_read_is_no_error(tmp_path: Path) -> None:
    keys, rows = made(20)
    path = filled(tmp_path)
    features = EmbeddingStore(tmp_path).open(SPACE)
    keys_left = [bytes.fromhex(key) for key in keys[:5]]
    write_part(path.parent, SPACE, Part("float32", keys_left, rows[:5]))
    path.unlink()
    found, counts = features.get(keys)
    assert counts.tolist() == [1] * 5 + [0] * 15
    assert np.array_equal(found, rows[:5])
    assert features.has(keys).sum() == len(features) == 5
    one_part(tmp_path).unlink()
    assert np.array_equal(features.get(keys)[0], rows[:5])  # they have been read
    features.add(keys, rows)
    features.flush()
    assert len(EmbeddingStore(tmp_path).open(SPACE)) == 15


@pytest.mark.parametrize("storage", BOTH)
def test_eleven_thousand_rows_take_well_under_a_second_of_the_processor(
    storage: Storage, tmp_path: Path
) -> None:
    keys, rows = made(11_000, 512)
    with EmbeddingStore(tmp_path).open(SPACE, storage) as features:
        for start in range(0, len(keys), 500):
            features.add(keys[start : start + 500], rows[start : start + 500])
    start_time = time.process_time()
    _, found = EmbeddingStore(tmp_path).open(SPACE, storage).get(keys)
    assert time.process_time() - start_time < 1.0
    assert found.all()


STEP = st.tuples(st.sampled_from(["add", "get", "flush", "open"]), st.lists(st.integers(0, 12)))


@given(steps=st.lists(STEP, max_size=12), storage=st.sampled_from(BOTH))
@settings(max_examples=60)
def test_whatever_the_order_what_was_added_is_found_and_nothing_else(
    steps: list[tuple[str, list[int]]], storage: Storage
) -> None:
    keys, rows = made(26, 8)
    looks = [[i, *range(13, 13 + i % 4)] for i in range(13)]  # the rows of each key: 1 to 4
    added: set[int] = set()
    with tempfile.TemporaryDirectory() as root:
        features = EmbeddingStore(Path(root)).open(SPACE, storage)
        for step, indices in steps:
            named = [keys[i] for i in indices]
            if step == "add":
                every = [row for i in indices for row in looks[i]]
                counts = [len(looks[i]) for i in indices]
                features.add(named, rows[every].reshape(-1, 8), counts)
                added |= set(indices)
            elif step != "get":
                features.flush()
            if step == "open":  # as a later run does
                features = EmbeddingStore(Path(root)).open(SPACE, storage)
            assert len(features) == len(added)
            asked, found = features.get(named)
            assert found.tolist() == [len(looks[i]) * (i in added) for i in indices]
            expected = [rows[looks[i]] for i in indices if i in added]
            if expected:
                error = np.abs(asked - np.concatenate(expected)).max()
                assert error <= (0 if storage == "float32" else 1e-3)
