"""Every exception of the audit, by who must act on it.

ModerationError             the plugin's root; catch this to catch all
  AuditError                the auditor: an audit cannot be made as it was asked for
    DatasetError            annotations or images are wrong; carries every row with its problem
    LimitsError             the author of a gate: its limits cannot be used
  StoreError                the plugin's: the embedding store is damaged, or cannot be written

UndefinedRateWarning        a rate counts no images, and is NaN
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from moderation.errors import ModerationError
from moderation.visible_text import brief, one_line

#: How many lines of problems are shown, and how many rows of one; the others are only counted.
_LINES, _ROWS = 20, 5


class AuditError(ModerationError):
    """An audit cannot be made as it was asked for."""


class _RowFields(NamedTuple):
    path: str
    row: int
    message: str
    remedy: str


class RowProblem(_RowFields):
    """One thing wrong with a dataset; `row` counts as an editor does, 0 where the whole is wrong.

    Message and remedy are brief and on one line, whatever they quote.
    """

    __slots__ = ()

    def __new__(cls, path: str, row: int, message: str, remedy: str) -> Self:
        """Returns the problem of a row."""
        return super().__new__(cls, path, row, brief(message), brief(remedy))

    def __str__(self) -> str:
        return self.at(f", row {self.row}" if self.row else "")

    def at(self, rows: str) -> str:
        """Returns the problem in words, with the place that its rows are called."""
        return f"{one_line(self.path)}{rows}: {self.message}. {self.remedy}"


def problem_lines(problems: Iterable[RowProblem]) -> list[str]:
    """Returns problems to print, those that differ in their row alone on one line.

    Of many lines only the first are there, and what the others hold is counted.
    """
    alike: dict[tuple[str, str, str], list[RowProblem]] = {}
    for problem in problems:
        alike.setdefault((problem.path, problem.message, problem.remedy), []).append(problem)
    groups = list(alike.values())
    shown = [_problem_line(group) for group in groups[:_LINES]]
    if more := sum(map(len, groups[_LINES:])):
        shown.append(f"... and {more:,} more")
    return shown


def _problem_line(alike: Sequence[RowProblem]) -> str:
    first = alike[0]
    if len(alike) == 1 or not first.row:
        return str(first)
    rows = ", ".join(str(problem.row) for problem in alike[:_ROWS])
    more = f" and {len(alike) - _ROWS:,} more" if len(alike) > _ROWS else ""
    return first.at(f", rows {rows}{more}")


class DatasetError(AuditError):
    """A dataset is refused; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Iterable[str | int]]) -> None:
        self.problems = tuple(RowProblem(*problem) for problem in problems)  # type: ignore[arg-type]
        super().__init__("\n".join(problem_lines(self.problems)))
        # Plain lists, since all our errors travel as JSON.
        self.args = ([list(problem) for problem in self.problems],)

    @classmethod
    def of(cls, path: Path, message: str, remedy: str, *, row: int = 0) -> Self:
        """Returns the error of a single problem."""
        return cls([(str(path), row, message, remedy)])


class LimitsError(AuditError):
    """The limits of a gate cannot be used."""


class UndefinedRateWarning(UserWarning):
    """A rate counts no images; it is NaN, and no claim is made from it."""
