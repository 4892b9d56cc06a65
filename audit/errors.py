"""Every exception of the audit, by who must act on it.

ModerationError             the plugin's root; catch this to catch all
  AuditError                the auditor: an audit cannot be made as it was asked for
    DatasetError            annotations or images are wrong; carries every row with its problem
    LimitsError             the author of a gate: its limits cannot be used
  StoreError                the plugin's: the embedding store is damaged, or cannot be written

UndefinedRateWarning        a rate counts no images, and is NaN
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from moderation.errors import ModerationError
from moderation.visible_text import brief, one_line

#: How many rows an error names; the others are only counted.
_SHOWN = 20


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
        path = one_line(self.path)
        place = f"{path}, row {self.row}" if self.row else path
        return f"{place}: {self.message}. {self.remedy}"


class DatasetError(AuditError):
    """A dataset is refused; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Iterable[str | int]]) -> None:
        self.problems = tuple(RowProblem(*problem) for problem in problems)  # type: ignore[arg-type]
        shown = list(map(str, self.problems[:_SHOWN]))
        if len(self.problems) > _SHOWN:
            shown.append(f"... and {len(self.problems) - _SHOWN} more")
        super().__init__("\n".join(shown))
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
