"""A recording: a folder of features with their annotations, and of texts, that needs no model.

    recording.json    what is claimed, what was found, and the hash of each other file
    features.npy      (n, d) float16 or float32, mapped and never read as a whole
    table.parquet     ids and annotations
    texts.parquet     texts and their features, where they were recorded

Every hash is checked when a recording is opened, so that what was checked on import still holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.adapters.recorded import RECORDING_FILE, TABLE_FILE
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError
from audit.recordings.claims import HashedFile, RecordingStatement
from audit.recordings.feature_parts import open_npy
from audit.recordings.text_features import RecordedTexts
from moderation.encoders.encoder import Rows

FEATURES_FILE, TEXTS_FILE = "features.npy", "texts.parquet"

_AGAIN = "Import the features again"


@dataclass(frozen=True)
class Recording:
    """Recorded features of a dataset, and of texts.

    Attributes:
        path: the folder.
        stated: what is claimed of them, and what was found on import.
        dataset: n images, of which there are annotations alone.
        features: (n, d) rows of unit length, mapped from the file.
        texts: those that have features; None where none were recorded.
    """

    path: Path
    stated: RecordingStatement
    dataset: Dataset
    features: Rows
    texts: RecordedTexts | None


def is_recording(path: Path) -> bool:
    """Returns whether a path is a folder that `audit import` made."""
    return (path / RECORDING_FILE).is_file()


def read_recording(path: Path, options: LoadOptions | None = None) -> Recording:
    """Returns the recording of a folder, once all hashes are checked; its features are not read.

    Args:
        path: the folder.
        options: what y_true means, and whether anything in it should be flagged.

    Raises:
        DatasetError: it is not a recording, or damaged, or of a newer version.
    """
    stated = read_statement(path)
    written = {FEATURES_FILE, TABLE_FILE, *([TEXTS_FILE] if stated.texts else [])}
    if {file.name for file in stated.files} != written:
        what = f"it states other files than {', '.join(sorted(written))}"
        raise DatasetError.of(path / RECORDING_FILE, what, _AGAIN)
    for file in stated.files:
        if _hash_of_file(path / file.name) != file.sha256:
            raise DatasetError.of(path / file.name, "it is not the file that was written", _AGAIN)
    dataset = load_dataset(path, adapter="recorded", options=options)
    features = open_npy(path / FEATURES_FILE)
    if features.shape != (stated.n, stated.d) or len(dataset) != stated.n:
        what = (
            f"{len(dataset):,} rows and features of shape {features.shape} do not belong together"
        )
        raise DatasetError.of(path, what, _AGAIN)
    texts = _read_texts_file(path / TEXTS_FILE) if stated.texts else None
    return Recording(path, stated, dataset, features, texts)


def read_statement(path: Path) -> RecordingStatement:
    """Returns what a recording states of itself.

    Raises:
        DatasetError: it is not a recording, or of a newer version.
    """
    file = path / RECORDING_FILE
    try:
        return RecordingStatement.model_validate_json(file.read_bytes())
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise DatasetError.of(file, what, "Name a folder that `audit import` made") from error
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        what = f"it is damaged, or of another version of evenhand ({place}: {found['msg']})"
        raise DatasetError.of(file, what, _AGAIN) from error


def _hash_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise DatasetError.of(path, what, _AGAIN) from error


def hashed_file(path: Path) -> HashedFile:
    """Returns a file's name and hash.

    Raises:
        DatasetError: it cannot be read.
    """
    return HashedFile(name=path.name, sha256=_hash_of_file(path))


def write_texts_file(texts: RecordedTexts, file: IO[bytes]) -> None:
    """Writes texts and their features as Parquet."""
    width = texts.rows.shape[1]
    values = pa.array(texts.rows.ravel(), pa.float32())
    features = pa.FixedSizeListArray.from_arrays(values, width)
    table = pa.table({"text": pa.array(texts.texts, pa.string()), "feature": features})
    # Features do not compress, and no value repeats.
    pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)


def _read_texts_file(path: Path) -> RecordedTexts:
    with _damaged(path):
        table = pq.read_table(path)
        features: Any = table.column("feature").combine_chunks()
        rows = features.flatten().to_numpy(zero_copy_only=False)
        texts = tuple(str(text) for text in table.column("text").to_pylist())
        return RecordedTexts(texts, rows.reshape(len(texts), -1).astype(np.float32))


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DatasetError.of(path, f"it is damaged ({error})", _AGAIN) from error
