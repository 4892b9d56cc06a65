"""The annotations of recorded features as a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.errors import DatasetError
from tests.support.recorded_features import imported, label_rows, unit_rows, write_npy_and_csv

N = 6


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    labels = label_rows(N)
    labels[1]["class"], labels[2]["class"] = "", "cat"
    files = write_npy_and_csv(tmp_path / "in", unit_rows(N), labels)
    columns = {"id": "file", "race": "race", "y_true": "class"}
    return imported(tmp_path / "people", *files, columns=columns).path


def test_a_recording_is_known_by_its_folder(recorded: Path) -> None:
    dataset = load_dataset(recorded)
    assert (dataset.adapter, dataset.name, dataset.source) == (
        "recorded",
        "recorded:people",
        recorded,
    )
    assert dataset.table["y_true"].tolist() == ["face", None, "cat", "face", "face", "face"]
    assert dataset.references == ()
    assert not dataset.benign
    assert load_dataset(recorded, options=LoadOptions(benign=True)).benign


def test_a_class_means_what_the_options_say(recorded: Path) -> None:
    dataset = load_dataset(recorded, options=LoadOptions(truth={"cat": "allow"}))
    assert dataset.table["y_true"].tolist() == ["face", None, "allow", "face", "face", "face"]
    with pytest.raises(DatasetError, match="no image has the class dog that --truth names"):
        load_dataset(recorded, options=LoadOptions(truth={"dog": "allow"}))
    with pytest.raises(DatasetError, match="the adapter recorded takes no --column"):
        load_dataset(recorded, adapter="recorded", options=LoadOptions(columns={"id": "file"}))


def test_a_folder_without_a_recording_or_with_a_damaged_table_is_refused(
    recorded: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"there is no recording.json in it"):
        load_dataset(tmp_path, adapter="recorded")
    (recorded / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="it is damaged, or was not written by this program"):
        load_dataset(recorded)
