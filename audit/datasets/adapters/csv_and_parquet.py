"""A CSV or Parquet file of annotations -> columns of text, with the row number of each line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.datasets.spelling import composed
from audit.errors import DatasetError, RowProblem
from audit.plurals import counted

CSV_SUFFIX, PARQUET_SUFFIX = ".csv", ".parquet"

#: Each says whether a type is bytes, as they are stored in one way.
_BINARY = (
    *(pa.types.is_binary, pa.types.is_large_binary),
    *(pa.types.is_binary_view, pa.types.is_fixed_size_binary),
)


@dataclass(frozen=True)
class Annotations:
    """Some columns of a file of annotations, read as text.

    Attributes:
        path: the file.
        rows: number of each of the n rows: its first line in a CSV file, where the header is line
            1; counted from 1 in a Parquet file.
        cells: n texts for each column that was asked for; empty where there is nothing. For a
            column that holds images, the path that it states for each.
        pictures: the columns that hold the images' own bytes.
        numbered: the columns of whole numbers whose names the file does not state.
        problems: rows that could not be read at all.
    """

    path: Path
    rows: tuple[int, ...]
    cells: Mapping[str, tuple[str, ...]]
    pictures: frozenset[str] = frozenset()
    numbered: frozenset[str] = frozenset()
    problems: tuple[RowProblem, ...] = ()


def is_table(path: Path) -> bool:
    """Returns whether a path is a CSV or Parquet file, going by its name."""
    return path.suffix.lower() in (CSV_SUFFIX, PARQUET_SUFFIX) and path.is_file()


def columns_of(path: Path) -> tuple[str, ...]:
    """Returns the names of the columns of a CSV or Parquet file.

    Raises:
        DatasetError: it cannot be read.
    """
    if path.suffix.lower() == PARQUET_SUFFIX:
        with _reading_parquet(path):
            return tuple(pq.read_schema(path).names)
    return next(_csv_lines(path))[1]


def read_annotations(path: Path, columns: Collection[str]) -> Annotations:
    """Returns some columns of a CSV or Parquet file as text, without the bytes of its images.

    Raises:
        DatasetError: it cannot be read, lacks a column, or has a column that holds neither images
            nor plain values.
    """
    present = columns_of(path)
    if missing := [name for name in dict.fromkeys(columns) if name not in present]:
        what = f"there is no column {', '.join(missing)}"
        raise DatasetError.of(path, what, f"It has: {', '.join(present)}")
    is_parquet = path.suffix.lower() == PARQUET_SUFFIX
    return _read_parquet(path, columns) if is_parquet else _read_csv(path, columns)


# CSV


def _read_csv(path: Path, columns: Collection[str]) -> Annotations:
    lines = _csv_lines(path)
    _, header = next(lines)
    rows: list[int] = []
    whole: list[tuple[str, ...]] = []
    problems = []
    for row, cells in lines:
        if len(cells) == len(header):
            rows.append(row)
            whole.append(cells)
        else:
            what = f"it has {counted(len(cells), 'cell')}, and the header {len(header)}"
            remedy = "Put quotes around cells that hold a comma"
            problems.append(RowProblem(str(path), row, what, remedy))
    places = {name: header.index(name) for name in columns}
    texts = {name: tuple(cells[place] for cells in whole) for name, place in places.items()}
    return Annotations(path, tuple(rows), texts, problems=tuple(problems))


def _csv_lines(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the header, then every row that is not blank, each with the line that it begins on."""
    row = 0
    try:
        # Not pandas: it gives no line numbers, and fills up a row that is too short.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = _csv_header(path, next(reader, []))
            yield 1, header
            row = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield row, tuple(cells)
                row = reader.line_num + 1
    except UnicodeDecodeError as error:
        remedy = "Save it as CSV in UTF-8"
        raise DatasetError.of(path, "it is not text in UTF-8", remedy) from error
    except csv.Error as error:
        remedy = "Save it as CSV: commas between cells, quotes around those that hold one"
        raise DatasetError.of(path, f"it is not CSV ({error})", remedy, row=row) from error
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise DatasetError.of(path, what, "Name a file that can be read") from error


def _csv_header(path: Path, cells: list[str]) -> tuple[str, ...]:
    names = tuple(composed(cell.strip()) for cell in cells)
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if not any(names) or "\0" in "".join(names):
        remedy = "Begin a CSV file with the names of its columns"
        raise DatasetError.of(path, "its first line is not a header", remedy, row=1)
    if twice:
        what = f"two columns are called {', '.join(twice)}"
        raise DatasetError.of(path, what, "Rename one of them", row=1)
    return names


# Parquet


def _read_parquet(path: Path, columns: Collection[str]) -> Annotations:
    with _reading_parquet(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        _refuse_nested_parquet(path, schema, columns)
        names = _parquet_class_names(schema)
        types = {name: schema.field(name).type for name in columns}
        pictures = frozenset(name for name in columns if _holds_parquet_images(types[name]))
        numbered = (name for name in columns if pa.types.is_integer(types[name]))
        n = file.metadata.num_rows
        cells = {
            name: _parquet_image_paths(file, name, n)
            if name in pictures
            else _parquet_texts(file, name, names.get(name))
            for name in columns
        }
    return Annotations(
        path, tuple(range(1, n + 1)), cells, pictures, frozenset(set(numbered) - set(names))
    )


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        what = f"it cannot be read as Parquet ({error})"
        raise DatasetError.of(path, what, "Name a Parquet file that is whole") from error


def _parquet_texts(file: Any, column: str, names: list[str] | None = None) -> tuple[str, ...]:
    values = file.read(columns=[column]).column(0).to_pylist()
    return tuple(annotation_text(value, names) for value in values)


def _parquet_image_paths(file: Any, column: str, n: int) -> tuple[str, ...]:
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return ("",) * n
    # This part alone, since the images beside it may be gigabytes.
    return _parquet_texts(file, f"{column}.path")


def _refuse_nested_parquet(path: Path, schema: Any, columns: Collection[str]) -> None:
    """Raises where a column holds lists, or records that are not images: no text is made of them.

    An image as a list of numbers is one of these: nothing says whether they are bytes or pixels.
    """
    kinds = {name: schema.field(name).type for name in columns}
    nested = [
        f"{name} ({kind})"
        for name, kind in kinds.items()
        if pa.types.is_nested(_parquet_value_type(kind)) and not _holds_parquet_images(kind)
    ]
    if nested:
        remedy = "Name columns of texts or numbers; images are binary, or records with binary bytes"
        raise DatasetError.of(
            path, f"neither images nor plain values are in {', '.join(nested)}", remedy
        )


def _holds_parquet_images(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return bool(place >= 0 and _is_binary_parquet(kind.field(place).type))
    return _is_binary_parquet(_parquet_value_type(kind))


def _is_binary_parquet(kind: Any) -> bool:
    return any(is_kind(kind) for is_kind in _BINARY)


def _parquet_value_type(kind: Any) -> Any:
    """Returns the type of a column's values, where equal ones are stored once."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _parquet_class_names(schema: Any) -> dict[str, list[str]]:
    """Returns the names of the classes of each numbered column, as a model hub states them."""
    stated = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        columns = json.loads(stated)["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: names for name, described in columns if (names := _names_in_parquet(described))}


def _names_in_parquet(described: Any) -> list[str] | None:
    """Returns the list of `names` in a column's description, however deep; some are numbered."""
    if not isinstance(described, dict):
        return None
    names = described.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    if isinstance(names, list):
        return [str(name) for name in names]
    return next((found for part in described.values() if (found := _names_in_parquet(part))), None)


def annotation_text(value: Any, names: list[str] | None = None) -> str:
    """Returns a typed cell as a CSV file would have it; empty for null, NaN and the class -1."""
    if isinstance(value, dict):  # an image of a model hub
        value = value.get("path")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers with gaps are stored as floats
    if names and isinstance(value, int):
        if value == -1:
            return ""
        return names[value] if 0 <= value < len(names) else f"class {value} of {len(names)}"
    return str(value)
