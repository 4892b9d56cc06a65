"""The systems of which a column is named, each with the columns of what it said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from audit.errors import AuditError
from audit.predicted.columns import (
    Column,
    FileColumns,
    PredictionOptions,
    named_column,
)

#: What a system says: decisions, the label that fits most, or scores of labels.
Kind = Literal["decisions", "labels", "scores"]


class ScoreThreshold(NamedTuple):
    """From which score on a label is said; with `review`, from there on for review alone."""

    score: float
    review: float | None = None

    @property
    def lowest(self) -> float:
        """The lowest score with which the label is said."""
        return self.score if self.review is None else self.review


class ScoreColumn(NamedTuple):
    """The column of a label's scores, and its threshold."""

    label: str
    column: Column
    threshold: ScoreThreshold


@dataclass(frozen=True)
class SystemColumns:
    """The columns of what one system said.

    Attributes:
        name: what reports call it.
        kind: what it says.
        said: the column of its decisions or labels; None for scores.
        scores: of each label, for scores.
        implied: the column of the class that the label implies, where there is one.
        truth: the column of y_true that it is measured by, where it is another than for all.
    """

    name: str
    kind: Kind
    said: Column | None = None
    scores: tuple[ScoreColumn, ...] = ()
    implied: Column | None = None
    truth: Column | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of them, each once."""
        given = (self.said, *(score.column for score in self.scores), self.implied, self.truth)
        return tuple(dict.fromkeys(column for column in given if column))


def asked_systems(asked: PredictionOptions, columns: FileColumns) -> list[SystemColumns]:
    """Returns the systems of which a column is named: of decisions, of labels, then of scores.

    Raises:
        AuditError: there is none, a column is not there, or an option is not of its form.
    """
    systems = list(_asked_systems(asked, columns))
    if not systems:
        remedy = "Name a column with --decision, --said or --score"
        raise AuditError("which column holds what a system said is not said", "", remedy)
    _refuse_one_name(systems)
    return systems


def _asked_systems(asked: PredictionOptions, columns: FileColumns) -> Iterator[SystemColumns]:
    for kind, option, texts in (
        ("decisions", "--decision", asked.decisions),
        ("labels", "--said", asked.said),
    ):
        for text in texts:
            for name, column in _named_columns(text, option, columns):
                yield SystemColumns(name, kind, column)  # type: ignore[arg-type]
    yield from _scored_systems(asked.scores, columns)


def _scored_systems(texts: Sequence[str], columns: FileColumns) -> Iterator[SystemColumns]:
    found: dict[str, list[ScoreColumn]] = {}
    for text in texts:
        named, at, thresholds = text.rpartition("@")
        threshold = _threshold(thresholds) if at else None
        if threshold is None:
            what = f"{text} does not end in @THRESHOLD"
            remedy = "Write the score from which the label is said, such as violence=score@0.5"
            raise AuditError(what, "--score", remedy)
        for name, column in _named_columns(named, "--score", columns):
            system, _, label = name.partition("/")
            score = ScoreColumn(label or system, column, threshold)
            if any(each.label == score.label for each in found.get(system, ())):
                what = f"two columns are called {name}"
                raise AuditError(what, "--score", "Name each once, as NAME/LABEL=COLUMN@THRESHOLD")
            found.setdefault(system, []).append(score)
    for system, scores in found.items():
        yield SystemColumns(system, "scores", scores=tuple(scores))


def _threshold(text: str) -> ScoreThreshold | None:
    """Returns THRESHOLD[,REVIEW]; None where it is not of that form."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    if len(values) > 2 or not all(map(math.isfinite, values)):
        return None
    if len(values) == 2 and values[1] >= values[0]:
        what = f"{text}: the threshold of review is not below the other"
        raise AuditError(what, "--score", "Write @BLOCK,REVIEW, such as @0.8,0.5")
    return ScoreThreshold(*values)


def _named_columns(text: str, option: str, columns: FileColumns) -> Iterator[tuple[str, Column]]:
    """Yields the columns of [NAME=]COLUMN with the name of each."""
    name, typed = named_column(text, columns)
    for stands_for, column in columns.matching(typed, option):
        yield (stands_for if name is None else name.replace("*", stands_for)), column


def _refuse_one_name(systems: Sequence[SystemColumns]) -> None:
    names = [system.name for system in systems]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        what = f"two systems are called {twice[0]}"
        raise AuditError(what, "--said, --decision and --score", "Write NAME=COLUMN for each")
    if wrong := [name for name in names if not name.strip()]:
        raise AuditError(f"a system is called {wrong[0]!r}", "", "Write NAME=COLUMN")
