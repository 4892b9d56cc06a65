"""A CSV or Parquet file of predictions, and how DuckDB reads a column of it: as text, as a number.

Names of columns and paths come from strangers: they become SQL here and nowhere else, quoted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from audit.datasets.adapters.csv_and_parquet import PARQUET_SUFFIX, columns_of, is_table
from audit.errors import AuditError, DatasetError
from moderation.encoders.cores import usable
from moderation.visible_text import brief

#: What DuckDB may hold in memory; what does not fit lies in a temporary folder.
_MEMORY = "1GB"

#: Signs by which DuckDB takes a path for a pattern of several.
_WILDCARDS = "*?["

#: What DuckDB raises of SQL that is wrong, and no file can make so.
_OUR_FAULTS = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)

#: A column with fewer rows for each of its values, on average, is none of groups.
_FEWEST_ROWS = 10

#: What a column holds, as far as it matters to how text or a number is made of it.
Holds = Literal["text", "boolean", "float", "float32", "other", "no value"]


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions.

    Attributes:
        key: what an option calls it: the name that it was given, or its number.
        path: where it lies.
        columns: what each of its columns holds, by name.
    """

    key: str
    path: Path
    columns: Mapping[str, Holds]

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet, and CSV otherwise."""
        return self.path.suffix.lower() == PARQUET_SUFFIX

    @property
    def scan(self) -> str:
        """The SQL that reads its rows."""
        where = _sql_text(_without_wildcards(str(self.path)))
        if self.is_parquet:
            # By place, as DuckDB takes names that differ in case for one; and a folder called
            # race=White says nothing of rows.
            places = ", ".join(f"c{i}" for i in range(len(self.columns)))
            return f"read_parquet({where}, hive_partitioning = false) AS rows({places})"
        columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(self.columns)))
        return (
            f"read_csv({where}, auto_detect = false, header = true, delim = ',', quote = '\"', "
            f"escape = '\"', strict_mode = true, store_rejects = true, columns = {{{columns}}})"
        )

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def column(self, name: str) -> str:
        """Returns the SQL that names a column in the rows of `scan`."""
        return f"c{list(self.columns).index(name)}"

    def text(self, name: str) -> str:
        """Returns the SQL of a column as text, as a CSV file would have it; null where empty."""
        column, holds = self.column(name), self.columns[name]
        if holds == "text":
            return column
        if holds == "boolean":
            return f"CASE WHEN {column} THEN 'true' WHEN NOT {column} THEN 'false' END"
        if holds in ("float", "float32"):
            # Whole numbers with gaps are stored as floats.
            whole = f"{column} = floor({column}) AND abs({column}) < 1e15"
            cases = (
                f"WHEN isnan({column}) THEN NULL",
                f"WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR)",
                f"ELSE CAST({column} AS VARCHAR)",
            )
            return f"CASE {' '.join(cases)} END"
        return f"CAST({column} AS VARCHAR)"

    def number(self, name: str) -> str:
        """Returns the SQL of a column as a number; null where it is not one."""
        column, holds = self.column(name), self.columns[name]
        if holds == "float32":
            return column
        # Without trim the reader of CSV would make the numbers, and refuse rows that have none.
        return f"TRY_CAST({f'trim({column})' if holds == 'text' else column} AS DOUBLE)"

    def constant(self, name: str, value: float) -> str:
        """Returns the SQL of a number in the format of a column.

        A float32 of 0.35 lies below the float64 of 0.35, so a score of 0.35 would miss it.
        """
        kind = "FLOAT" if self.columns[name] == "float32" else "DOUBLE"
        return f"CAST({value!r} AS {kind})"


def open_file(key: str, path: Path) -> PredictionFile:
    """Returns a file of predictions, with the columns that it has.

    Raises:
        DatasetError: it cannot be read. AuditError: it is neither CSV nor Parquet.
    """
    if not is_table(path):
        what = "it is not a CSV or Parquet file" if path.exists() else "there is no such file"
        raise AuditError(what, str(path), "Name a file that ends in .csv or .parquet")
    if "\\" in str(path) and any(sign in str(path) for sign in _WILDCARDS):
        what = f"its path holds a backslash beside one of {' '.join(_WILDCARDS)}"
        raise AuditError(what, str(path), "Rename the file or its folder")
    names = columns_of(path)
    if path.suffix.lower() != PARQUET_SUFFIX:
        if len(names) == 1:
            what = f"it has one column alone, {brief(names[0])}"
            raise DatasetError.of(path, what, "Save it with commas between the cells")
        return PredictionFile(key, path, dict.fromkeys(_named_apart(names), "text"))
    schema = pq.read_schema(path)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise DatasetError.of(path, f"two columns are called {twice[0]}", "Rename one of them")
    return PredictionFile(key, path, {name: _holds(schema.field(name).type) for name in names})


def _named_apart(names: Sequence[str]) -> list[str]:
    """Returns names of columns; those without one are called by their place, and may be several."""
    return [name or f"column {place}" for place, name in enumerate(names, 1)]


def _holds(kind: Any) -> Holds:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or "binary" in str(kind) or pa.types.is_null(kind):
        return "no value"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return "float32"
    if pa.types.is_float64(kind):
        return "float"
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return "text" if is_text or pa.types.is_string_view(kind) else "other"


@contextmanager
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a DuckDB that lasts for one audit, and asks no network for anything.

    Raises:
        AuditError: it cannot read a file to its end, or there is no room for it to work.
    """
    with TemporaryDirectory(prefix="evenhand-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "threads": str(usable()),
            "temp_directory": folder,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(config=settings) as connection, _said_plainly():
            yield connection


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Turns what DuckDB raises over files, memory and Ctrl-C into our errors."""
    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        if isinstance(error, _OUR_FAULTS):
            raise
        remedy = "See whether the file is whole, and whether the disk and the memory have room"
        what = f"the predictions cannot be read: {brief(str(error))}"
        raise AuditError(what, "--predictions", remedy) from None
    except RuntimeError as error:
        if "interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from None


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_wildcards(path: str) -> str:
    """Returns a path that DuckDB takes for one file, whatever signs are in its name."""
    return "".join(f"[{sign}]" if sign in _WILDCARDS else sign for sign in path)


def few_values(
    connection: duckdb.DuckDBPyConnection, file: PredictionFile, names: Sequence[str], most: int
) -> dict[str, list[str]]:
    """Returns the values of the columns that may be groups: of two values and more, up to most.

    Each has at least ten rows on average, and numbers are whole; so ids, times and scores are left
    out. Empty cells do not count. What certainly has more is not counted to the end, which of ids
    would take memory.
    """
    if not names:
        return {}
    roughly = ", ".join(f"approx_count_distinct({file.text(name)})" for name in names)
    found = connection.execute(f"SELECT count(*), {roughly} FROM {file.scan}").fetchone() or ()
    rows, *about = found
    few = [name for name, count in zip(names, about, strict=True) if count <= 2 * most]
    parts = ", ".join(
        f"list(DISTINCT {file.text(name)}) FILTER ({file.text(name)} IS NOT NULL), "
        f"coalesce(bool_or({file.number(name)} != floor({file.number(name)})), false)"
        for name in few
    )
    each = connection.execute(f"SELECT {parts} FROM {file.scan}").fetchone() if few else ()
    values, broken = (each or ())[::2], (each or ())[1::2]
    enough = min(most, rows // _FEWEST_ROWS)
    return {
        name: own
        for name, own, fractions in zip(few, values, broken, strict=True)
        if own and 1 < len(own) <= enough and not fractions
    }
