"""Annotated images: ids, where each image is, y_true where known, sensitive features.

A row is an image, or stands for as many images as its weight says: what is counted of images is the
same whether each has a row of its own or those that are alike share one.

Demographic labels are read from the dataset, as its annotators perceived them, and never inferred.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.coded_values import CodedValues, crossed_codes
from audit.datasets.groups import CROSS, OVERALL, Groups, Weights, overall_group
from audit.datasets.image_references import Reference
from audit.datasets.spelling import alike_spellings, composed
from audit.errors import DatasetError, RowProblem

#: Columns of `Dataset.table` besides one for each sensitive feature.
IMAGE_ID, Y_TRUE = "image_id", "y_true"

#: The column of weights where a hash is made of them.
_WEIGHT = "weight"

#: Of as many images or more, chance cannot be drawn.
TOO_MANY = 10**9

Cell = TypeVar("Cell")


@dataclass(frozen=True)
class Dataset:
    """n annotated images, in as many rows or fewer.

    Attributes:
        name: what reports call it, such as fairface:faces.
        adapter: the adapter that read it.
        source: the file or folder that was read.
        table: columns `image_id` (unique text), `y_true` (text, or None where unknown), and one of
            text for each sensitive feature, whose cells are never empty.
        references: where the images are, in the order of the table; () where there are none, only
            what was recorded of them.
        sensitive_features: names of the demographic columns, in the order of reports.
        orders: values of a sensitive feature in their natural order, where the adapter knows it.
        benign: whether nothing in any image should be flagged, so that every flag is false.
        expected_sha256: the hash that the annotations state for each image, or None.
        rows: row of each image in its file of annotations, as an editor counts; () where images
            have no row, as in a folder.
        left_out: rows that were left out on request, with what is wrong with them.
        missing: how many images were left out, by their values of the sensitive features; None
            stands for a value that is not known.
        notes: what a reader of a report must know about this dataset.
        weights: (rows,) how many images each row stands for; None where it is one each.
    """

    name: str
    adapter: str
    source: Path
    table: pd.DataFrame
    references: tuple[Reference, ...]
    sensitive_features: tuple[str, ...]
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    benign: bool = False
    expected_sha256: tuple[str | None, ...] | None = None
    rows: tuple[int, ...] = ()
    left_out: tuple[RowProblem, ...] = ()
    missing: Mapping[tuple[str | None, ...], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    weights: Weights = None

    def __post_init__(self) -> None:
        if self.references and len(self.table) != len(self.references):
            raise ValueError(f"{len(self.table)} rows and {len(self.references)} references")
        _refuse_wrong_weights(self.weights, len(self.table))
        if not len(self.table):
            remedy = "Name a dataset with images in it"
            raise DatasetError.of(self.source, "no image is left in it", remedy)
        problems = [*self._name_problems()] or [*self._alike_problems()]
        if problems:
            raise DatasetError(problems)

    def _name_problems(self) -> Iterator[RowProblem]:
        """Yields names and values that would be taken for intersections or for the whole."""
        for name in self.sensitive_features:
            taken = name in (IMAGE_ID, Y_TRUE, OVERALL)
            if taken or not name.strip() or any(sign in name for sign in (CROSS.strip(), ",")):
                what = f"a sensitive feature cannot be called {name!r}"
                remedy = f"Use another name, without {CROSS.strip()} and commas"
                yield RowProblem(str(self.source), 0, what, remedy)
                continue
            for value in [value for value in self.values(name) if CROSS in value][:1]:
                what = f"the value {value!r} of {name} reads as an intersection"
                yield RowProblem(str(self.source), 0, what, f"Write it without {CROSS.strip()}")

    def _alike_problems(self) -> Iterator[RowProblem]:
        """Yields groups and classes of the dataset that look like one, and would count as two."""
        for name in (Y_TRUE, *self.sensitive_features):
            known = pd.unique(self.table[name].dropna())
            values = map(str, known) if name == Y_TRUE else self.values(name)
            if pair := alike_spellings(values):
                what = f"two values of {name} look the same: {' and '.join(map(ascii, pair))}"
                remedy = "Write them alike, or so that the difference can be seen"
                yield RowProblem(str(self.source), 0, what, remedy)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def n(self) -> int:
        """How many images there are."""
        return len(self.table) if self.weights is None else int(self.weights.sum())

    @property
    def left_out_images(self) -> int:
        """How many images were left out."""
        return sum(self.missing.values())

    @cached_property
    def sha256(self) -> str:
        """Hash of ids, annotations and weights, whatever the order of rows and columns."""
        columns = [IMAGE_ID, Y_TRUE, *sorted(self.sensitive_features)]
        cells = [_hashed_cells(self.table[column]) for column in columns]
        if self.weights is not None:
            columns.append(_WEIGHT)
            cells.append(list(map(str, self.weights.tolist())))
        rows = sorted(map("\x1f".join, zip(*cells, strict=True)))
        content = "\x1e".join(["\x1f".join(columns), *rows])
        return hashlib.sha256(content.encode()).hexdigest()

    def take(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """Returns the dataset of some rows, in their order."""
        hashes = self.expected_sha256
        return replace(
            self,
            table=self.table.iloc[rows].reset_index(drop=True),
            references=_taken(self.references, rows),
            expected_sha256=_taken(hashes, rows) if hashes else None,
            rows=_taken(self.rows, rows),
            weights=None if self.weights is None else self.weights[rows],
        )

    def groups(self, by: Sequence[str]) -> Groups:
        """Returns who is in which group of a sensitive feature, or of an intersection of several.

        Raises:
            DatasetError: the dataset has no such sensitive feature.
        """
        by = self._known_features(by)
        coded = [self._coded[name] for name in by]
        lost = self._lost_cells(by)
        placed = {cell: n for cell, n in lost.items() if None not in cell}
        cells = np.array([*placed], np.int64).reshape(-1, len(by))
        columns = [
            np.concatenate([each.codes, own]) for each, own in zip(coded, cells.T, strict=True)
        ]
        codes, first = crossed_codes(columns)
        present = list(zip(*(column[first].tolist() for column in columns), strict=True))
        names = [
            CROSS.join(each.values[i] for each, i in zip(coded, cell, strict=True))
            for cell in present
        ]
        return Groups(
            CROSS.join(by),
            tuple(names),
            codes[: len(self)],
            tuple(placed.get(cell, 0) for cell in present) if lost else (),
            lost.total() - sum(placed.values()),
            self.weights,
        )

    def _known_features(self, by: Sequence[str]) -> list[str]:
        """Returns sensitive features as the dataset spells them; refuses others."""
        known_as = {composed(name): name for name in self.sensitive_features}
        by = [known_as.get(composed(name), name) for name in by]
        unknown = [name for name in by if name not in self.sensitive_features]
        if len(set(by)) != len(by):
            what = f"{CROSS.join(by)} names a sensitive feature twice"
            raise DatasetError.of(self.source, what, "Name each once")
        if unknown or not by:
            known = ", ".join(self.sensitive_features) or "none"
            what = f"there is no sensitive feature {', '.join(unknown) or '(none named)'}"
            raise DatasetError.of(self.source, what, f"It has: {known}")
        return by

    def _lost_cells(self, by: Sequence[str]) -> Counter[tuple[int | None, ...]]:
        """Returns how many images were left out of each group, by codes; None is not known."""
        places = [self.sensitive_features.index(name) for name in by]
        lost: Counter[tuple[int | None, ...]] = Counter()
        for values, n in self.missing.items():
            cell = (
                self._coded[name].place(values[place])
                for name, place in zip(by, places, strict=True)
            )
            lost[tuple(cell)] += n
        return lost

    def partitions(self, by: Iterable[Sequence[str]]) -> list[Groups]:
        """Returns the whole, then the groups of each sensitive feature or intersection.

        Raises:
            DatasetError: the dataset has no such sensitive feature.
        """
        whole = overall_group(len(self), self.left_out_images, self.weights)
        return [whole, *map(self.groups, by)]

    def values(self, name: str) -> tuple[str, ...]:
        """Returns a sensitive feature's values that occur, in natural order: 3-9 before 10-19.

        Also those of which every image was left out.
        """
        return self._coded[name].values

    @cached_property
    def _coded(self) -> dict[str, CodedValues]:
        """The values of each sensitive feature in natural order, and that of each row."""
        return {
            name: CodedValues.of(self.table[name], self.orders.get(name, ()), lost)
            for place, name in enumerate(self.sensitive_features)
            for lost in [{values[place] for values in self.missing}]
        }


def _refuse_wrong_weights(weights: Weights, rows: int) -> None:
    if weights is None:
        return
    if weights.shape != (rows,) or weights.dtype != np.int64:
        raise ValueError(f"{rows} rows, and weights of {weights.dtype} {weights.shape}")
    if rows and weights.min() < 1:
        raise ValueError(f"a row stands for {weights.min()} images")
    if weights.sum() >= TOO_MANY:
        raise ValueError(f"{weights.sum():,} images are not fewer than {TOO_MANY:,}")


def _hashed_cells(column: pd.Series) -> list[str]:
    return ["\x00" if cell is None else str(cell) for cell in column.to_numpy(object).tolist()]


def _taken(each: tuple[Cell, ...], rows: npt.NDArray[np.intp]) -> tuple[Cell, ...]:
    """Returns the items of some rows; none where no row has one."""
    return tuple(each[row] for row in rows.tolist()) if each else ()
