"""Rows of files, joined by id -> the distinct ones as they are written, each with its count.

All that an audit counts is a function of the groups of a row, what each system said, and the truth.
So ten million rows become some thousand cells, and one query over the files finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb
import pandas as pd

from audit.errors import AuditError
from audit.predicted.columns import Column
from audit.predicted.files import PredictionFile
from audit.predicted.found_columns import EVERY_SYSTEM, FoundColumns
from audit.predicted.system_columns import ScoreColumn, SystemColumns

#: Of more distinct rows than this, grouping saves nothing.
MOST_CELLS = 1_000_000

#: What a score says of its label, as a cell has it; below 0 it is not a score.
BELOW, FOR_REVIEW, REACHED = 0, 1, 2
EMPTY, NO_NUMBER, OUT_OF_SCALE = -1, -2, -3

#: What is more is not counted on: it would not fit into an integer, and is far too much.
_MOST_IMAGES = 2**63 - 1

#: Scores may lie so far outside their scale by rounding.
_ROUNDING = 1e-6

#: Columns of the cells that are counts, and the mark of rows whose count cannot be read.
ROWS, IMAGES, EMPTY_ROWS, NO_COUNT = "rows", "images", "empty_rows", "no count"


class CellPart(NamedTuple):
    """A column of the cells: what it is, and of which feature, system or label."""

    what: str
    of: str = ""

    @property
    def name(self) -> str:
        """What a frame of cells calls it: in digits, since DuckDB takes Race and race for one."""
        return f"{self.what}:{self.of.encode().hex()}"


@dataclass(frozen=True)
class _CellQuery:
    """The parts of the query for cells.

    Attributes:
        found: which column is what.
        features: the column of each sensitive feature.
        any_scale: whether scores may be any numbers.
        of_file: for each file, the SQL of its columns by their names.
        keys: the SQL of what cells are distinct in, over those names.
        highest: the SQL of the highest score of each cell.
    """

    found: FoundColumns
    features: Mapping[str, Column]
    any_scale: bool
    of_file: tuple[dict[str, str], ...]
    keys: dict[str, str] = field(default_factory=dict)
    highest: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, found: FoundColumns, features: Mapping[str, Column], *, any_scale: bool
    ) -> _CellQuery:
        """Returns the query for what was asked for."""
        query = cls(found, features, any_scale, tuple({} for _ in found.files))
        for part, column in text_parts(found, features):
            query.of_file[column.file][part.name] = query.file(column).text(column.name)
            query.keys[part.name] = _quoted(part.name)
        for system in found.systems:
            query._add_scores(system)
        if found.count:
            query._add_count(found.count)
        if len(found.files) > 1:
            query._add_joins()
        return query

    def file(self, column: Column) -> PredictionFile:
        """Returns the file of a column."""
        return self.found.files[column.file]

    def _add_scores(self, system: SystemColumns) -> None:
        """Adds what scores say of their labels; of several, which label has the highest score."""
        numbers: list[str] = []
        for place, score in enumerate(system.scores):
            file, of_file = self.file(score.column), self.of_file[score.column.file]
            part, number = (
                score_part(system, place),
                CellPart("number", f"{system.name}/{place}").name,
            )
            of_file[part.name] = score_sql(file, score, any_scale=self.any_scale)
            of_file[number] = f"CAST({file.number(score.column.name)} AS DOUBLE)"
            self.keys[part.name] = _quoted(part.name)
            self.highest[highest_part(system, place).name] = f"max({_quoted(number)})"
            numbers.append(f"CASE WHEN {_quoted(part.name)} > 0 THEN {_quoted(number)} END")
        if len(numbers) > 1:
            top = f"greatest({', '.join(numbers)})"
            whens = (f"WHEN {number} = {top} THEN {place}" for place, number in enumerate(numbers))
            which = f"CAST(CASE {' '.join(whens)} ELSE -1 END AS SMALLINT)"
            self.keys[top_part(system).name] = which

    def _add_count(self, column: Column) -> None:
        """Adds how many images a row stands for, and whether a row of its file has no count."""
        self.of_file[column.file]["count"] = count_sql(self.file(column), column)
        here = f" AND {_quoted(f'in:{column.file}')}" if len(self.found.files) > 1 else ""
        self.keys[NO_COUNT] = f"coalesce({_quoted('count')} IS NULL{here}, false)"

    def _add_joins(self) -> None:
        """Adds in which files the id of a row is, and where two say different things of it."""
        for place, columns in enumerate(self.of_file):
            columns[f"in:{place}"] = "true"
            self.keys[f"in:{place}"] = f"{_quoted(f'in:{place}')} IS NOT NULL"
        for part, column in text_parts(self.found, self.features):
            for other in shared_columns(self.found, part, column):
                also = f"also:{other.file}:{part.name}"
                self.of_file[other.file][also] = self.file(other).text(other.name)
                apart = f"{_quoted(part.name)} IS DISTINCT FROM {_quoted(also)}"
                both = " AND ".join(f"{_quoted(f'in:{each.file}')}" for each in (column, other))
                self.keys[differs_name(part, other)] = f"coalesce({both}, false) AND {apart}"

    def rows(self, kept: Mapping[int, str]) -> str:
        """Returns the SQL of the files' rows, joined by id."""
        first, *others = (
            f"({self._selected(place, kept.get(place))}) AS f{place}"
            for place in range(len(self.of_file))
        )
        return " ".join([first, *(f"FULL JOIN {other} USING (id)" for other in others)])

    def _selected(self, place: int, kept: str | None) -> str:
        parts = [f"{sql} AS {_quoted(name)}" for name, sql in self.of_file[place].items()]
        if len(self.of_file) > 1:
            parts.append(f"{id_sql(self.found, place)} AS id")
        where = f" WHERE {kept}" if kept else ""
        return f"SELECT {', '.join(parts) or '1'} FROM {self.found.files[place].scan}{where}"


def raw_cells(
    connection: duckdb.DuckDBPyConnection,
    found: FoundColumns,
    features: Mapping[str, Column],
    *,
    any_scale: bool = False,
    kept: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Returns the distinct rows of files, as they are written, with the columns of `CellPart.name`.

    Args:
        connection: to DuckDB.
        found: which column is what.
        features: the column of each sensitive feature.
        any_scale: whether scores may be any numbers.
        kept: by file, the SQL that is true of the rows that are read; by default all are.

    Raises:
        AuditError: there are too many distinct rows.
    """
    query = _CellQuery.of(found, features, any_scale=any_scale)
    named = {**query.keys, **query.highest}
    parts = ", ".join(f"{sql} AS {_quoted(name)}" for name, sql in named.items())
    images = f"coalesce(sum({_quoted('count')}), 0)" if found.count else "count(*)"
    empty = f"count_if({_quoted('count')} = 0)" if found.count else "0"
    cells = connection.execute(
        f"SELECT {parts}, count(*) AS {ROWS}, "
        f"CAST(least({images}, {_MOST_IMAGES}) AS BIGINT) AS {IMAGES}, "
        f"{empty} AS {EMPTY_ROWS} FROM {query.rows(kept or {})} "
        f"GROUP BY {', '.join(query.keys.values())} LIMIT {MOST_CELLS + 1}"
    ).df()
    if len(cells) > MOST_CELLS:
        what = f"more than {MOST_CELLS:,} rows differ in what is looked at"
        remedy = "Name fewer systems, or columns with fewer values with --by"
        raise AuditError(what, str(found.files[0].path), remedy)
    return cells


def text_parts(
    found: FoundColumns, features: Mapping[str, Column]
) -> Iterator[tuple[CellPart, Column]]:
    """Yields the parts of cells that are texts, each with its column."""
    for name, column in features.items():
        yield CellPart("feature", name), column
    if found.y_true:
        yield CellPart("y_true", EVERY_SYSTEM), found.y_true
    for system in found.systems:
        given = {"y_true": system.truth, "said": system.said, "implied": system.implied}
        yield from (
            (CellPart(what, system.name), column) for what, column in given.items() if column
        )


def score_part(system: SystemColumns, place: int) -> CellPart:
    """Returns the part of cells that says what a system's score says of a label."""
    return CellPart("score", f"{system.name}/{place}")


def top_part(system: SystemColumns) -> CellPart:
    """Returns the part of cells that says which label of a system has the highest score."""
    return CellPart("top", system.name)


def highest_part(system: SystemColumns, place: int) -> CellPart:
    """Returns the part of cells that is the highest score of a label."""
    return CellPart("highest", f"{system.name}/{place}")


def differs_name(part: CellPart, other: Column) -> str:
    """Returns what a frame calls the mark that another file says something else of a part."""
    return f"differs:{other.file}:{part.name}"


def shared_columns(found: FoundColumns, part: CellPart, column: Column) -> list[Column]:
    """Returns the columns of the other files that should say the same: of a group, or y_true."""
    if part.what not in ("feature", "y_true"):
        return []
    return [
        Column(place, column.name)
        for place, file in enumerate(found.files)
        if place != column.file and file.columns.get(column.name, "no value") != "no value"
    ]


def scale_of(threshold: float) -> tuple[int, int] | None:
    """Returns the scale that scores with a threshold are on: 0 to 1, or 0 to 100; None for any."""
    if threshold < 0 or threshold > 100:
        return None
    return (0, 1) if threshold <= 1 else (0, 100)


def score_sql(file: PredictionFile, score: ScoreColumn, *, any_scale: bool = False) -> str:
    """Returns the SQL of what a score says of its label: one of the numbers above."""
    name, threshold = score.column.name, score.threshold
    number, text = file.number(name), f"trim(lower({file.text(name)}))"
    cases = [
        f"WHEN coalesce({text}, '') IN ('', 'nan', 'null', '<na>', '#n/a') THEN {EMPTY}",
        f"WHEN {number} IS NULL OR NOT isfinite({number}) THEN {NO_NUMBER}",
    ]
    if (scale := scale_of(threshold.score)) and not any_scale:
        low, high = scale[0] - _ROUNDING, scale[1] + _ROUNDING
        cases.append(f"WHEN {number} < {low!r} OR {number} > {high!r} THEN {OUT_OF_SCALE}")
    cases.append(f"WHEN {number} >= {file.constant(name, threshold.score)} THEN {REACHED}")
    if threshold.review is not None:
        cases.append(f"WHEN {number} >= {file.constant(name, threshold.review)} THEN {FOR_REVIEW}")
    return f"CAST(CASE {' '.join(cases)} ELSE {BELOW} END AS TINYINT)"


def count_sql(file: PredictionFile, column: Column) -> str:
    """Returns the SQL of how many images a row stands for; null where that is not a count."""
    number = file.number(column.name)
    whole = f"{number} >= 0 AND {number} = floor({number}) AND {number} < 1e15"
    return f"CASE WHEN {whole} THEN CAST({number} AS BIGINT) END"


def id_sql(found: FoundColumns, place: int) -> str:
    """Returns the SQL of the ids of a file, in one spelling; null where empty."""
    text = found.files[place].text(found.ids[place].name)
    return f"nullif(nfc_normalize(trim({text})), '')"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
