"""Features that others computed become a recording, or an error that names each row."""

from __future__ import annotations

import errno
import io
import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from audit.errors import AuditError, DatasetError
from audit.recordings.claims import ModelClaims
from audit.recordings.recording import read_recording
from audit.recordings.recording_folder import whole_folder
from audit.recordings.text_features import TextOptions
from tests.support.recorded_features import (
    CLAIMS,
    feature_table,
    imported,
    label_rows,
    list_column,
    refused,
    unit_rows,
    write_npy_and_csv,
    write_texts,
)

N = 12


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f2", ">f4", ">f8"])
def test_npy_and_csv_become_a_recording_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    rows = unit_rows(N, dtype=dtype)
    features, labels = write_npy_and_csv(tmp_path / "in", rows)
    recording = imported(tmp_path / "out", features, labels)
    kept = "float16" if rows.dtype.itemsize == 2 else "float32"
    assert recording.features.dtype == kept
    assert recording.features.tobytes() == rows.astype(kept).tobytes()
    assert recording.dataset.table["image_id"].tolist() == [f"{i}.jpg" for i in range(N)]
    assert recording.dataset.groups(["race"]).sizes.tolist() == [6, 6]
    assert (recording.stated.n, recording.stated.d, recording.stated.unit_length) == (N, 8, True)
    assert recording.stated.claims == CLAIMS
    read = read_recording(tmp_path / "out")
    assert read.dataset.sha256 == recording.dataset.sha256
    assert read.texts is None


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".stream.arrow"])
def test_a_list_column_becomes_a_recording(
    tmp_path: Path, kind: str, dtype: str, suffix: str
) -> None:
    rows = unit_rows(N, dtype=dtype)
    table = feature_table(rows, fixed=kind == "fixed")
    if kind == "large":
        column = table.column("embedding").cast(pa.large_list(pa.from_numpy_dtype(rows.dtype)))
        table = table.set_column(2, "embedding", column)
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=5)
    else:
        new = pa.ipc.new_stream if suffix == ".stream.arrow" else pa.ipc.new_file
        with path.open("wb") as file, new(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    recording = imported(tmp_path / "out", path)
    kept = "float16" if dtype == "float16" else "float32"
    assert recording.features.tobytes() == rows.astype(kept).tobytes()
    assert recording.dataset.table["race"].tolist() == [row["race"] for row in label_rows(N)]


@pytest.mark.parametrize("folders", [True, False])
def test_the_layout_of_clip_retrieval_is_paired_by_number(tmp_path: Path, folders: bool) -> None:
    rows = unit_rows(N, dtype="float16")
    folder = tmp_path / "embeddings"
    for number, part in ((0, slice(0, 3)), (2, slice(3, 5)), (10, slice(5, N))):
        image = folder / "img_emb" if folders else folder
        metadata = folder / "metadata" if folders else folder
        image.mkdir(parents=True, exist_ok=True)
        metadata.mkdir(parents=True, exist_ok=True)
        np.save(image / f"img_emb_{number}.npy", rows[part])
        pq.write_table(
            feature_table(rows).select(["file", "race"])[part],
            metadata / f"metadata_{number}.parquet",
        )
    recording = imported(tmp_path / "out", folder)
    assert recording.features.tobytes() == rows.tobytes()
    assert recording.dataset.table["image_id"].tolist() == [f"{i}.jpg" for i in range(N)]
    (folder / ("metadata/metadata_2.parquet" if folders else "metadata_2.parquet")).unlink()
    [problem] = refused(tmp_path / "again", folder)
    assert problem.message == "there is no metadata_2 for it"


def test_captions_of_clip_retrieval_are_texts(tmp_path: Path) -> None:
    folder = tmp_path / "embeddings"
    folder.mkdir()
    rows, texts = unit_rows(3), unit_rows(3, seed=1)
    np.save(folder / "img_emb_0.npy", rows)
    np.save(folder / "text_emb_0.npy", texts)
    table = pa.table(
        {"file": ["a", "b", "c"], "race": ["x", "y", "x"], "caption": ["cat", "", "dog"]}
    )
    pq.write_table(table, folder / "metadata_0.parquet")
    recording = imported(tmp_path / "out", folder, texts=folder)
    assert recording.texts is not None
    assert recording.texts.texts == ("cat", "dog")
    assert recording.texts.rows.tobytes() == texts[[0, 2]].astype(np.float32).tobytes()


def test_annotations_are_joined_by_id_in_any_order(tmp_path: Path) -> None:
    rows = unit_rows(4)
    path = tmp_path / "rows.parquet"
    table = pa.table({"key": ["d", "a", "c", "b"], "embedding": list_column(rows, fixed=False)})
    pq.write_table(table, path)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,race\na,Black\nb,White\nc,Black\nd,White\n")
    recording = imported(tmp_path / "out", path, labels, join="key")
    assert recording.dataset.table["image_id"].tolist() == ["d", "a", "c", "b"]
    assert recording.dataset.table["race"].tolist() == ["White", "Black", "Black", "White"]
    assert recording.features.tobytes() == rows.astype(np.float32).tobytes()


def test_ids_that_meet_no_row_are_errors_both_ways_or_left_out_by_group(tmp_path: Path) -> None:
    path, labels = tmp_path / "rows.parquet", tmp_path / "labels.csv"
    rows = unit_rows(4)
    pq.write_table(
        pa.table({"key": ["a", "b", "c", "x"], "embedding": list_column(rows, fixed=True)}), path
    )
    labels.write_text("file,race\na,Black\nb,White\nc,Black\ny,White\n")
    problems = refused(tmp_path / "out", path, labels, join="key")
    assert [(p.row, p.message) for p in problems] == [
        (5, "no feature has its id"),
        (4, "no row of the annotations has the id of this feature, x"),
    ]
    recording = imported(tmp_path / "out", path, labels, join="key", skip_bad=True)
    assert recording.dataset.table["image_id"].tolist() == ["a", "b", "c"]
    assert recording.dataset.missing == {("White",): 1, (None,): 1}
    assert recording.features.tobytes() == rows[:3].astype(np.float32).tobytes()
    labels.write_text("file,race\n1,Black\n2,White\n")
    [problem] = refused(tmp_path / "none", path, labels, join="key")
    assert problem.message == "no id of it is in key of the features: 1, 2"


# Broken rows


def test_rows_and_features_of_different_number_are_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N), label_rows(N - 1))
    [problem] = refused(tmp_path / "out", features, labels)
    assert problem.message == "it has 11 rows, and there are 12 features"


def _broken(row: int, cells: Any) -> np.ndarray[Any, Any]:
    rows = unit_rows(N)
    rows[row] = cells
    return rows


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([np.nan, *[0] * 7], "is nan in 1 place"),
        ([np.inf, -np.inf, *[0] * 6], "is inf in 2 places"),
        ([0] * 8, "is zero in every place, so it has no direction"),
    ],
)
def test_a_row_that_is_no_feature_is_named_or_left_out(
    tmp_path: Path, cells: list[float], what: str
) -> None:
    rows = _broken(4, cells)
    features, labels = write_npy_and_csv(tmp_path / "in", rows)
    [problem] = refused(tmp_path / "out", features, labels)
    assert (problem.path, problem.row) == (str(labels), 6)
    assert problem.message == f"its feature, row 5 of features.npy, {what}"
    recording = imported(tmp_path / "out", features, labels, skip_bad=True)
    assert len(recording.dataset) == len(recording.features) == N - 1
    assert recording.dataset.missing == {("Black",): 1}
    assert recording.features.tobytes() == np.delete(rows, 4, axis=0).tobytes()


def test_rows_of_another_length_or_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    lists = [*unit_rows(3).tolist(), [1.0], None, *unit_rows(1, seed=3).tolist()]
    table = pa.table(
        {
            "file": list("abcdef"),
            "race": ["x", "y"] * 3,
            "embedding": pa.array(lists, pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, path)
    problems = refused(tmp_path / "out", path)
    assert [(p.row, p.message) for p in problems] == [
        (4, "its feature, row 4 of rows.parquet, has 1 number, and others 8"),
        (5, "its feature, row 5 of rows.parquet, has 0 numbers, and others 8"),
    ]
    recording = imported(tmp_path / "out", path, skip_bad=True)
    assert recording.dataset.table["image_id"].tolist() == list("abcf")
    assert recording.features[3].tolist() == unit_rows(1, seed=3)[0].tolist()


def test_rows_of_other_length_than_1_are_refused_or_normalised(tmp_path: Path) -> None:
    rows = unit_rows(N, dtype="float64") * np.linspace(2, 13, N)[:, np.newaxis]
    features, labels = write_npy_and_csv(tmp_path / "in", rows)
    [problem] = refused(tmp_path / "out", features, labels)
    assert problem.message == (
        "12 features of 12 are not of unit length but 2 to 13 long, in rows 1, 2, 3, 4, 5 and more"
    )
    assert "--normalise" in problem.remedy
    assert len(refused(tmp_path / "skip", features, labels, skip_bad=True)) == 1
    recording = imported(tmp_path / "out", features, labels, normalise=True)
    np.testing.assert_allclose(recording.features, unit_rows(N, dtype="float64"), atol=1e-7)
    assert not recording.stated.unit_length


@pytest.mark.parametrize("size", [1e300, 1e30, 1e5, 1e-300, 1e-320])
def test_float64_too_large_or_small_for_float16_is_scaled_before_it_is_rounded(
    tmp_path: Path, size: float
) -> None:
    rows = np.array([[3.0, 4.0], [0.0, -1.0], [5.0, 12.0]]) * size
    features, labels = write_npy_and_csv(tmp_path / "in", rows)
    refused(tmp_path / "out", features, labels, storage="float16")
    recording = imported(tmp_path / "out", features, labels, storage="float16", normalise=True)
    expected = np.array([[0.6, 0.8], [0, -1], [5 / 13, 12 / 13]])
    np.testing.assert_allclose(recording.features.astype(float), expected, atol=2e-3)


def test_features_in_half_precision_count_as_of_unit_length(tmp_path: Path) -> None:
    halves = unit_rows(N, d=512, dtype="float16")
    features, labels = write_npy_and_csv(tmp_path / "in", halves.astype(np.float32))
    recording = imported(tmp_path / "out", features, labels)
    lengths = np.linalg.norm(recording.features.astype(np.float64), axis=1)
    assert recording.stated.unit_length
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_an_id_twice_is_named(tmp_path: Path) -> None:
    labels = label_rows(N)
    labels[7]["file"] = "2.jpg"
    features, csv = write_npy_and_csv(tmp_path / "in", unit_rows(N), labels)
    [problem] = refused(tmp_path / "out", features, csv)
    assert (problem.row, problem.message) == (9, "the id 2.jpg is also in row 4")


def test_one_feature_under_two_ids_counts_once_or_for_neither(tmp_path: Path) -> None:
    rows = unit_rows(40)
    rows[7], rows[20] = rows[5], rows[1]  # 5 and 7 are of one race; of 1 and 20 one is wrong
    features, csv = write_npy_and_csv(tmp_path / "in", rows)
    recording = imported(tmp_path / "out", features, csv)
    assert len(recording.dataset) == 37
    assert recording.dataset.missing == {("Black",): 1, ("White",): 1}
    notes = " ".join(recording.dataset.notes)
    assert "bit for bit in the features, with the same annotations, counted once: 1." in notes
    assert "bit for bit in the features, with different annotations, left out: 1." in notes
    kept = [i for i in range(40) if i not in (1, 7, 20)]
    assert recording.features.tobytes() == rows[kept].tobytes()
    rows[8:20] = rows[0]
    write_npy_and_csv(tmp_path / "in", rows)
    problems = refused(tmp_path / "again", features, csv)
    assert problems[0].message.startswith("the image is the same, bit for bit in the features, as")


# Broken files


def _pickled(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (path.with_name("ran"),))

    array = np.empty((2, 2), object)
    array[:] = Evil()
    np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize("plain", [True, False])
def test_a_pickled_npy_is_refused_and_never_run(tmp_path: Path, plain: bool) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(2))
    if plain:
        features.write_bytes(pickle.dumps([1, 2]))
    else:
        _pickled(features)
    [problem] = refused(tmp_path / "out", features, labels)
    assert "pickled Python objects" in problem.message
    assert not features.with_name("ran").exists()


def test_a_truncated_npy_is_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    content = features.read_bytes()
    for length in (len(content) - 1, 100, 20, 0):
        features.write_bytes(content[:length])
        [problem] = refused(tmp_path / "out", features, labels)
        assert problem.path == str(features)


def test_numbers_in_the_other_order_of_bytes_are_seen(tmp_path: Path) -> None:
    """A file whose header states the wrong order: its numbers cannot be features."""
    rows = unit_rows(N).byteswap()
    features, labels = write_npy_and_csv(tmp_path / "in", rows)
    assert refused(tmp_path / "out", features, labels)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.ones((3, 4), np.int8), "its numbers are int8, no floats"),
        (np.ones((3, 4), np.longdouble), "its numbers are"),
        (np.ones(3, np.float32), "its shape is 3"),
        (np.ones((3, 2, 2), np.float32), "its shape is 3 x 2 x 2"),
        (np.ones((0, 4), np.float32), "its shape is 0 x 4"),
        (np.float32(1), "its shape is that of one number"),
    ],
)
def test_an_npy_of_something_else_is_refused(tmp_path: Path, array: Any, what: str) -> None:
    path = tmp_path / "features.npy"
    np.save(path, array)
    [problem] = refused(tmp_path / "out", path)
    assert problem.message.startswith(what)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"ARROW1\0\0", b"x" * 100])
def test_an_unreadable_parquet_or_arrow_file_is_refused(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    [problem] = refused(tmp_path / "out", path)
    assert problem.message.startswith("it cannot be read (")


def test_a_parquet_file_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(feature_table(unit_rows(400)), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert refused(tmp_path / "out", path)


def test_files_that_are_missing_or_of_several_kinds_are_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    path = tmp_path / "rows.parquet"
    pq.write_table(feature_table(unit_rows(N)), path)
    said = {
        "there is no such file": (tmp_path / "no.npy", labels),
        "there is no such table": (features, tmp_path / "no.csv"),
        "a .npy file has no annotations": (features,),
        "no reader knows this file": (labels, labels),
        "some of the files have columns, and some none": ([features, path], labels),
        "a folder is imported by itself": ([features, tmp_path], labels),
        "there is no img_emb_*.npy in it, nor in a folder img_emb": (tmp_path,),
        "there are no two tables to join": (features, labels),
    }
    for what, given in said.items():
        join = "file" if "join" in what else None
        [problem] = refused(tmp_path / "out", *given, join=join)
        assert problem.message == what
    rows = pa.table({"file": ["a"], "race": ["b"], "n": [1.0]})
    pq.write_table(rows, path)
    [problem] = refused(tmp_path / "out", path)
    assert problem.message.endswith("can be the features, since none holds lists of floats")
    arrow = tmp_path / "rows.arrow"
    table = feature_table(unit_rows(2))
    with pa.ipc.new_file(str(arrow), table.schema) as writer:
        writer.write_table(table)
    [problem] = refused(tmp_path / "out", arrow, columns={"race": "embedding"})
    assert problem.message == "no plain values are in embedding"
    two = feature_table(unit_rows(2)).append_column("other", list_column(unit_rows(2), fixed=True))
    pq.write_table(two, path)
    [problem] = refused(tmp_path / "out", path)
    assert problem.message == "2 columns of it can be the features: embedding, other"
    assert imported(tmp_path / "out", path, vector="other").stated.n == 2
    [problem] = refused(tmp_path / "again", path, vector="race")
    assert problem.message == "race holds string, and no lists of floats"


def test_parts_of_different_width_are_refused(tmp_path: Path) -> None:
    one, labels = write_npy_and_csv(tmp_path / "in", unit_rows(6))
    two, more = write_npy_and_csv(tmp_path / "more", unit_rows(6, d=4))
    [problem] = refused(tmp_path / "out", [one, two], labels, more)
    assert problem.message == f"its features have 4 numbers, those of {one} 8"


def test_columns_of_images_are_refused_and_all_bad_cells_are_named(tmp_path: Path) -> None:
    labels = label_rows(N)
    labels[3]["race"], labels[5]["race"] = "", "unknown"
    features, csv = write_npy_and_csv(tmp_path / "in", _broken(7, np.nan), labels)
    problems = refused(tmp_path / "out", features, csv)
    assert [problem.row for problem in problems] == [5, 7, 9]
    [problem] = refused(tmp_path / "out", features, csv, columns={"image": "file"})
    assert problem.message == "image is not taken: features are imported, and no images"
    [problem] = refused(tmp_path / "out", features, csv, columns={"id": "name"})
    assert problem.message == "there is no column name"


def test_a_row_of_annotations_that_cannot_be_read_moves_no_feature(tmp_path: Path) -> None:
    features, csv = write_npy_and_csv(tmp_path / "in", unit_rows(3))
    csv.write_text("file,race\na,Black\nb,White,more\nc,White\n")
    [problem] = refused(tmp_path / "out", features, csv)
    assert problem.row == 3
    recording = imported(tmp_path / "out", features, csv, skip_bad=True)
    assert recording.dataset.table["image_id"].tolist() == ["a", "c"]
    assert recording.features.tobytes() == unit_rows(3)[[0, 2]].tobytes()


@pytest.mark.parametrize(
    "claimed",
    [
        {"model_id": " "},
        {"model_id": "m" * 201},
        {"logit_scale": 0.0},
        {"logit_scale": float("nan")},
        {"logit_bias": float("inf")},
        {"template": "a photo of a word"},
        {"template": "{word} {word}"},
    ],
)
def test_claims_that_cannot_be_are_refused(claimed: dict[str, Any]) -> None:
    with pytest.raises(AuditError, match=f"{next(iter(claimed))} cannot be"):
        ModelClaims.of(**{"model_id": "m", "logit_scale": 100.0, **claimed})


# Texts


def _npz(folder: Path, sets: dict[str, list[str]], features: dict[str, Any]) -> tuple[Path, Path]:
    np.savez(folder / "texts.npz", **features)
    (folder / "words.json").write_text(json.dumps({**sets, "prompt": "a {word}"}))
    return folder / "texts.npz", folder / "words.json"


def test_words_of_several_sets_become_texts_by_the_template(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    rows = unit_rows(4, seed=2)
    sets = {"one": ["man", "boy"], "two": ["woman", "man"]}
    texts, words = _npz(tmp_path, sets, {"one": rows[:2], "two": rows[2:]})

    def read(out: str, *chosen: str) -> Any:
        options = TextOptions(words=words, sets=chosen)
        claims = CLAIMS.model_copy(update={"template": "a photo of a {word}"})
        return imported(
            tmp_path / out, features, labels, texts=texts, text_options=options, claims=claims
        ).texts

    with pytest.raises(DatasetError, match="'a photo of a man' of row 2 of two has another"):
        read("both")
    found = read("first", "one", "two")
    assert found.texts == tuple(f"a photo of a {word}" for word in ("man", "boy", "woman"))
    np.testing.assert_array_equal(found.rows, rows[[0, 1, 2]])
    np.testing.assert_array_equal(read("second", "two", "one").rows, rows[[2, 3, 1]])
    assert read("alone", "one").texts == ("a photo of a man", "a photo of a boy")
    with pytest.raises(DatasetError, match="there is no set three"):
        read("none", "three")


def test_a_text_in_two_places_with_one_feature_is_one_text(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    rows = unit_rows(2, seed=2)
    texts = write_texts(tmp_path / "texts.parquet", ["a", "b", "a"], rows[[0, 1, 0]])
    recording = imported(tmp_path / "out", features, labels, texts=texts)
    assert recording.texts is not None
    assert recording.texts.texts == ("a", "b")
    texts = write_texts(tmp_path / "texts.parquet", ["a", "a"], rows)
    [problem] = refused(tmp_path / "two", features, labels, texts=texts)
    assert problem.message == "'a' of row 2 has another feature in row 1"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json"])
def test_texts_of_an_npy_come_from_a_file_beside_it(tmp_path: Path, suffix: str) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    texts, words = tmp_path / "texts.npy", tmp_path / f"words{suffix}"
    np.save(texts, unit_rows(2))
    words.write_text(
        {".txt": "a cat\na dog, old\n", ".csv": 'text\na cat\n"a dog, old"\n'}.get(
            suffix, '["a cat", "a dog, old"]'
        )
    )
    options = TextOptions(words=words)
    recording = imported(tmp_path / "out", features, labels, texts=texts, text_options=options)
    assert recording.texts is not None
    assert recording.texts.texts == ("a cat", "a dog, old")
    np.save(texts, unit_rows(3))
    [problem] = refused(tmp_path / "two", features, labels, texts=texts, text_options=options)
    assert problem.message == "it has 3 features, and there are 2 texts"


@pytest.mark.parametrize(
    ("row", "text", "what"),
    [
        ([np.nan, *[0] * 7], "a", "the feature of 'a', row 1, is not finite"),
        ([0.0] * 8, "a", "the feature of 'a', row 1, is zero in every place"),
        ([2.0, *[0] * 7], "a", "the feature of 'a', row 1, is 2 long, not 1"),
        ([1.0, *[0] * 7], " ", "the text of row 1 is empty"),
    ],
)
def test_broken_texts_are_named(tmp_path: Path, row: list[float], text: str, what: str) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    texts = write_texts(tmp_path / "texts.parquet", [text], np.array([row], np.float32))
    [problem] = refused(tmp_path / "out", features, labels, texts=texts)
    assert problem.message.startswith(what)
    narrow = write_texts(tmp_path / "narrow.parquet", ["a"], unit_rows(1, d=4))
    [problem] = refused(tmp_path / "out", features, labels, texts=narrow)
    assert problem.message == "its features have 4 numbers, and those of images 8"


def test_a_damaged_or_pickled_npz_and_words_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    texts, words = _npz(tmp_path, {"one": ["a"]}, {"one": unit_rows(2)})

    def problem(**changed: Any) -> str:
        options = TextOptions(**{"words": words, **changed})
        return refused(tmp_path / "out", features, labels, texts=texts, text_options=options)[
            0
        ].message

    assert problem() == "the set one is 2 x 8 of float32, and has 1 word"
    assert problem(words=None) == "the words of a .npz are in JSON"
    words.write_text("[")
    assert problem().startswith("it is not JSON")
    words.write_text('["a"]')
    assert problem() == "it is not a mapping of sets to lists of words"
    words.write_text('{"one": ["a", "b"]}')
    np.savez(texts, one=np.array([[{}], [{}]], object))
    assert problem().startswith("it is not a whole .npz file")
    texts.write_bytes(b"PK\3\4 no")
    assert problem().startswith("it is not a whole .npz file")


# Writing


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(4))
    (tmp_path / "out").mkdir()
    imported(tmp_path / "out", features, labels)
    with pytest.raises(AuditError, match="it is there already"):
        imported(tmp_path / "out", features, labels)
    with pytest.raises(AuditError, match="it cannot be written"):
        imported(labels / "out", features, labels)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """In a process that may write no more than a few pages into any file."""
    write_npy_and_csv(tmp_path / "in", unit_rows(2000))
    program = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
from tests.support.recorded_features import imported
folder = Path(sys.argv[1])
imported(folder / "out", folder / "in" / "features.npy", folder / "in" / "labels.csv")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "AuditError" in done.stderr
    assert f"it cannot be written: {'File too large'}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    def fill() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "features.npy").write_bytes(b"some")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AuditError, match="No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from audit.recordings.recording_folder import whole_folder, write_npy
from tests.support.recorded_features import unit_rows
def rows():
    for _ in range(1000):
        yield unit_rows(1000)
        print("wrote", flush=True)
        time.sleep(0.05)
with whole_folder(Path(sys.argv[1]) / "out") as folder:
    write_npy(folder / "features.npy", (1_000_000, 8), "float32", rows())
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) == 1
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


# Reading


def test_a_recording_that_was_changed_is_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    texts = write_texts(tmp_path / "texts.parquet", ["a", "b"], unit_rows(2, seed=4))
    out = imported(tmp_path / "out", features, labels, texts=texts).path
    for name in ("features.npy", "table.parquet", "texts.parquet"):
        content = (out / name).read_bytes()
        for changed in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], b""):
            (out / name).write_bytes(changed)
            with pytest.raises(DatasetError, match="it is not the file that was written"):
                read_recording(out)
        (out / name).write_bytes(content)
    assert read_recording(out).stated.texts == 2
    (out / "texts.parquet").unlink()
    with pytest.raises(DatasetError, match="it cannot be read: No such file"):
        read_recording(out)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "nonsense", '{"schema_version": 2}', "\udcff", "[" * 9999]
)
def test_a_recording_json_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    out = imported(tmp_path / "out", features, labels).path
    (out / "recording.json").write_text(content, errors="surrogateescape")
    with pytest.raises(DatasetError, match="it is damaged, or of another version"):
        read_recording(out)


def test_a_recording_that_states_fewer_files_is_refused(tmp_path: Path) -> None:
    features, labels = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    out = imported(tmp_path / "out", features, labels).path
    stated = json.loads((out / "recording.json").read_text())
    stated["files"] = stated["files"][:1]
    (out / "recording.json").write_text(json.dumps(stated))
    with pytest.raises(DatasetError, match="it states other files than"):
        read_recording(out)


def test_features_keep_one_hash_whatever_their_order(tmp_path: Path) -> None:
    rows, labels = unit_rows(N), label_rows(N)
    one = imported(tmp_path / "one", *write_npy_and_csv(tmp_path / "in", rows, labels))
    turned = write_npy_and_csv(tmp_path / "turned", rows[::-1], labels[::-1])
    two = imported(tmp_path / "two", *turned)
    assert one.stated.features_sha256 == two.stated.features_sha256
    assert one.dataset.sha256 == two.dataset.sha256
    assert io.BytesIO(one.features.tobytes()).read() != two.features.tobytes()
