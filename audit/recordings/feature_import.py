"""Features that others computed -> a recording, checked row by row, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.datasets.adapters import LoadOptions
from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About
from audit.datasets.adapters.recorded import RECORDING_FILE, TABLE_FILE
from audit.datasets.adapters.spreadsheet import SpreadsheetDates
from audit.datasets.adapters.table import cell_reader
from audit.datasets.dataset import Dataset
from audit.datasets.image_problems import Track, leave_out_images
from audit.datasets.image_references import FeatureRow
from audit.datasets.repeated_images import repeated_images
from audit.datasets.stored_table import write_dataset_table
from audit.errors import AuditError, DatasetError, RowProblem
from audit.recordings.annotated_features import (
    AnnotatedFeatures,
    LabelColumns,
    annotated_features,
)
from audit.recordings.claims import Claims, HashedFile, RecordingStatement
from audit.recordings.feature_checks import (
    FeatureCheck,
    Storage,
    chosen_storage,
    hash_of_hashes,
    row_hashes,
)
from audit.recordings.feature_source import FeatureSource, feature_source
from audit.recordings.recording import (
    FEATURES_FILE,
    TEXTS_FILE,
    Recording,
    hashed_file,
    read_recording,
    write_texts_file,
)
from audit.recordings.text_features import RecordedTexts, TextOptions, read_texts


@dataclass(frozen=True)
class FeatureImport:
    """What is imported.

    Attributes:
        features: files of features in the order of their rows, or the folder of clip-retrieval.
        columns: the name in the annotations of `id`, `y_true` and each sensitive feature.
        claims: what is said of the features.
        labels: tables of annotations; () where they lie beside the features.
        join: the column of ids beside the features, by which annotations belong to them.
        vector: the column of the features, where there are several that can be.
        texts: a file of texts with their features, or none.
        text_options: how it is read.
        storage: how features are kept; by default as they come, as float32 at most.
        normalise: whether features may have any length, and are brought to unit length.
        reading: whether bad rows are left out, which values are as written, what is benign.
    """

    features: Sequence[Path]
    columns: Mapping[str, str]
    claims: Claims
    labels: Sequence[Path] = ()
    join: str | None = None
    vector: str | None = None
    texts: Path | None = None
    text_options: TextOptions = TextOptions()
    storage: Storage | None = None
    normalise: bool = False
    reading: LoadOptions = field(default_factory=LoadOptions)


def import_features(asked: FeatureImport, out: Path, *, track: Track | None = None) -> Recording:
    """Returns the recording that is made of features, in a folder that was not there.

    Args:
        asked: what is imported.
        out: the folder.
        track: shows progress.

    Raises:
        DatasetError: with everything that is wrong with features, annotations and texts.
        AuditError: the folder is there already, or cannot be written.
    """
    refuse_full_folder(out)
    source = feature_source(asked.features, asked.vector)
    columns = LabelColumns.of(source.path, asked.columns, asked.join)
    annotated = annotated_features(source, asked.labels, columns)
    check = FeatureCheck(chosen_storage(list(source.parts), asked.storage), asked.normalise)
    texts = _texts_of_width(asked, source.parts[0].d)
    looked = _looked_at(source, check, track)
    dataset = _dataset_of_features(asked, out, annotated, looked)
    if problem := check.problem(source.path):
        raise DatasetError([problem, *dataset.left_out])
    dataset, kept = _without_repeats(dataset, looked.hashes)
    files = _files_read(asked, source)
    stated = RecordingStatement(
        claims=asked.claims,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        imported_by=f"evenhand {version('evenhand')}",
        imported_from=tuple(map(hashed_file, files)),
        n=len(dataset),
        d=source.parts[0].d,
        dtype=check.storage,
        unit_length=not asked.normalise,
        texts=len(texts.texts) if texts else 0,
        features_sha256=hash_of_hashes([looked.hashes[row] for row in kept]),
        files=(),
    )
    with whole_folder(out) as folder:
        _write_features(folder / FEATURES_FILE, source, check, kept, track)
        write_recording(folder, stated, dataset, texts)
    return read_recording(out)
