"""Features with their annotations -> the layouts that `audit import` reads, or a recording."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.errors import AuditError
from audit.recordings.claims import ModelClaims, RecordingStatement
from audit.recordings.feature_checks import Storage, hash_of_hashes, row_hashes
from audit.recordings.feature_parts import block_rows
from audit.recordings.recording import write_texts_file
from audit.recordings.recording_folder import whole_folder, write_npy, write_recording
from audit.recordings.text_features import RecordedTexts
from moderation.encoders.encoder import Rows, widened
from moderation.whole_file import whole_file

#: How exported features lie in their folder.
Layout = Literal["npy", "clip-retrieval", "parquet", "arrow", "recording"]

#: Columns of ids and of features; and what clip-retrieval calls that of ids.
_ID, _FEATURE, _IMAGE_PATH = "id", "feature", "image_path"

_VALUE_TYPES: dict[Storage, Any] = {"float16": pa.float16(), "float32": pa.float32()}


class ExportedFeatures(NamedTuple):
    """What is exported.

    Attributes:
        dataset: n annotated images.
        features: (n, d) rows of unit length, one for each.
        claims: what is known of the model; in a layout without a place for it, it is left out.
        texts: those whose features go along, if any.
    """

    dataset: Dataset
    features: Rows
    claims: ModelClaims
    texts: RecordedTexts | None = None


def export_features(
    what: ExportedFeatures, out: Path, layout: Layout, storage: Storage | None = None
) -> None:
    """Writes features into a folder that was not there.

    Args:
        what: is exported.
        out: the folder.
        layout: how the files lie in it.
        storage: the format of their entries; by default as they are stored.

    Raises:
        AuditError: it cannot be written, or a sensitive feature is called as a column has to be.
    """
    taken = {_ID, _FEATURE, _IMAGE_PATH}.intersection(what.dataset.sensitive_features)
    if taken and layout != "recording":
        names = ", ".join(sorted(taken))
        told = f"a sensitive feature is called {names}, as a column of the layout is"
        raise AuditError(
            told, what.dataset.name, "Export a recording, or import it by another name"
        )
    kept: Storage = storage or ("float16" if what.features.dtype == np.float16 else "float32")
    if layout == "recording":
        _record(what, out, kept)
        return
    with whole_folder(out) as folder:
        if layout == "npy":
            _write_npy_and_csv(what, folder, kept)
        elif layout == "clip-retrieval":
            _write_clip_retrieval(what, folder, kept)
        else:
            _write_columns(what, folder / f"features.{layout}", kept)
        if what.texts is not None and layout != "npy":
            with whole_file(folder / "texts.parquet") as file:
                write_texts_file(what.texts, file)


def _record(what: ExportedFeatures, out: Path, storage: Storage) -> None:
    n, d = what.features.shape
    hashes = [each for rows in _blocks(what.features, storage) for each in row_hashes(rows)]
    stated = RecordingStatement(
        claims=what.claims,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        imported_by=f"evenhand {version('evenhand')}",
        imported_from=(),
        n=n,
        d=d,
        dtype=storage,
        unit_length=True,
        texts=len(what.texts.texts) if what.texts else 0,
        features_sha256=hash_of_hashes(hashes),
        files=(),
    )
    write_recording(out, stated, what.dataset, _blocks(what.features, storage), what.texts)


def _blocks(features: Rows, storage: Storage) -> Iterator[Rows]:
    """Yields rows in a format; in their own they stay as they are, bit for bit."""
    for start in range(0, len(features), block_rows(features.shape[1])):
        rows = features[start : start + block_rows(features.shape[1])]
        yield rows if rows.dtype == storage else widened(rows).astype(storage)


def _write_npy_and_csv(what: ExportedFeatures, folder: Path, storage: Storage) -> None:
    shape = (what.features.shape[0], what.features.shape[1])
    write_npy(folder / "features.npy", shape, storage, _blocks(what.features, storage))
    names, columns = _annotations(what.dataset, _ID)
    rows = zip(*columns, strict=True)
    _write_csv(folder / "labels.csv", names, ([cell or "" for cell in row] for row in rows))
    if what.texts is not None:
        rows_of_texts = what.texts.rows
        shape = (rows_of_texts.shape[0], rows_of_texts.shape[1])
        write_npy(folder / "texts.npy", shape, "float32", [rows_of_texts])
        _write_csv(folder / "texts.csv", ["text"], ([text] for text in what.texts.texts))


def _write_csv(path: Path, names: list[str], rows: Iterable[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def _write_clip_retrieval(what: ExportedFeatures, folder: Path, storage: Storage) -> None:
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir()
    shape = (what.features.shape[0], what.features.shape[1])
    blocks = _blocks(what.features, storage)
    write_npy(folder / "img_emb" / "img_emb_0.npy", shape, storage, blocks)
    names, columns = _annotations(what.dataset, _IMAGE_PATH)
    arrays = [pa.array(column, pa.string()) for column in columns]
    with whole_file(folder / "metadata" / "metadata_0.parquet") as file:
        pq.write_table(pa.Table.from_arrays(arrays, names=names), file)


def _write_columns(what: ExportedFeatures, path: Path, storage: Storage) -> None:
    """Writes one file with a column of features beside those of annotations."""
    names, columns = _annotations(what.dataset, _ID)
    arrays = [pa.array(column, pa.string()) for column in columns]
    d = what.features.shape[1]
    kind = pa.list_(_VALUE_TYPES[storage], d)
    schema = pa.schema([*((name, pa.string()) for name in names), (_FEATURE, kind)])
    with whole_file(path) as file:
        writer: Any
        if path.suffix == ".parquet":
            writer = pq.ParquetWriter(file, schema, compression="none", use_dictionary=False)
        else:
            writer = pa.ipc.new_file(file, schema)
        with writer:
            start = 0
            for rows in _blocks(what.features, storage):
                values = pa.array(np.ascontiguousarray(rows).ravel(), _VALUE_TYPES[storage])
                features = pa.FixedSizeListArray.from_arrays(values, d)
                some = [array.slice(start, len(rows)) for array in arrays]
                writer.write_batch(pa.record_batch([*some, features], schema=schema))
                start += len(rows)


def _annotations(dataset: Dataset, id_name: str) -> tuple[list[str], list[list[Any]]]:
    """Returns the names and cells of a dataset's columns; a class that is not known is None."""
    columns = [IMAGE_ID, Y_TRUE, *dataset.sensitive_features]
    names = [id_name, Y_TRUE, *dataset.sensitive_features]
    return names, [dataset.table[column].tolist() for column in columns]
