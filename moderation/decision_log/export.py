"""Decisions -> a stream or file, one after another: JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BufferedWriter, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO

from sqlalchemy import JSON, Boolean, Float, Integer, Row

from moderation.decision_log.tables import UtcDateTime, decisions
from moderation.errors import RequestError
from moderation.visible_text import json_text
from moderation.whole_file import whole_file

#: Rows that Parquet keeps together and that are held in memory for that.
_ROW_GROUP = 2000


def write_jsonl(rows: Iterable[Row[Any]], stream: TextIO) -> None:
    """Exports a line with all columns for each decision."""
    for row in rows:
        stream.write(json_text(row._asdict()) + "\n")


def write_csv(rows: Iterable[Row[Any]], stream: TextIO) -> None:
    """Exports a line for each decision; the verdict is JSON in one cell."""
    writer = csv.writer(stream)
    writer.writerow(column.name for column in decisions.columns)
    for row in rows:
        writer.writerow(_export_row(row).values())


def write_parquet(rows: Iterable[Row[Any]], file: IO[bytes]) -> None:
    """Exports a table with a row for each decision; the verdict is JSON as text.

    Raises:
        RequestError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        remedy = "Install pyarrow (the extra `audit` has it), or export another format"
        raise RequestError("Parquet needs pyarrow", "--as", remedy)
    import pyarrow
    import pyarrow.parquet

    kinds = {Boolean: "bool_", Integer: "int64", Float: "float64"}
    schema = pyarrow.schema(
        (
            column.name,
            pyarrow.timestamp("us", "UTC")
            if isinstance(column.type, UtcDateTime)
            else getattr(pyarrow, kinds.get(type(column.type), "string"))(),
        )
        for column in decisions.columns
    )
    rest = iter(rows)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := [_export_row(row, times=False) for row in islice(rest, _ROW_GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


@contextmanager
def export_file(path: Path) -> Iterator[BufferedWriter]:
    """Yields a file that becomes `path` once it is whole.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        what = f"it cannot be written: {error.strerror}"
        raise RequestError(what, str(path), "Name a file in a folder that exists") from error


@contextmanager
def export_text_file(path: Path | None) -> Iterator[TextIO]:
    """Yields standard output, or a file that becomes `path` once it is whole.

    Raises:
        RequestError: it cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    with export_file(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # writes what it holds; `export_file` closes the file


def _export_row(row: Row[Any], *, times: bool = True) -> dict[str, Any]:
    """Returns a row with its JSON columns as text, and its times too if asked."""
    values = row._asdict()
    for column in decisions.columns:
        if isinstance(column.type, JSON):
            values[column.name] = json_text(values[column.name])
        elif times and isinstance(column.type, UtcDateTime):
            values[column.name] = values[column.name].isoformat()
    return values
