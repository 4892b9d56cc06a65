"""The systems whose predictions were read: their labels, which of them flag, what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from audit.metrics.predictions import Predictions
from audit.metrics.truth import SystemLabel
from audit.predicted.cell_query import CellPart, score_part, top_part
from audit.predicted.cells import Cells
from audit.predicted.columns import PredictionOptions
from audit.predicted.flags import flagged_labels
from audit.predicted.found_columns import FoundColumns
from audit.predicted.system_columns import SystemColumns
from moderation.scoring.verdict import ACTIONS

#: What a system of scores says of an image of which no score reaches its threshold.
NONE_SAID = "none"

#: The outcome of each action, as `moderation.scoring.verdict` counts them; 0 is that none fires.
_OUTCOMES = {"allow": 0, "review": ACTIONS.index("review"), "block": ACTIONS.index("block")}


@dataclass(frozen=True)
class System:
    """A system whose predictions were read.

    Attributes:
        columns: where they stand.
        labels: what it says; () for decisions.
        path: the file of its predictions.
        sha256: hash of what it says, and of how that is read.
    """

    columns: SystemColumns
    labels: tuple[SystemLabel, ...]
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.columns.name

    @property
    def can_flag(self) -> bool:
        """Whether it decides, or a label of it flags."""
        return self.columns.kind == "decisions" or any(label.acts for label in self.labels)


@dataclass(frozen=True, kw_only=True)
class SystemPredictions(Predictions):
    """What a system says of n cells.

    Attributes:
        system: with k labels.
        said: (n,) column of the label that it says; -1 where it says none.
        decided: (n,) its decisions, where it says these and no labels.
    """

    system: System
    said: npt.NDArray[np.intp]
    decided: npt.NDArray[np.int8] | None = None

    @property
    def labels(self) -> tuple[SystemLabel, ...]:
        """The system's labels."""
        return self.system.labels

    @property
    def y_pred(self) -> npt.NDArray[np.intp]:
        """(n,) column of the label that is said of each image; -1 where none is."""
        return self.said

    @property
    def can_flag(self) -> bool:
        """Whether to be flagged is the harm that is measured; otherwise to be misclassified is."""
        return self.system.can_flag

    @cached_property
    def actions(self) -> npt.NDArray[np.int8]:
        """(n,) what was decided, or the most severe outcome of each image."""
        return super().actions if self.decided is None else self.decided


def systems_of(found: FoundColumns, cells: Cells, options: PredictionOptions) -> list[System]:
    """Returns the systems whose predictions the cells hold.

    Raises:
        AuditError: an option names a label that no system says.
    """
    said = {system.name: _said_labels(system, cells) for system in found.systems}
    every = list(dict.fromkeys(label for labels in said.values() for label in labels))
    flags = flagged_labels(options.flags, every) if options.flags else None
    return [
        _system_of(system, _labels(system, said[system.name], flags), found)
        for system in found.systems
    ]


def _said_labels(system: SystemColumns, cells: Cells) -> Sequence[str]:
    if system.kind == "decisions":
        return ()
    if system.kind == "labels":
        return cells.texts[CellPart("said", system.name)].values
    return tuple(score.label for score in system.scores)


def _labels(
    system: SystemColumns,
    said: Sequence[str],
    flags: Mapping[str, tuple[str, str | None]] | None,
) -> Iterator[SystemLabel]:
    """Yields the labels of a system; those of scores flag if none is named, and are not all."""
    if system.kind == "labels":
        for name in said:
            yield SystemLabel(name, *(flags or {}).get(name, (None, None)))
    for score in system.scores:
        by_default = ("block", None) if flags is None else (None, None)
        action, category = (flags or {}).get(score.label, by_default)
        yield SystemLabel(score.label, action, category, *score.threshold)
    if system.scores:
        yield SystemLabel(NONE_SAID)


def _system_of(system: SystemColumns, labels: Iterator[SystemLabel], found: FoundColumns) -> System:
    files = [found.files[place] for place in sorted({each.file for each in system.columns})]
    known = tuple(labels)
    columns = [column.name for column in system.columns]
    said = [system.kind, columns, [vars(label) for label in known], [f.sha256 for f in files]]
    content = json.dumps(said, ensure_ascii=False, sort_keys=True)
    path = str(files[0].path)
    return System(system, known, path, hashlib.sha256(content.encode()).hexdigest())


def system_predictions(system: System, cells: Cells, name: str) -> SystemPredictions:
    """Returns what a system says of cells, without what it should say."""
    columns, n = system.columns, len(cells)
    if columns.kind == "scores":
        return _scored(system, cells, name)
    coded = cells.texts[CellPart("said", columns.name)]
    if columns.kind == "labels":
        outcomes = np.zeros((n, len(system.labels)), np.int8)
        for place, label in enumerate(system.labels):
            if label.action:
                outcomes[coded.codes == place, place] = _OUTCOMES[label.action]
        said = coded.codes.astype(np.intp)
        return SystemPredictions(name=name, outcomes=outcomes, system=system, said=said)
    decided = np.array([_OUTCOMES[value] for value in coded.values], np.int8)[coded.codes]
    return SystemPredictions(
        name=name,
        outcomes=np.zeros((n, 0), np.int8),
        system=system,
        said=np.full(n, -1, np.intp),
        decided=decided,
    )


def _scored(system: System, cells: Cells, name: str) -> SystemPredictions:
    """Returns what scores say: of the labels whose threshold is reached, that with the highest."""
    columns, labels = system.columns, system.labels
    outcomes = np.zeros((len(cells), len(labels)), np.int8)
    for place, label in enumerate(labels[:-1]):
        reached = cells.numbers[score_part(columns, place)]
        if label.action:
            done = np.array([0, _OUTCOMES["review"], _OUTCOMES[label.action]], np.int8)
            outcomes[:, place] = done[reached]
    top = cells.numbers.get(top_part(columns))
    if top is None:
        top = np.where(cells.numbers[score_part(columns, 0)] > 0, 0, -1)
    said = np.where(top < 0, len(labels) - 1, top).astype(np.intp)
    return SystemPredictions(name=name, outcomes=outcomes, system=system, said=said)
