"""What is wrong with rows of predictions, and in which rows: ids, empty cells, unknown words.

The cells say how many rows have something wrong; only then the files are asked which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb

from audit.errors import RowProblem
from audit.plurals import counted
from audit.predicted.columns import Column
from audit.predicted.files import PredictionFile

#: Up to this many rows, ids and problems are shown; of more, only the number is said.
SHOWN, _PROBLEMS = 5, 20

#: How rows that cannot be used are left out.
LEAVE_OUT = "Correct it, or leave such rows out, counted by group, with --skip-bad"


class ValueProblem(NamedTuple):
    """Something wrong with cells of a column.

    Attributes:
        column: of a file.
        where: the SQL that is true of its wrong cells, over the columns of the file.
        rows: how many rows have it.
        message: what is wrong.
        remedy: what to do.
    """

    column: Column
    where: str
    rows: int
    message: str
    remedy: str


def row_problems(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[PredictionFile],
    problems: Sequence[ValueProblem],
) -> Iterator[RowProblem]:
    """Yields problems with the rows that have them, the first of very many."""
    for problem in problems[:_PROBLEMS]:
        file = files[problem.column.file]
        rows = _first_rows(connection, file, problem.where)
        shown = ", ".join(f"{row:,}" for row in rows)
        if more := problem.rows - len(rows):
            shown += f" and {more:,} more"
        place = f"({'row' if problem.rows == 1 else 'rows'} {shown})"
        yield RowProblem(str(file.path), 0, f"{problem.message} {place}", problem.remedy)
    if more_of_them := problems[_PROBLEMS:]:
        rows_of = sum(problem.rows for problem in more_of_them)
        what = f"{counted(rows_of, 'more row')} have something else wrong"
        yield RowProblem(str(files[0].path), 0, what, "Correct what is said above first")


def _first_rows(
    connection: duckdb.DuckDBPyConnection, file: PredictionFile, where: str
) -> list[int]:
    """Returns the numbers of the first rows of a file for which something holds.

    They count as an editor does: the header of a CSV file is row 1.
    """
    header = 0 if file.is_parquet else 1
    found = connection.execute(
        f"SELECT row FROM (SELECT row_number() OVER () + {header} AS row, ({where}) AS wrong "
        f"FROM {file.scan}) WHERE wrong ORDER BY row LIMIT {SHOWN}"
    ).fetchall()
    return [int(row) for (row,) in found]


def unreadable_rows(
    connection: duckdb.DuckDBPyConnection, files: Sequence[PredictionFile]
) -> list[RowProblem]:
    """Returns the rows of CSV files that could not be read at all, once the files were read."""
    if all(file.is_parquet for file in files):
        return []
    rows = connection.execute(
        "SELECT scan.file_path, line, min(error_type), min(error_message), max(error_message) "
        "FROM reject_errors JOIN reject_scans AS scan USING (scan_id, file_id) "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [_unreadable_row(*row) for row in rows]


def _unreadable_row(path: str, line: int, kind: str, least: str, most: str) -> RowProblem:
    """Returns what is wrong with a row, of which DuckDB may say several things."""
    if kind in ("MISSING COLUMNS", "TOO MANY COLUMNS"):
        header, cells = re.findall("[0-9]+", least if kind == "MISSING COLUMNS" else most)[:2]
        what = f"it has {counted(int(cells), 'cell')}, and the header {header}"
        return RowProblem(path, line, what, "Put quotes around cells that hold a comma")
    if kind == "INVALID ENCODING":
        return RowProblem(path, line, "it is not text in UTF-8", "Save it as CSV in UTF-8")
    remedy = "Save it as CSV: commas between cells, quotes around those that hold one"
    return RowProblem(path, line, f"it is not CSV ({least.strip()})", remedy)


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Returns the one number that a query finds; 0 for null."""
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
