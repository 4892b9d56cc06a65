"""A Parquet file of annotations -> columns of text; numbers of classes become their names."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import DatasetError


class ParquetColumns(NamedTuple):
    """Some columns of a Parquet file; the attributes are those of `Annotations`."""

    rows: int
    cells: Mapping[str, tuple[str, ...]]
    pictures: frozenset[str]
    numbered: frozenset[str]


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Returns the names of a file's columns.

    Raises:
        DatasetError: it cannot be read.
    """
    with _reading(path):
        return tuple(pq.read_schema(path).names)


def read_parquet(path: Path, columns: Collection[str]) -> ParquetColumns:
    """Returns some columns of a file as text, without the bytes of its images.

    Raises:
        DatasetError: it cannot be read, or a column holds neither images nor plain values.
    """
    with _reading(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        _refuse_nested(path, schema, columns)
        names = _class_names(schema)
        pictures = {name for name in columns if _holds_images(schema.field(name).type)}
        numbered = {
            name
            for name in columns
            if pa.types.is_integer(schema.field(name).type) and name not in names
        }
        n = file.metadata.num_rows
        cells = {
            name: _stated_paths(file, name, n)
            if name in pictures
            else tuple(_text(value, names.get(name)) for value in _values(file, name))
            for name in columns
        }
    return ParquetColumns(n, cells, frozenset(pictures), frozenset(numbered))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        what = f"it cannot be read as Parquet ({error})"
        raise DatasetError([(str(path), 0, what, "Name a Parquet file that is whole")]) from error


def _values(file: Any, column: str) -> list[Any]:
    values: list[Any] = file.read(columns=[column]).column(0).to_pylist()
    return values


def _stated_paths(file: Any, column: str, n: int) -> tuple[str, ...]:
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return ("",) * n
    # The part alone, since the images beside it may be gigabytes.
    return tuple(_text((value or {}).get("path")) for value in _values(file, f"{column}.path"))


def _refuse_nested(path: Path, schema: Any, columns: Collection[str]) -> None:
    """Raises where a column holds lists, or records that are no images, of which no text is made.

    An image as a list of numbers is one of these: nobody says whether they are bytes or pixels.
    """
    nested = [name for name in columns if not _is_plain(schema.field(name).type)]
    if nested:
        types = ", ".join(f"{name} ({schema.field(name).type})" for name in nested)
        remedy = "Name columns of texts or numbers; images are binary, or records with binary bytes"
        what = f"neither images nor plain values are in {types}"
        raise DatasetError([(str(path), 0, what, remedy)])


def _is_plain(kind: Any) -> bool:
    return _holds_images(kind) or not pa.types.is_nested(_encoded(kind))


def _holds_images(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return bool(place >= 0 and _is_binary(kind.field(place).type))
    return _is_binary(_encoded(kind))


def _is_binary(kind: Any) -> bool:
    is_kind = pa.types
    return bool(
        is_kind.is_binary(kind)
        or is_kind.is_large_binary(kind)
        or is_kind.is_binary_view(kind)
        or is_kind.is_fixed_size_binary(kind)
    )


def _encoded(kind: Any) -> Any:
    """Returns the type of a column's values, where equal ones are kept once."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Returns the names of the classes of each numbered column, as a model hub states them."""
    stated = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(stated)["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {column: names for column, feature in features if (names := _names(feature))}


def _names(feature: Any) -> list[str] | None:
    """Returns the list of `names` in a feature, however deep; some state it by number."""
    if not isinstance(feature, dict):
        return None
    names = feature.get("names")
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    if isinstance(names, list):
        return [str(name) for name in names]
    return next((found for part in feature.values() if (found := _names(part))), None)


def _text(value: Any, names: list[str] | None = None) -> str:
    """Returns a cell as a CSV file would have it; nothing for null, NaN and the class -1."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers with gaps are kept as floats
    if names and isinstance(value, int):
        if value == -1:
            return ""
        return names[value] if 0 <= value < len(names) else f"class {value} of {len(names)}"
    return str(value)
