"""What is wrong with rows of predictions, and in which rows: ids, empty cells, unknown words.

The cells say how many rows have something wrong; only then the files are asked which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb

from audit.errors import RowProblem
from audit.plurals import counted
from audit.predicted.cell_query import id_sql
from audit.predicted.columns import Column
from audit.predicted.files import PredictionFile
from audit.predicted.system_columns import FoundColumns
from moderation.visible_text import brief

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
        more = f", ... ({counted(problem.rows, 'row')})" if problem.rows > len(rows) else ""
        place = f" in {'row' if problem.rows == 1 else 'rows'} {shown}{more}"
        yield RowProblem(str(file.path), 0, problem.message + place, problem.remedy)
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
        "SELECT DISTINCT scan.file_path, line, error_type, error_message FROM reject_errors "
        "JOIN reject_scans AS scan USING (scan_id, file_id) ORDER BY ALL"
    ).fetchall()
    return [_unreadable_row(*row) for row in rows]


def _unreadable_row(path: str, line: int, kind: str, message: str) -> RowProblem:
    if kind in ("MISSING COLUMNS", "TOO MANY COLUMNS"):
        what = message[:1].lower() + message[1:].replace(" Found", ", found").rstrip(". ")
        return RowProblem(path, line, what, "Put quotes around cells that hold a comma")
    if kind == "INVALID ENCODING":
        return RowProblem(path, line, "it is not text in UTF-8", "Save it as CSV in UTF-8")
    remedy = "Save it as CSV: commas between cells, quotes around those that hold one"
    return RowProblem(path, line, f"it is not CSV ({message.strip()})", remedy)


class IdProblems(NamedTuple):
    """The ids by which rows cannot be told apart, or joined.

    Attributes:
        problems: in words.
        kept: by file that has some, the SQL that is true of its other rows.
        rows: by file, how many rows have one of them, or none.
    """

    problems: tuple[RowProblem, ...]
    kept: dict[int, str]
    rows: dict[int, int]


def id_problems(connection: duckdb.DuckDBPyConnection, found: FoundColumns) -> IdProblems:
    """Returns the ids of each file that are empty, or in several rows."""
    problems: list[RowProblem] = []
    kept: dict[int, str] = {}
    rows: dict[int, int] = {}
    for place, file in enumerate(found.files if found.ids else ()):
        ident = id_sql(found, place)
        empty = _scalar(connection, f"SELECT count(*) FROM {file.scan} WHERE {ident} IS NULL")
        if empty:
            what = f"the id {found.ids[place].name} is empty"
            wrong = ValueProblem(found.ids[place], f"{ident} IS NULL", empty, what, LEAVE_OUT)
            problems += row_problems(connection, found.files, [wrong])
        repeated = _repeated_ids(connection, file, ident, f"repeated_{place}")
        if repeated.rows:
            problems.append(repeated.problem(file))
        if rows_of := empty + repeated.rows:
            rows[place] = rows_of
            none = f"SELECT id FROM repeated_{place}"
            kept[place] = f"{ident} IS NOT NULL AND {ident} NOT IN ({none})"
    return IdProblems(tuple(problems), kept, rows)


class _Repeated(NamedTuple):
    """Ids that are in several rows, the first of them, and how many rows that is."""

    ids: int
    rows: int
    first: list[tuple[str]]

    def problem(self, file: PredictionFile) -> RowProblem:
        """Returns what is wrong, in words."""
        are = "is" if self.ids == 1 else "are"
        shown = _shown_ids(self.first, self.ids)
        what = f"{counted(self.ids, 'id')} {are} in more than one row: {shown}"
        remedy = "Keep one row of each; --skip-bad leaves all of them out"
        return RowProblem(str(file.path), 0, what, remedy)


def _repeated_ids(
    connection: duckdb.DuckDBPyConnection, file: PredictionFile, ident: str, table: str
) -> _Repeated:
    """Returns the ids of a file that are in several rows, and keeps them in a table.

    Ids are counted by their hashes, which take a quarter of the memory, and only those whose hash
    is there twice are compared.
    """
    connection.execute(
        f"CREATE TEMP TABLE hashes AS SELECT hash({ident}) AS h FROM {file.scan} "
        f"WHERE {ident} IS NOT NULL GROUP BY h HAVING count(*) > 1"
    )
    connection.execute(
        f"CREATE TEMP TABLE {table} AS SELECT {ident} AS id, count(*) AS rows FROM {file.scan} "
        f"WHERE hash({ident}) IN (SELECT h FROM hashes) GROUP BY ALL HAVING count(*) > 1"
    )
    connection.execute("DROP TABLE hashes")
    first = connection.execute(f"SELECT id FROM {table} ORDER BY id LIMIT {SHOWN}").fetchall()
    ids = _scalar(connection, f"SELECT count(*) FROM {table}")
    return _Repeated(ids, _scalar(connection, f"SELECT sum(rows) FROM {table}"), first)


def unmatched_ids(
    connection: duckdb.DuckDBPyConnection, found: FoundColumns
) -> Iterator[RowProblem]:
    """Yields the ids of each file that meet no row of another."""
    places = range(len(found.files))
    for place in places:
        for other in places:
            if other != place:
                yield from _without_partner(connection, found, place, other)


def _without_partner(
    connection: duckdb.DuckDBPyConnection, found: FoundColumns, place: int, other: int
) -> Iterator[RowProblem]:
    file, partner = found.files[place], found.files[other]
    lone = (
        f"(SELECT {id_sql(found, place)} AS id FROM {file.scan}) AS own ANTI JOIN "
        f"(SELECT {id_sql(found, other)} AS id FROM {partner.scan}) AS other USING (id)"
    )
    count = _scalar(connection, f"SELECT count(*) FROM {lone} WHERE id IS NOT NULL")
    if not count:
        return
    every = _scalar(connection, f"SELECT count(*) FROM {file.scan}")
    first = connection.execute(
        f"SELECT id FROM {lone} WHERE id IS NOT NULL ORDER BY id LIMIT {SHOWN}"
    ).fetchall()
    what = (
        f"{count:,} of {counted(every, 'row')} have an id that is not in {partner.path}: "
        f"{_shown_ids(first, count)}"
    )
    remedy = "Name the right column with --column id=, or leave such rows out with --skip-bad"
    yield RowProblem(str(file.path), 0, what, remedy)


def _shown_ids(first: Sequence[tuple[str]], count: int) -> str:
    """Returns the first ids in words, and how many there are."""
    named = ", ".join(brief(ident, 80) for (ident,) in first)
    return f"{named} and {count - len(first):,} more" if count > len(first) else named


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
