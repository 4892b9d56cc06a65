"""A file of features -> its rows, a block at a time: .npy, or a list column of Parquet or Arrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.errors import DatasetError
from audit.plurals import counted
from moderation.encoders.encoder import Rows

NPY_SUFFIX = ".npy"
PARQUET_SUFFIX = ".parquet"
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")

#: Numbers of a block; a million rows are never in memory at once.
_BLOCK_NUMBERS = 2**22

#: Rows of a column among which one with numbers is looked for at a time.
_LOOKED_AT = 64

_FLOATS = ("float16", "float32", "float64")
_WHOLE = "Write the file again, whole"


class FeatureBlock(NamedTuple):
    """Some (b, d) rows of a file in order, and what is wrong with how some of them are written."""

    rows: Rows
    wrong: Mapping[int, str] = {}


class FeaturePart(NamedTuple):
    """The features of one file.

    Attributes:
        path: the file.
        n: how many rows it has.
        d: how wide they are.
        dtype: of their entries.
        blocks: reads them, some rows at a time, in order.
    """

    path: Path
    n: int
    d: int
    dtype: np.dtype[Any]
    blocks: Callable[[], Iterator[FeatureBlock]]


def feature_part(path: Path, column: str | None = None) -> FeaturePart:
    """Returns the features of a file, by its name's ending.

    Args:
        path: .npy, .parquet, .arrow, .feather or .ipc.
        column: of the features, where the file has columns; by default its only list of floats.

    Raises:
        DatasetError: it cannot be read, or holds no features.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DatasetError.of(path, "there is no such file", "Check the path")
    if suffix == NPY_SUFFIX:
        return _npy_part(path)
    if suffix == PARQUET_SUFFIX or suffix in ARROW_SUFFIXES:
        return _column_part(path, column)
    known = ", ".join((NPY_SUFFIX, PARQUET_SUFFIX, *ARROW_SUFFIXES))
    raise DatasetError.of(path, "no reader knows this file", f"Name one that ends in {known}")


def block_rows(d: int) -> int:
    """Returns how many rows of d numbers make a block."""
    return max(1, _BLOCK_NUMBERS // d)


# .npy


def _npy_part(path: Path) -> FeaturePart:
    rows = open_npy(path)
    _refuse_no_features(path, rows.dtype, rows.shape)
    n, d = rows.shape
    dtype = rows.dtype.newbyteorder("=")

    def npy_blocks() -> Iterator[FeatureBlock]:
        for start in range(0, n, block_rows(d)):
            end = start + block_rows(d)
            yield FeatureBlock(np.asarray(rows[start:end], dtype))

    return FeaturePart(path, n, d, dtype, npy_blocks)


def open_npy(path: Path) -> npt.NDArray[Any]:
    """Returns the array of a .npy file, mapped and not read; nothing in it is ever run.

    Raises:
        DatasetError: it cannot be read, is cut short, or holds Python objects.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        what = f"it cannot be read: {error.strerror or error}"
        raise DatasetError.of(path, what, "Name a file that can be read") from error
    except (ValueError, EOFError, SyntaxError) as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        what = f"it is not a whole .npy file ({error})"
        remedy = _WHOLE
        if pickled:
            what = "it holds pickled Python objects, which could run anything when they are read"
            remedy = "Save an array of floats: numpy.save(path, features.astype('float32'))"
        raise DatasetError.of(path, what, remedy) from error
    if not isinstance(array, np.ndarray):  # a .npz under another name
        raise DatasetError.of(path, "it holds several arrays", "Name a .npy file of one")
    return array


def _refuse_no_features(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if dtype.newbyteorder("=").name not in _FLOATS:
        remedy = "Convert them to float16 or float32"
        raise DatasetError.of(path, f"its numbers are {dtype.name}, no floats", remedy)
    if len(shape) != 2 or 0 in shape:
        what = f"its shape is {' x '.join(map(str, shape)) or 'that of one number'}"
        raise DatasetError.of(path, what, "Features are n rows of d numbers")


# Parquet and Arrow


def _column_part(path: Path, column: str | None) -> FeaturePart:
    with reading_columns(path), open_columns(path) as file:
        name = _feature_column(path, file.schema, column)
        kind = file.schema.field(name).type
        n = file.n
    dtype = np.dtype(kind.value_type.to_pandas_dtype())
    blocks = _ColumnBlocks.of(path, name)
    _refuse_no_features(path, dtype, (n, blocks.d))
    return FeaturePart(path, n, blocks.d, dtype, blocks.read)


class ColumnFile(NamedTuple):
    """An open Parquet or Arrow file: its columns, how many rows, and how to read some columns."""

    schema: Any
    n: int
    batches: Callable[[list[str], int], Iterator[Any]]


@contextmanager
def open_columns(path: Path) -> Iterator[ColumnFile]:
    """Yields an open Parquet or Arrow file."""
    if path.suffix.lower() == PARQUET_SUFFIX:
        with pq.ParquetFile(path) as parquet:
            n = parquet.metadata.num_rows
            yield ColumnFile(
                parquet.schema_arrow,
                n,
                lambda columns, rows: parquet.iter_batches(batch_size=rows, columns=columns),
            )
        return
    with pa.memory_map(str(path)) as source:
        yield _arrow_file(source)


def _arrow_file(source: Any) -> ColumnFile:
    """Returns an Arrow file as it is written to be read in any order, or as a stream."""
    reader: Any
    try:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    except pa.ArrowInvalid:
        source.seek(0)
        reader = pa.ipc.open_stream(source)
        batches = list(reader)
    n = sum(batch.num_rows for batch in batches)

    def arrow_batches(columns: list[str], rows: int) -> Iterator[Any]:
        for batch in batches:
            some = batch.select(columns)
            for start in range(0, some.num_rows, rows):
                yield some.slice(start, rows)

    return ColumnFile(reader.schema, n, arrow_batches)


@contextmanager
def reading_columns(path: Path) -> Iterator[None]:
    """Turns what is wrong with a Parquet or Arrow file into a DatasetError."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        what = f"it cannot be read ({error})"
        raise DatasetError.of(path, what, "Name a Parquet or Arrow file that is whole") from error


def _feature_column(path: Path, schema: Any, asked: str | None) -> str:
    """Returns the name of the column of features."""
    names = list(dict.fromkeys(schema.names))
    lists = [name for name in names if _holds_features(schema.field(name).type)]
    if asked is not None and asked not in names:
        raise DatasetError.of(path, f"there is no column {asked}", f"It has: {', '.join(names)}")
    if asked is not None and asked not in lists:
        what = f"{asked} holds {schema.field(asked).type}, and no lists of floats"
        raise DatasetError.of(path, what, f"Those that do are: {', '.join(lists) or 'none'}")
    if asked is None and len(lists) != 1:
        what = f"{counted(len(lists), 'column')} of it can be the features"
        what += f": {', '.join(lists)}" if lists else ", since none holds lists of floats"
        remedy = "Name it with --vector" if lists else f"Its columns are: {', '.join(names)}"
        raise DatasetError.of(path, what, remedy)
    return asked or lists[0]


def _holds_features(kind: Any) -> bool:
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in is_list) and pa.types.is_floating(kind.value_type)


class _ColumnBlocks(NamedTuple):
    """Reads the rows of a list column, each as long as the first that has numbers."""

    path: Path
    column: str
    d: int

    @classmethod
    def of(cls, path: Path, column: str) -> _ColumnBlocks:
        """Returns what reads a column, once it is known how long its rows are."""
        with reading_columns(path), open_columns(path) as file:
            for batch in file.batches([column], _LOOKED_AT):
                lengths = _list_lengths(batch.column(0))
                if lengths.any():
                    return cls(path, column, int(lengths[lengths > 0][0]))
        return cls(path, column, 0)

    def read(self) -> Iterator[FeatureBlock]:
        """Yields the rows; one of another length is wrong, and zero here."""
        with reading_columns(self.path), open_columns(self.path) as file:
            for batch in file.batches([self.column], block_rows(self.d)):
                lengths = _list_lengths(batch.column(0))
                values = batch.column(0).flatten().to_numpy(zero_copy_only=False)
                fit = lengths == self.d
                if fit.all():
                    yield FeatureBlock(values.reshape(len(lengths), self.d))
                    continue
                rows = np.zeros((len(lengths), self.d), values.dtype)
                rows[fit] = values[np.repeat(fit, lengths)].reshape(-1, self.d)
                wrong = {
                    int(i): f"has {counted(int(lengths[i]), 'number')}, and others {self.d:,}"
                    for i in np.flatnonzero(~fit)
                }
                yield FeatureBlock(rows, wrong)


def _list_lengths(column: Any) -> npt.NDArray[np.int64]:
    """Returns how many numbers each row of a list column has; 0 for one that is missing."""
    known: Any = pc.fill_null(pc.list_value_length(column), 0)
    lengths: npt.NDArray[np.int64] = known.to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths
