"""What is exported is imported again bit for bit, from each layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.datasets.dataset import Dataset
from audit.errors import AuditError
from audit.recordings.feature_export import ExportedFeatures, Layout, export_features
from audit.recordings.recording import Recording, read_recording
from audit.recordings.text_features import TextOptions
from tests.support.recorded_features import (
    CLAIMS,
    imported,
    label_rows,
    unit_rows,
    write_npy_and_csv,
    write_texts,
)

N = 40
COLUMNS = {"id": "id", "race": "race", "y_true": "y_true"}


@pytest.fixture(params=["float16", "float32"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    """Recorded features with texts; the class of one image is not known."""
    labels = label_rows(N)
    labels[3]["class"] = ""
    rows = unit_rows(N, d=24, dtype=request.param)
    files = write_npy_and_csv(tmp_path / "in", rows, labels)
    texts = write_texts(tmp_path / "in" / "t.parquet", ["a cat", "a, dog"], unit_rows(2, d=24))
    columns = {"id": "file", "race": "race", "y_true": "class"}
    return imported(tmp_path / "recorded", *files, columns=columns, texts=texts)


def exported(recording: Recording) -> ExportedFeatures:
    claims = recording.stated.claims
    return ExportedFeatures(recording.dataset, recording.features, claims, recording.texts)


def imported_again(out: Path, folder: Path, layout: str) -> Recording:
    """Returns what is read of an exported folder."""
    if layout == "recording":
        return read_recording(folder)
    if layout == "clip-retrieval":
        columns = {**COLUMNS, "id": "image_path"}
        return imported(out, folder, columns=columns, texts=folder / "texts.parquet")
    if layout == "npy":
        features, labels = folder / "features.npy", folder / "labels.csv"
        options = TextOptions(words=folder / "texts.csv")
        texts = folder / "texts.npy"
        return imported(out, features, labels, columns=COLUMNS, texts=texts, text_options=options)
    path = folder / f"features.{layout}"
    return imported(out, path, columns=COLUMNS, texts=folder / "texts.parquet")


def same_annotations(one: Dataset, two: Dataset) -> bool:
    return one.sha256 == two.sha256 and one.sensitive_features == two.sensitive_features


@pytest.mark.parametrize("layout", get_args(Layout))
def test_each_layout_is_read_again_bit_for_bit(
    tmp_path: Path, recording: Recording, layout: Layout
) -> None:
    export_features(exported(recording), tmp_path / "exported", layout)
    again = imported_again(tmp_path / "again", tmp_path / "exported", layout)
    assert again.features.dtype == recording.features.dtype
    assert again.features.tobytes() == recording.features.tobytes()
    assert again.stated.features_sha256 == recording.stated.features_sha256
    assert same_annotations(again.dataset, recording.dataset)
    assert again.texts is not None
    assert recording.texts is not None
    assert again.texts.texts == recording.texts.texts
    assert again.texts.rows.tobytes() == recording.texts.rows.tobytes()


@pytest.mark.parametrize("layout", get_args(Layout))
def test_an_export_can_be_of_another_format(
    tmp_path: Path, recording: Recording, layout: Layout
) -> None:
    export_features(exported(recording), tmp_path / "exported", layout, "float16")
    again = imported_again(tmp_path / "again", tmp_path / "exported", layout)
    assert again.features.dtype == np.float16
    assert again.features.tobytes() == recording.features.astype(np.float16).tobytes()


def test_a_recording_of_images_left_out_keeps_their_counts_by_group(tmp_path: Path) -> None:
    rows = unit_rows(N)
    rows[[4, 5, 7]] = 0
    files = write_npy_and_csv(tmp_path / "in", rows)
    recording = imported(tmp_path / "recorded", *files, skip_bad=True)
    export_features(exported(recording), tmp_path / "again", "recording")
    again = read_recording(tmp_path / "again").dataset
    assert again.missing == {("Black",): 1, ("White",): 2}
    assert again.groups(["race"]).left_out == (1, 2)
    assert again.notes == recording.dataset.notes


def test_an_export_writes_columns_that_others_read(tmp_path: Path, recording: Recording) -> None:
    export_features(exported(recording), tmp_path / "exported", "parquet")
    table: Any = pq.read_table(tmp_path / "exported" / "features.parquet")
    assert table.column_names == ["id", "y_true", "race", "feature"]
    assert pa.types.is_fixed_size_list(table.schema.field("feature").type)
    assert table.column("y_true").to_pylist()[2:4] == ["face", None]
    rows = np.array(table.column("feature").to_pylist(), recording.features.dtype)
    assert rows.tobytes() == recording.features.tobytes()


def test_an_export_into_a_folder_that_is_there_is_refused(
    tmp_path: Path, recording: Recording
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(AuditError, match="it is there already"):
        export_features(exported(recording), tmp_path / "there", "npy")


def test_a_feature_that_is_called_as_a_column_must_be_is_refused(tmp_path: Path) -> None:
    files = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    columns = {"id": "file", "feature": "race"}
    recording = imported(tmp_path / "recorded", *files, columns=columns)
    with pytest.raises(AuditError, match="a sensitive feature is called feature"):
        export_features(exported(recording), tmp_path / "out", "parquet")
    export_features(exported(recording), tmp_path / "out", "recording")


def test_orders_and_benign_stay_with_a_recording(tmp_path: Path) -> None:
    files = write_npy_and_csv(tmp_path / "in", unit_rows(N))
    dataset = imported(tmp_path / "recorded", *files).dataset
    told = replace(dataset, orders={"race": ("White", "Black")}, benign=True)
    what = ExportedFeatures(told, unit_rows(N), CLAIMS)
    export_features(what, tmp_path / "again", "recording")
    again = read_recording(tmp_path / "again").dataset
    assert again.values("race") == ("White", "Black")
    assert again.benign
