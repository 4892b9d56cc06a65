"""What features are imported from: files of rows, and the tables that lie beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from audit.datasets.adapters.csv_and_parquet import (
    Annotations,
    annotation_text,
    is_table,
    read_annotations,
)
from audit.errors import DatasetError, RowProblem
from audit.recordings.feature_parts import (
    ARROW_SUFFIXES,
    NPY_SUFFIX,
    FeaturePart,
    feature_part,
    open_columns,
    reading_columns,
)


class FeatureSource(NamedTuple):
    """Features in one or several files.

    Attributes:
        parts: the features of each.
        tables: the file of columns that belongs to each part, row by row; () where none does.
    """

    parts: tuple[FeaturePart, ...]
    tables: tuple[Path, ...]

    @property
    def n(self) -> int:
        """How many rows all parts have together."""
        return sum(part.n for part in self.parts)

    @property
    def path(self) -> Path:
        """The first file, which stands for all of them in messages."""
        return self.parts[0].path


def feature_source(paths: Sequence[Path], vector: str | None = None) -> FeatureSource:
    """Returns the features of .npy files, of Parquet or Arrow files, or of a clip-retrieval folder.

    Args:
        paths: files of one kind, in the order of their rows; or one folder.
        vector: the column of the features, where files have columns.

    Raises:
        DatasetError: they cannot be read, or are of several kinds.
    """
    if any(path.is_dir() for path in paths):
        if len(paths) > 1:
            remedy = "Name the folder alone"
            raise DatasetError.of(paths[1], "a folder is imported by itself", remedy)
        return clip_retrieval(paths[0], "img_emb")
    parts = tuple(feature_part(path, vector) for path in paths)
    with_columns = tuple(path for path in paths if path.suffix.lower() != NPY_SUFFIX)
    if with_columns and len(with_columns) < len(paths):
        remedy = "Name files of one kind"
        raise DatasetError.of(paths[0], "some of the files have columns, and some none", remedy)
    return FeatureSource(parts, with_columns)


def clip_retrieval(folder: Path, kind: str) -> FeatureSource:
    """Returns the features of a folder as clip-retrieval writes it, in the order of the numbers.

    `img_emb_0.npy` belongs to `metadata_0.parquet`, in the folder itself or in folders `img_emb`
    and `metadata`.

    Args:
        folder: holds them.
        kind: img_emb or text_emb.

    Raises:
        DatasetError: there are none, or one of a pair is missing.
    """
    features = _numbered(folder, kind, NPY_SUFFIX)
    tables = _numbered(folder, "metadata", ".parquet")
    if not features:
        what = f"there is no {kind}_*.npy in it, nor in a folder {kind}"
        raise DatasetError.of(folder, what, "Name a folder that clip-retrieval wrote, or files")
    alone = [
        RowProblem(
            str(path), 0, f"there is no {other}_{number} for it", "Put it there, or remove this one"
        )
        for mine, theirs, other in ((features, tables, "metadata"), (tables, features, kind))
        for number, path in mine.items()
        if number not in theirs
    ]
    if alone:
        raise DatasetError(alone)
    parts = tuple(feature_part(features[number]) for number in sorted(features))
    return FeatureSource(parts, tuple(tables[number] for number in sorted(features)))


def _numbered(folder: Path, kind: str, suffix: str) -> dict[int, Path]:
    """Returns the files called kind_NUMBER by their numbers."""
    found: dict[int, Path] = {}
    for place in (folder, folder / kind):
        for path in sorted(place.glob(f"{kind}_*{suffix}")):
            if match := re.fullmatch(rf"{kind}_(\d+){re.escape(suffix)}", path.name):
                other = found.setdefault(int(match[1]), path)
                if other != path:
                    what = f"{other} has the same number"
                    raise DatasetError.of(path, what, "Remove one of the two")
    return found


def columns_as_text(path: Path, columns: Collection[str]) -> Annotations:
    """Returns some columns of a CSV, Parquet or Arrow file as text.

    Raises:
        DatasetError: it cannot be read, or lacks a column.
    """
    if path.suffix.lower() in ARROW_SUFFIXES:
        return _arrow_texts(path, columns)
    if not is_table(path):
        remedy = f"Name a file that ends in .csv, .parquet, {', '.join(ARROW_SUFFIXES)}"
        raise DatasetError.of(path, "there is no such table", remedy)
    return read_annotations(path, columns)


def _arrow_texts(path: Path, columns: Collection[str]) -> Annotations:
    texts: dict[str, list[str]] = {name: [] for name in columns}
    with reading_columns(path), open_columns(path) as file:
        names = file.schema.names
        if missing := [name for name in texts if name not in names]:
            what = f"there is no column {', '.join(missing)}"
            raise DatasetError.of(path, what, f"It has: {', '.join(names)}")
        if nested := [name for name in texts if pa.types.is_nested(file.schema.field(name).type)]:
            what = f"no plain values are in {', '.join(nested)}"
            raise DatasetError.of(path, what, "Name columns of texts or numbers")
        for batch in file.batches(list(texts), 2**16):
            for name in texts:
                values = batch.column(name).to_pylist()
                texts[name] += map(annotation_text, values)
    return Annotations(
        path, tuple(range(1, file.n + 1)), {name: tuple(cells) for name, cells in texts.items()}
    )
