"""What people call pictures -> labels and categories of policies, or that nothing is in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.datasets.spelling import composed
from audit.errors import DatasetError, RowProblem
from audit.evaluation.labelled_images import PASS_NAMES
from audit.metrics.truth import SaidLabel, class_slug, meant_labels
from audit.plurals import counted

#: What `--truth` calls every class that is not named, and a class that is left out by name.
EVERY_OTHER, LEFT_OUT = "*", "unknown"

#: So many labels and categories are listed where none is near.
_LISTED = 30


@dataclass(frozen=True)
class ClaimedNames:
    """The names that labels of some policies have.

    Attributes:
        labels: of all policies.
        truth: what a name means, where it is said: a label, a category, one of PASS_NAMES, or
            LEFT_OUT; EVERY_OTHER stands for all names that no label has.
        option: how messages call the option that says so.
    """

    labels: tuple[SaidLabel, ...]
    truth: Mapping[str, str] = field(default_factory=dict)
    option: str = "--truth"

    @property
    def known(self) -> list[str]:
        """The ids and categories of all labels."""
        return sorted({name for each in self.labels for name in (each.id, each.reported_category)})

    def passes(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Returns (c,) the names that say that nothing should be flagged."""
        return np.array([name in PASS_NAMES and not self._columns(name) for name in names], bool)

    def flags(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Returns (c,) the names of which some label asks for review or block."""
        flagging = {j for j, each in enumerate(self.labels) if each.action in ("review", "block")}
        return np.array([bool(self._columns(name) & flagging) for name in names], bool)

    def within(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Returns (c, c) whether each name is of fewer labels of those of each other one."""
        columns = [self._columns(name) for name in names]
        return np.array([[bool(own) and own < other for other in columns] for own in columns], bool)

    def _columns(self, name: str) -> set[int]:
        return set(meant_labels(self.labels, name))

    def claimed(self, written: str) -> str | None:
        """Returns the label, category or PASS_NAME that a text names, LEFT_OUT, or None.

        A category may be named by its last part, where it is the only one.
        """
        meant = {composed(name): value for name, value in self.truth.items()}.get(composed(written))
        return self._named(written if meant is None else meant)

    def meaning(self, written: str) -> str | None:
        """Returns the same; of a name that no label has, what is said of every other."""
        found = self.claimed(written)
        rest = self.truth.get(EVERY_OTHER)
        return self._named(rest) if found is None and rest is not None else found

    def _named(self, text: str) -> str | None:
        slug = class_slug(text)
        if meant_labels(self.labels, text) or slug in (*PASS_NAMES, LEFT_OUT):
            return slug
        ends = {each.reported_category for each in self.labels}
        ends = {category for category in ends if category.rpartition("/")[2] == slug}
        return ends.pop() if len(ends) == 1 else None

    def refuse_unknown(self, written: Iterable[str], source: Path) -> None:
        """Refuses names that no label has, and what `--truth` says of names that are not there.

        Raises:
            DatasetError: with each such name, the nearest that is known, and how to map it.
        """
        names = sorted(set(written))
        problems = [*self._unknown_problems(names, source), *self._truth_problems(names, source)]
        if problems:
            raise DatasetError(problems)

    def _unknown_problems(self, names: Sequence[str], source: Path) -> Iterator[RowProblem]:
        said = set(map(composed, self.truth))
        for name in names:
            # Where an option says something of it, that is what is wrong.
            if self.meaning(name) is None and composed(name) not in said:
                what = f"no label or category is called {name}{self._nearest(name)}"
                remedy = (
                    f"Say what it is with {self.option} {name}=LABEL, {self.option} {name}=pass, "
                    f"or {self.option} {name}={LEFT_OUT} to leave it out"
                )
                yield RowProblem(str(source), 0, what, remedy)

    def _truth_problems(self, names: Sequence[str], source: Path) -> Iterator[RowProblem]:
        there = set(map(composed, names))
        for name, meant in self.truth.items():
            if name != EVERY_OTHER and composed(name) not in there:
                what = f"no picture is called {name}, which {self.option} names"
                remedy = f"There are: {', '.join(names) or 'none'}"
                yield RowProblem(str(source), 0, what, remedy)
            if self._named(meant) is None:
                what = f"{self.option} {name}={meant}: no label or category is called {meant}"
                remedy = f"Name another{self._nearest(meant)}"
                yield RowProblem(str(source), 0, what, remedy)

    def _nearest(self, name: str) -> str:
        """Returns what is near a name, as the end of a sentence."""
        # Short names, such as none, resemble much.
        near = difflib.get_close_matches(class_slug(name), self.known, 1, 0.5)
        if near := near or difflib.get_close_matches(class_slug(name), PASS_NAMES, 1, 0.8):
            return f"; did you mean {near[0]}?"
        listed = self.known[:_LISTED]
        more = len(self.known) - len(listed)
        end = f" and {counted(more, 'more name')}" if more else ""
        return f"; there are {', '.join(listed)}{end}"
