"""Scores and counts that cannot be read, or are on another scale, with how many rows."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from audit.predicted.cell_query import (
    EMPTY,
    NO_COUNT,
    NO_NUMBER,
    OUT_OF_SCALE,
    ROWS,
    count_sql,
    highest_part,
    scale_of,
    score_part,
    score_sql,
)
from audit.predicted.found_columns import FoundColumns
from audit.predicted.problems import LEAVE_OUT, ValueProblem
from audit.predicted.system_columns import ScoreColumn


def score_problems(
    raw: pd.DataFrame, found: FoundColumns, *, any_scale: bool
) -> Iterator[ValueProblem]:
    """Yields what is wrong with scores, as cells have them."""
    for system in found.systems:
        for place, score in enumerate(system.scores):
            codes, file = raw[score_part(system, place).name], found.files[score.column.file]
            sql = score_sql(file, score, any_scale=any_scale)
            for code in (EMPTY, NO_NUMBER, OUT_OF_SCALE):
                if rows := int(raw.loc[codes == code, ROWS].sum()):
                    where = f"({sql}) = {code}"
                    yield ValueProblem(score.column, where, rows, *_wrong_score(score, code))


def _wrong_score(score: ScoreColumn, code: int) -> tuple[str, str]:
    """Returns what is wrong with a score, and what to do."""
    name = score.column.name
    if code == EMPTY:
        return f"the score {name} is empty or NaN", LEAVE_OUT.replace("Correct it", "Fill it in")
    if code == NO_NUMBER:
        return f"the score {name} is not a number", LEAVE_OUT
    threshold = score.threshold.score
    low, high = scale_of(threshold) or (0, 0)
    what = f"{name} is outside {low} to {high}, the scale of its threshold {threshold:g}"
    percent = f"If scores are percentages, write @{threshold * 100:g}. " if high == 1 else ""
    return what, f"{percent}If they may be any numbers, add --any-scale"


def count_problems(raw: pd.DataFrame, found: FoundColumns) -> Iterator[ValueProblem]:
    """Yields the rows of which the count cannot be read."""
    column = found.count
    if column and (rows := int(raw.loc[raw[NO_COUNT], ROWS].sum())):
        where = f"({count_sql(found.files[column.file], column)}) IS NULL"
        what = f"the count {column.name} is not a whole number from 0 on"
        yield ValueProblem(column, where, rows, what, "Write how many images the row stands for")


def score_notes(raw: pd.DataFrame, found: FoundColumns) -> Iterator[str]:
    """Yields which labels no score reaches the threshold of: it may be on another scale."""
    for system in found.systems:
        for place, score in enumerate(system.scores):
            if not (raw[score_part(system, place).name] > 0).any():
                highest = raw[highest_part(system, place).name].max()
                yield (
                    f"No score {score.column.name} reaches {score.threshold.lowest:g}, from which "
                    f"{score.label} is said: the highest is {highest:.4g}."
                )
