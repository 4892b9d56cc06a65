"""Ids that are empty, in several rows, or in one file alone; files that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import pandas as pd

from audit.errors import RowProblem
from audit.plurals import counted
from audit.predicted.cell_query import (
    ROWS,
    differs_name,
    id_sql,
    shared_columns,
    text_parts,
)
from audit.predicted.columns import Column
from audit.predicted.files import PredictionFile
from audit.predicted.found_columns import FoundColumns
from audit.predicted.problems import LEAVE_OUT, SHOWN, ValueProblem, row_problems, scalar
from moderation.visible_text import brief


class IdProblems(NamedTuple):
    """The ids by which rows cannot be told apart, or joined.

    Attributes:
        problems: in words.
        kept: by file of which not all rows can be used, the SQL that is true of the others.
    """

    problems: tuple[RowProblem, ...]
    kept: dict[int, str]


def id_problems(connection: duckdb.DuckDBPyConnection, found: FoundColumns) -> IdProblems:
    """Returns the ids of each file that are empty, or in several rows."""
    problems: list[RowProblem] = []
    tables: list[str] = []
    empty: set[int] = set()
    for place, file in enumerate(found.files if found.ids else ()):
        ident, table = id_sql(found, place), f"repeated_{place}"
        none = _hash_ids(connection, file, ident)
        if none:
            empty.add(place)
            what = f"the id {found.ids[place].name} is empty"
            wrong = ValueProblem(found.ids[place], f"{ident} IS NULL", none, what, LEAVE_OUT)
            problems += row_problems(connection, found.files, [wrong])
        if repeated := _repeated_ids(connection, file, ident, table):
            problems.append(repeated.problem(file))
            tables.append(table)
    places = range(len(found.ids)) if tables else empty
    return IdProblems(tuple(problems), {place: _kept(found, place, tables) for place in places})


def _hash_ids(connection: duckdb.DuckDBPyConnection, file: PredictionFile, ident: str) -> int:
    """Keeps the hashes that several rows of a file have, and returns how many rows have no id.

    Ids are counted by their hashes, which take a quarter of the memory.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE hashes AS SELECT hash(id) AS h, id IS NULL AS none, "
        f"count(*) AS rows FROM (SELECT {ident} AS id FROM {file.scan}) GROUP BY h, none "
        f"HAVING count(*) > 1 OR none"
    )
    return scalar(connection, "SELECT sum(rows) FROM hashes WHERE none")


def _kept(found: FoundColumns, place: int, tables: Sequence[str]) -> str:
    """Returns the SQL that is true of the rows of a file whose id is in no table."""
    ident = id_sql(found, place)
    without = (f"{ident} NOT IN (SELECT id FROM {table})" for table in tables)
    return " AND ".join([f"{ident} IS NOT NULL", *without])


class _Repeated(NamedTuple):
    """How many ids are in several rows, and the first of them."""

    ids: int
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
) -> _Repeated | None:
    """Returns the ids of a file that are in several rows, if any are, and keeps them in a table.

    Only those whose hash is there twice are compared.
    """
    if not scalar(connection, "SELECT count(*) FROM hashes WHERE NOT none"):
        return None
    connection.execute(
        f"CREATE TEMP TABLE {table} AS SELECT {ident} AS id FROM {file.scan} "
        f"WHERE hash({ident}) IN (SELECT h FROM hashes WHERE NOT none) "
        f"GROUP BY id HAVING count(*) > 1"
    )
    first = connection.execute(f"SELECT id FROM {table} ORDER BY id LIMIT {SHOWN}").fetchall()
    ids = scalar(connection, f"SELECT count(*) FROM {table}")
    return _Repeated(ids, first) if ids else None


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
    count = scalar(connection, f"SELECT count(*) FROM {lone} WHERE id IS NOT NULL")
    if not count:
        return
    every = scalar(connection, f"SELECT count(*) FROM {file.scan}")
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


def contradictions(
    connection: duckdb.DuckDBPyConnection,
    found: FoundColumns,
    features: Mapping[str, Column],
    raw: pd.DataFrame,
) -> Iterator[RowProblem]:
    """Yields the groups and classes of which two files say different things of one id."""
    for part, column in text_parts(found, features):
        for other in shared_columns(found, part, column):
            rows = int(raw.loc[raw[differs_name(part, other)], ROWS].sum())
            if rows:
                yield _contradiction(connection, found, (column, other), rows)


def _contradiction(
    connection: duckdb.DuckDBPyConnection,
    found: FoundColumns,
    columns: tuple[Column, Column],
    rows: int,
) -> RowProblem:
    own, other = (
        f"(SELECT {id_sql(found, each.file)} AS id, "
        f"{found.files[each.file].text(each.name)} AS said FROM {found.files[each.file].scan})"
        for each in columns
    )
    first = connection.execute(
        f"SELECT id FROM {own} AS own JOIN {other} AS other USING (id) "
        f"WHERE own.said IS DISTINCT FROM other.said ORDER BY id LIMIT {SHOWN}"
    ).fetchall()
    paths = " and ".join(str(found.files[each.file].path) for each in columns)
    what = (
        f"{columns[0].name} of {counted(rows, 'id')} is another in each of the two files: "
        f"{_shown_ids(first, rows)}"
    )
    remedy = (
        "Correct one, or rename the column of one; name the groups with --by if it is none of them"
    )
    return RowProblem(paths, 0, what, remedy)
