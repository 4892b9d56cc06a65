"""Where an image is, a file or a row of a Parquet file; or its feature alone; and its bytes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq


class ParquetImage(NamedTuple):
    """An image whose bytes are in a Parquet file, as model hubs store datasets."""

    path: Path
    row: int
    column: str


class FeatureRow(NamedTuple):
    """The feature of an image that is not there itself: its row, and the file of annotations."""

    path: Path
    row: int


Reference = Path | ParquetImage | FeatureRow


def read_reference(reference: Reference) -> bytes:
    """Returns the content of an image's file.

    Raises:
        OSError: it cannot be read, or there is no image in that row.
    """
    if isinstance(reference, FeatureRow):
        raise OSError("its feature was recorded, and no image")
    if isinstance(reference, Path):
        return reference.read_bytes()
    try:
        group, row = _reference_row_group(reference.path, reference.row)
        value = _reference_column(reference.path, group, reference.column)[row].as_py()
    except pa.ArrowException as error:  # of a damaged file; not every one is an OSError
        raise OSError(f"{reference.path} is damaged: {error}") from error
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise OSError(f"there are no bytes in column {reference.column}")
    return content


def _reference_row_group(path: Path, row: int) -> tuple[int, int]:
    """Returns the row group that holds a row of a file, and the row's index in it."""
    for group, size in enumerate(_reference_group_sizes(path)):
        if row < size:
            return group, row
        row -= size
    raise OSError(f"there is no such row in {path}")


@lru_cache(maxsize=64)
def _reference_group_sizes(path: Path) -> tuple[int, ...]:
    metadata = pq.ParquetFile(path).metadata
    return tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))


@lru_cache(maxsize=4)  # images are read in order, so the last row groups are enough
def _reference_column(path: Path, group: int, column: str) -> Any:
    table: pa.Table = pq.ParquetFile(path).read_row_group(group, columns=[column])
    return table.column(column)
