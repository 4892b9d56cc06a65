"""Images of which systems have said something already: what an audit of predictions looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import duckdb
import numpy as np
import pandas as pd

from audit.audits.audited import Audited, Named
from audit.datasets.chosen_groups import chosen_groups
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.groups import Groups
from audit.errors import AuditError
from audit.metrics.rates import FLAG
from audit.predicted.cell_query import CellPart
from audit.predicted.cell_reading import read_cells
from audit.predicted.cells import Cells
from audit.predicted.columns import Column, PredictionOptions
from audit.predicted.files import PredictionFile, database, few_values, open_file
from audit.predicted.found_columns import EVERY_SYSTEM, FoundColumns, find_columns
from audit.predicted.systems import System, SystemPredictions, system_predictions, systems_of
from audit.predicted.truths import (
    Implied,
    implied_classes,
    refuse_nothing_to_measure,
    system_truth,
    truth_notes,
)
from audit.predicted.words import are_decisions
from audit.results.results import DatasetRecord, Header, LabelRecord, PolicyRecord

#: A column that nobody named is a sensitive feature if it has at most so many values.
MOST_VALUES = 50

#: Up to this many columns are named in a note.
_NAMED = 12


_SCORES_FLAG = (
    "Scores flag from their threshold on, as no --flag is given. With --flag none they flag "
    "nothing, and groups are compared by who is misclassified."
)


@dataclass(frozen=True)
class PredictedSubject(Audited[System]):
    """Images of which systems have said something already.

    Attributes:
        cells: what they said, and of how many images.
        annotated: the groups of the cells.
        implied: by system, the class of y_true that each of its labels implies.
        files_sha256: hash of all files that were read.
        groups: the whole dataset first, then each sensitive feature and intersection.
        seed: of every random choice.
        command: what was typed, for the header.
    """

    cells: Cells
    annotated: Dataset
    implied: Mapping[str, Implied]
    files_sha256: str
    groups: tuple[Groups, ...]
    seed: int = 0
    command: str = ""

    packages: ClassVar[tuple[str, ...]] = (*Audited.packages, "duckdb")

    @property
    def dataset(self) -> Dataset:
        """The cells with their groups, each with the number of its images."""
        return self.annotated

    @property
    def images_sha256(self) -> str:
        """Hash of the files, which stand for the images."""
        return self.files_sha256

    def predict(self, systems: Mapping[str, System]) -> list[SystemPredictions]:
        """Returns what each system says of the images, and should say."""
        benign = self.dataset.benign
        return [
            replace(
                system_predictions(system, self.cells, name),
                truth=system_truth(system, self.cells, self.implied[system.name], benign=benign),
            )
            for name, system in systems.items()
        ]

    def system_record(self, name: str, system: System, path: str) -> PolicyRecord:
        """Returns a system as a report has it."""
        names = [column.name for column in system.columns.columns]
        return PolicyRecord(
            name=name,
            kind=system.columns.kind,
            id=system.name,
            title=f"{'column' if len(names) == 1 else 'columns'} {', '.join(names)}",
            sha256=system.sha256,
            path=path,
            labels=tuple(map(LabelRecord.of, system.labels)),
        )

    def header(self, named: Named[System], harm: str = FLAG) -> Header:
        """Returns what is needed to make a report on the systems again."""
        header = super().header(named, harm)
        versions = {**header.versions, "duckdb": duckdb.__version__}
        return header.model_copy(update={"versions": versions})

    def dataset_record(self) -> DatasetRecord:
        """Returns the dataset as a report has it; its hash is of groups and classes alone."""
        return super().dataset_record().model_copy(update={"sha256": self._annotations_sha256()})

    def _annotations_sha256(self) -> str:
        """Returns the hash of how many images have which groups and classes, whoever was asked."""
        of = {
            p.name: c.texts() for p, c in self.cells.texts.items() if p.what in ("feature", Y_TRUE)
        }
        table = pd.DataFrame({**of, "n": self.cells.weights})
        counted = table.groupby(list(of), dropna=False)["n"].sum().reset_index()
        rows = sorted("\x1f".join(map(str, row)) for row in counted.itertuples(index=False))
        return hashlib.sha256("\x1e".join(["\x1f".join(of), *rows]).encode()).hexdigest()


def open_predictions(
    files: Sequence[Path | tuple[str, Path]],
    options: PredictionOptions,
    by: Sequence[Sequence[str]] | None = None,
    *,
    command: str = "",
) -> tuple[PredictedSubject, Named[System]]:
    """Returns the subject of an audit, and the systems whose predictions the files hold.

    Args:
        files: CSV or Parquet, the one with the groups first; several are joined by id. One may have
            a name, by which KEY:COLUMN calls it; otherwise that is its number.
        options: which column is what.
        by: sensitive features and intersections; None takes each, and each pair.
        command: what was typed, for the header.

    Raises:
        AuditError: something is asked for that the files do not have.
        DatasetError: with everything that is wrong with their rows.
    """
    opened = _opened(files)
    found = find_columns(options, opened, by)
    with database() as connection:
        features, notes = _features(connection, found)
        cells = read_cells(connection, found, features, options)
    systems = systems_of(found, cells, options)
    implied = implied_classes(systems, cells, options)
    truths = [
        system_truth(each, cells, implied[each.name], benign=options.benign) for each in systems
    ]
    refuse_nothing_to_measure(systems, truths)
    notes = [*notes, *cells.notes, *truth_notes(systems, implied, truths)]
    if any(each.columns.scores for each in systems) and not options.flags:
        notes.append(_SCORES_FLAG)
    dataset = _dataset_of(cells, opened, features, options, notes)
    groups, more = chosen_groups(dataset, by)
    subject = PredictedSubject(
        cells=cells,
        annotated=replace(dataset, notes=(*dataset.notes, *more)),
        implied=implied,
        files_sha256=_sha256_of(opened),
        groups=groups,
        command=command,
    )
    named = Named({each.name: each for each in systems}, {each.name: each.path for each in systems})
    return subject, named


def _opened(files: Sequence[Path | tuple[str, Path]]) -> list[PredictionFile]:
    opened = [
        open_file(*each) if isinstance(each, tuple) else open_file(str(place), each)
        for place, each in enumerate(files, 1)
    ]
    keys = [file.key for file in opened]
    if twice := [key for key in keys if keys.count(key) > 1]:
        what = f"two files are called {twice[0]}"
        raise AuditError(what, "--predictions", "Give each another name, as NAME=FILE")
    return opened


def _sha256_of(files: Sequence[PredictionFile]) -> str:
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()


def _features(
    connection: duckdb.DuckDBPyConnection, found: FoundColumns
) -> tuple[Mapping[str, Column], list[str]]:
    """Returns the sensitive features that were named, or else all columns that may be some."""
    if found.features is not None:
        return found.features, []
    file, taken = found.files[0], {column.name for column in found.taken}
    names = [name for name, holds in file.columns.items() if holds != "no value"]
    left = [name for name in names if name not in taken]
    values = few_values(connection, file, left, MOST_VALUES)
    features = {name: Column(0, name) for name in values if not are_decisions(values[name])}
    if not features:
        what = "no column looks like one of groups"
        has = ", ".join(left[:_NAMED]) or "none besides those that were named"
        raise AuditError(what, str(file.path), f"Name one with --by; further columns: {has}")
    others = [name for name in left if name not in features]
    more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    not_taken = f", and those of {', '.join(others[:_NAMED])}{more} not" if others else ""
    return features, [
        f"The groups of {', '.join(features)} were looked at{not_taken}; --by names others."
    ]


def _dataset_of(
    cells: Cells,
    files: Sequence[PredictionFile],
    features: Mapping[str, Column],
    options: PredictionOptions,
    notes: Sequence[str],
) -> Dataset:
    names = [file.path.stem for file in files]
    common = cells.texts.get(CellPart("y_true", EVERY_SYSTEM))
    table = {
        IMAGE_ID: np.array([f"cell {place}" for place in range(1, len(cells) + 1)], object),
        Y_TRUE: np.full(len(cells), None, object) if common is None else common.texts(),
        **{name: cells.texts[CellPart("feature", name)].texts() for name in features},
    }
    return Dataset(
        name=f"predictions:{'+'.join(names)}",
        adapter="predictions",
        source=files[0].path,
        table=pd.DataFrame(table, dtype=object),
        references=(),
        sensitive_features=tuple(features),
        benign=options.benign,
        left_out=cells.left_out,
        missing=cells.missing,
        notes=tuple(notes),
        weights=cells.weights,
    )
