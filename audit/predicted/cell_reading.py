"""Files of predictions -> cells, or everything that is wrong with their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from audit.datasets.dataset import TOO_MANY
from audit.datasets.groups import Marks
from audit.datasets.spelling import alike_but_for_case, composed
from audit.errors import DatasetError, RowProblem
from audit.predicted.cell_query import (
    EMPTY,
    EMPTY_ROWS,
    IMAGES,
    NO_COUNT,
    ROWS,
    CellPart,
    count_sql,
    raw_cells,
    score_part,
    text_parts,
    top_part,
)
from audit.predicted.cells import Cells
from audit.predicted.columns import Column, PredictionOptions
from audit.predicted.found_columns import FoundColumns
from audit.predicted.id_problems import IdProblems, contradictions, id_problems, unmatched_ids
from audit.predicted.problems import ValueProblem, row_problems, unreadable_rows
from audit.predicted.score_problems import count_problems, score_notes, score_problems
from audit.predicted.texts import Read, ReadTexts, in_texts, read_texts, spelling_notes
from audit.predicted.words import read_class, read_decision, read_group, read_label

#: A column of more labels, or classes, than this is none of labels.
MOST_LABELS = 300


def read_cells(
    connection: duckdb.DuckDBPyConnection,
    found: FoundColumns,
    features: Mapping[str, Column],
    options: PredictionOptions,
) -> Cells:
    """Returns the cells of files.

    Args:
        connection: to DuckDB.
        found: which column is what.
        features: the column of each sensitive feature.
        options: how rows with something wrong are treated.

    Raises:
        DatasetError: with everything that is wrong with rows. AuditError: there are too many cells.
    """
    ids = id_problems(connection, found)
    if ids.problems and not options.skip_bad:
        raise DatasetError(ids.problems)
    raw = raw_cells(connection, found, features, any_scale=options.any_scale, kept=ids.kept)
    unreadable = unreadable_rows(connection, found.files)
    columns = _read_columns(raw, found, features, options)
    wrong_values = [*_value_problems(columns, found), *count_problems(raw, found)]
    wrong_values += score_problems(raw, found, any_scale=options.any_scale)
    problems = [*ids.problems, *unreadable, *row_problems(connection, found.files, wrong_values)]
    if len(found.files) > 1:
        problems += unmatched_ids(connection, found)
        problems += contradictions(connection, found, features, raw)
    _refuse_unknown_classes(columns, found, options.truth)
    alike = list(_alike_values(columns, found, options.as_written))
    if alike or (problems and not options.skip_bad):
        raise DatasetError([*alike, *problems])
    lost = _lost_rows(connection, found, features, ids, options)
    lost[(None,) * len(features)] += sum(row.path == str(found.files[0].path) for row in unreadable)
    return _cells_of(raw, columns, found, lost, tuple(problems))


class _ReadColumn(NamedTuple):
    """A column of cells that holds texts, after it was read."""

    part: CellPart
    column: Column
    read: ReadTexts


def _read_columns(
    raw: pd.DataFrame,
    found: FoundColumns,
    features: Mapping[str, Column],
    options: PredictionOptions,
) -> list[_ReadColumn]:
    kinds = {system.name: system.kind for system in found.systems}
    rows, columns = raw[ROWS].to_numpy(np.int64), []
    for part, column in text_parts(found, features):
        meaning = _meaning(part, column, options, decides=kinds.get(part.of) == "decisions")
        read = read_texts(raw[part.name], _here(raw, column), rows, meaning)
        _refuse_many_labels(part, column, read, found)
        columns.append(_ReadColumn(part, column, read))
    return columns


def _here(raw: pd.DataFrame, column: Column) -> Marks:
    """Returns (c,) the cells that have a row in the file of a column."""
    name = f"in:{column.file}"
    return raw[name].to_numpy(bool) if name in raw else np.ones(len(raw), bool)


def _meaning(part: CellPart, column: Column, options: PredictionOptions, *, decides: bool) -> Read:
    """Returns how the texts of a part are read."""
    if part.what == "feature":
        return partial(read_group, part.of, as_written=options.as_written)
    if part.what == "y_true":
        truth = {composed(name): meant for name, meant in options.truth.items()}
        return partial(read_class, column.name, truth=truth)
    if part.what == "implied":
        return partial(read_class, column.name, truth={})
    if part.what == "said" and decides:
        return partial(read_decision, column.name)
    return partial(read_label, column.name)


def _refuse_many_labels(
    part: CellPart, column: Column, read: ReadTexts, found: FoundColumns
) -> None:
    if part.what != "feature" and (count := len(read.coded.values)) > MOST_LABELS:
        what = f"the column {column.name} has {count:,} values, more than {MOST_LABELS} labels"
        remedy = "Name a column of labels or classes, or join its values first"
        raise DatasetError.of(found.files[column.file].path, what, remedy)


def _refuse_unknown_classes(
    columns: Sequence[_ReadColumn], found: FoundColumns, truth: Mapping[str, str]
) -> None:
    ways = [
        ways for part, _, read in columns if part.what == "y_true" for ways in read.spelt.values()
    ]
    classes = {composed(text) for each in ways for text in each}
    if unknown := [name for name in truth if composed(name) not in classes]:
        what = f"no row has the class {', '.join(unknown)} that --truth names"
        remedy = f"The classes are: {', '.join(sorted(classes)) or 'none'}"
        raise DatasetError.of(found.files[0].path, what, remedy)


def _value_problems(columns: Sequence[_ReadColumn], found: FoundColumns) -> Iterator[ValueProblem]:
    for _, column, read in columns:
        text = found.files[column.file].text(column.name)
        for each in read.problems:
            yield ValueProblem(column, in_texts(text, each.texts), each.rows, *each.wrong)


def _alike_values(
    columns: Sequence[_ReadColumn], found: FoundColumns, as_written: Collection[str]
) -> Iterator[RowProblem]:
    """Yields values of a column that may be one: they differ in case or invisible characters."""
    for part, column, read in columns:
        name = part.of if part.what == "feature" else column.name
        for alike in () if name in as_written else alike_but_for_case(read.spelt):
            sizes = {value: sum(read.spelt[value].values()) for value in alike}
            shown = ", ".join(f"{value!a} ({n:,})" for value, n in sizes.items())
            what = f"values of {name} differ in case, width or invisible characters alone: {shown}"
            remedy = f"Write them alike; if case tells them apart, say --as-written {name}"
            yield RowProblem(str(found.files[column.file].path), 0, what, remedy)


def _lost_rows(
    connection: duckdb.DuckDBPyConnection,
    found: FoundColumns,
    features: Mapping[str, Column],
    ids: IdProblems,
    options: PredictionOptions,
) -> Counter[tuple[str | None, ...]]:
    """Returns how many images of the first file were left out for their ids, by their groups."""
    lost: Counter[tuple[str | None, ...]] = Counter()
    if 0 not in ids.kept:
        return lost
    file = found.files[0]
    groups = [
        file.text(column.name) if column.file == 0 else "NULL" for column in features.values()
    ]
    counted = found.count if found.count and found.count.file == 0 else None
    images = f"sum(coalesce({count_sql(file, counted)}, 1))" if counted else "count(*)"
    rows = connection.execute(
        f"SELECT {', '.join([*groups, images])} FROM {file.scan} "
        f"WHERE NOT coalesce({ids.kept[0]}, false) GROUP BY ALL"
    ).fetchall()
    for *texts, count in rows:
        read = (
            read_group(name, text or "", options.as_written)
            for name, text in zip(features, texts, strict=True)
        )
        lost[tuple(each if isinstance(each, str) else None for each in read)] += int(count)
    return lost


def _cells_of(
    raw: pd.DataFrame,
    columns: Sequence[_ReadColumn],
    found: FoundColumns,
    lost: Counter[tuple[str | None, ...]],
    problems: tuple[RowProblem, ...],
) -> Cells:
    """Returns the cells without the wrong ones, whose images are counted among those left out."""
    wrong = _wrong_cells(raw, columns, found)
    images, rows = (raw[name].to_numpy(np.int64) for name in (IMAGES, ROWS))
    groups = [each.read.coded.texts() for each in columns if each.part.what == "feature"]
    for cell in np.flatnonzero(wrong).tolist():
        lost[tuple(own[cell] for own in groups)] += int(images[cell] or rows[cell])
    every = Cells(
        {each.part: each.read.coded for each in columns},
        {part: raw[part.name].fillna(EMPTY).to_numpy(np.int64) for part in _number_parts(found)},
        images,
        {values: n for values, n in lost.items() if n},
        problems,
        tuple(_notes(raw, columns, found, left_out=lost.total())),
    )
    kept = np.flatnonzero(~wrong & (images > 0))
    if not len(kept):
        what = "no row is left in it" if len(raw) else "it has no rows"
        raise DatasetError.of(found.files[0].path, what, "Name a file of predictions")
    if (total := sum(images[kept].tolist())) >= TOO_MANY:
        what = f"its rows stand for {total:,} images, and fewer than {TOO_MANY:,} can be audited"
        raise DatasetError.of(found.files[0].path, what, "Name another --count, or fewer rows")
    return every.take(kept).joined()


def _wrong_cells(raw: pd.DataFrame, columns: Sequence[_ReadColumn], found: FoundColumns) -> Marks:
    """Returns (c,) the cells of which something is wrong, or which are not in every file."""
    marks = [each.read.wrong for each in columns]
    marks += [~_here(raw, Column(place, "")) for place in range(len(found.files))]
    marks += [raw[name].to_numpy(bool) for name in map(str, raw) if name.startswith("differs:")]
    marks += [
        raw[part.name].to_numpy() < 0 for part in _number_parts(found) if part.what == "score"
    ]
    if found.count:
        marks.append(raw[NO_COUNT].to_numpy(bool))
    return np.logical_or.reduce(marks) if marks else np.zeros(len(raw), bool)


def _number_parts(found: FoundColumns) -> Iterator[CellPart]:
    for system in found.systems:
        yield from (score_part(system, place) for place in range(len(system.scores)))
        if len(system.scores) > 1:
            yield top_part(system)


def _notes(
    raw: pd.DataFrame, columns: Sequence[_ReadColumn], found: FoundColumns, *, left_out: int
) -> Iterator[str]:
    for part, column, read in columns:
        if part.what != "said" or part not in _decided(found):
            yield from spelling_notes(
                part.of if part.what == "feature" else column.name, read.spelt
            )
    yield from score_notes(raw, found)
    if none := int(raw[EMPTY_ROWS].sum()):
        yield f"Rows that stand for no image, as their count is 0: {none:,}."
    if left_out:
        yield f"Images left out on request, since something is wrong with their rows: {left_out:,}."


def _decided(found: FoundColumns) -> set[CellPart]:
    return {CellPart("said", each.name) for each in found.systems if each.kind == "decisions"}
