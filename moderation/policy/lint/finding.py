"""What lint says of a place in a policy file, and how serious it is."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from moderation.errors import PolicyProblem

Level = Literal["error", "warning", "info"]
#: From the most serious on.
LEVELS: tuple[Level, ...] = get_args(Level)

#: The code of what makes a file invalid: it is refused wherever it is read, so nobody can
#: suppress it.
INVALID = "invalid"


class LintFinding(NamedTuple):
    """What a rule found, and where; `line` and `column` count from 1, 0 where unknown."""

    code: str
    level: Level
    path: str
    line: int
    column: int
    message: str
    remedy: str

    @classmethod
    def of(cls, code: str, level: Level, problem: PolicyProblem) -> LintFinding:
        """Returns what a rule of this code says of a place."""
        return cls(code, level, *problem)

    @property
    def problem(self) -> PolicyProblem:
        """The place with the message and the remedy."""
        return PolicyProblem(self.path, self.line, self.column, self.message, self.remedy)

    def __str__(self) -> str:
        return f"{self.problem} [{self.level}: {self.code}]"


def reaches(level: Level, least: Level) -> bool:
    """Returns whether a level is as serious as another, or more."""
    return LEVELS.index(level) <= LEVELS.index(least)
