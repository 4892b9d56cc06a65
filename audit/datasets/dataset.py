"""Annotated images: ids, where each image is, y_true where known, sensitive features.

Demographic labels are read from the dataset, as its annotators perceived them, and never inferred.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.image_references import Reference
from audit.datasets.spelling import alike_spellings, composed
from audit.errors import DatasetError, RowProblem

#: Columns of `Dataset.table` besides one for each sensitive feature.
IMAGE_ID, Y_TRUE = "image_id", "y_true"

#: Stands between the sensitive features, and between the values, of an intersection.
CROSS = " × "

#: The whole dataset, as a sensitive feature with one group.
OVERALL = "overall"

#: (n,) which of n images, or (n, c) the same for each of c things.
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dataset:
    """n annotated images.

    Attributes:
        name: what reports call it, such as fairface:faces.
        adapter: the adapter that read it.
        source: the file or folder that was read.
        table: n rows; columns `image_id` (unique text), `y_true` (text, or None where unknown),
            and one of text for each sensitive feature, whose cells are never empty.
        references: where the n images are, in the order of the table.
        sensitive_features: names of the demographic columns, in the order of reports.
        orders: values of a sensitive feature in their natural order, where the adapter knows it.
        benign: whether nothing in any image should be flagged, so that every flag is false.
        expected_sha256: the hash that the annotations state for each image, or None.
        rows: row of each image in its file of annotations, as an editor counts; () where images
            have no row, as in a folder.
        left_out: rows that were left out on request, with what is wrong with them.
        missing: for each image that was left out, its value of each sensitive feature; None where
            that is not known.
        notes: what a reader of a report must know about this dataset.
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
    missing: tuple[tuple[str | None, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.table) != len(self.references):
            raise ValueError(f"{len(self.table)} rows and {len(self.references)} references")
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
            values = set(self.table[name].dropna().astype(str))
            values |= self._missing_values(name) if name != Y_TRUE else set()
            if pair := alike_spellings(values):
                what = f"two values of {name} look the same: {' and '.join(map(ascii, pair))}"
                remedy = "Write them alike, or so that the difference can be seen"
                yield RowProblem(str(self.source), 0, what, remedy)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def sha256(self) -> str:
        """Hash of ids and annotations, whatever the order of rows and columns."""
        columns = [IMAGE_ID, Y_TRUE, *sorted(self.sensitive_features)]
        rows = sorted(
            "\x1f".join("\x00" if cell is None else str(cell) for cell in row)
            for row in self.table[columns].to_numpy()
        )
        content = "\x1e".join(["\x1f".join(columns), *rows])
        return hashlib.sha256(content.encode()).hexdigest()

    def take(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """Returns the dataset of some rows, in their order."""
        hashes = self.expected_sha256
        return replace(
            self,
            table=self.table.iloc[rows].reset_index(drop=True),
            references=tuple(self.references[row] for row in rows),
            expected_sha256=tuple(hashes[row] for row in rows) if hashes else None,
            rows=tuple(self.rows[row] for row in rows) if self.rows else (),
        )

    def groups(self, by: Sequence[str]) -> Groups:
        """Returns who is in which group of a sensitive feature, or of an intersection of several.

        Raises:
            DatasetError: the dataset has no such sensitive feature.
        """
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
        cells = list(zip(*(self.table[name].astype(str) for name in by), strict=True))
        places = [self.sensitive_features.index(name) for name in by]
        lost = Counter(tuple(values[place] for place in places) for values in self.missing)
        placed = {cell: n for cell, n in lost.items() if None not in cell}
        ranks = [{value: i for i, value in enumerate(self.values(name))} for name in by]
        present = sorted(
            {*cells, *placed},
            key=lambda cell: [rank[value] for rank, value in zip(ranks, cell, strict=True)],
        )
        codes = {cell: code for code, cell in enumerate(present)}
        return Groups(
            CROSS.join(by),
            tuple(map(CROSS.join, present)),
            np.array([codes[cell] for cell in cells], np.intp),
            tuple(placed.get(cell, 0) for cell in present) if lost else (),
            lost.total() - sum(placed.values()),
        )

    def partitions(self, by: Iterable[Sequence[str]]) -> list[Groups]:
        """Returns the whole, then the groups of each sensitive feature or intersection.

        Raises:
            DatasetError: the dataset has no such sensitive feature.
        """
        return [overall_group(len(self), len(self.missing)), *map(self.groups, by)]

    def values(self, name: str) -> tuple[str, ...]:
        """Returns a sensitive feature's values that occur, in natural order: 3-9 before 10-19.

        Also those of which every image was left out.
        """
        present = set(self.table[name].astype(str)) | self._missing_values(name)
        known = [value for value in self.orders.get(name, ()) if value in present]
        return (*known, *sorted(present - set(known), key=natural_order))

    def _missing_values(self, name: str) -> set[str]:
        place = self.sensitive_features.index(name)
        return {value for values in self.missing if (value := values[place]) is not None}


@dataclass(frozen=True)
class Groups:
    """A partition of n images into g groups.

    Attributes:
        by: the sensitive feature, or several joined by CROSS.
        names: the g groups that have an image, even if each was left out, in natural order.
        codes: (n,) index into `names`.
        left_out: (g,) images of each group that the dataset has and that were left out; () where
            none was.
        unplaced: images that were left out and whose group is not known.
    """

    by: str
    names: tuple[str, ...]
    codes: npt.NDArray[np.intp]
    left_out: tuple[int, ...] = ()
    unplaced: int = 0

    def without_empty(self) -> Groups:
        """Returns the groups that have an image which was not left out."""
        kept = np.flatnonzero(self.sizes)
        codes = np.searchsorted(kept, self.codes)
        left_out = tuple(self.left_out[i] for i in kept) if self.left_out else ()
        names = tuple(self.names[i] for i in kept)
        return replace(self, names=names, codes=codes, left_out=left_out)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """(g,) how many images each group has."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)

    def count(self, marks: Marks) -> npt.NDArray[np.int64]:
        """Returns (g,) or, for (n, c) marks, (g, c) counts of the marked images of each group."""
        flat = marks[:, np.newaxis] if marks.ndim == 1 else marks
        counts = np.stack(
            [np.bincount(self.codes[column], minlength=len(self.names)) for column in flat.T],
            axis=1,
        ).astype(np.int64)
        return counts[:, 0] if marks.ndim == 1 else counts


def overall_group(n: int, left_out: int = 0) -> Groups:
    """Returns the partition of n images, besides those that were left out, into one group."""
    return Groups(OVERALL, (OVERALL,), np.zeros(n, np.intp), (left_out,) if left_out else ())


def natural_order(value: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key of a group's name, by which numbers in it count as numbers."""
    parts = [part for part in re.split(r"([0-9]+)", value.casefold()) if part]
    # By length and then by digits: there may be more digits than Python makes an int of.
    numbers = [(part.lstrip("0"), part) for part in parts]
    keys = [
        (0, len(number), number) if part[0] in "0123456789" else (1, 0, part)
        for number, part in numbers
    ]
    return (*keys, (-1, 0, value))
