"""What is wrong with features, row by row; and features as a recording keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from audit.errors import DatasetError, RowProblem
from audit.plurals import agreeing, counted
from audit.recordings.feature_parts import FeaturePart
from moderation.encoders.encoder import Rows

#: How the entries of a recording are kept.
Storage = Literal["float16", "float32"]

#: How far from 1 a length may be and still be called unit length: half precision does no better.
UNIT_WITHIN = 0.002

#: A row that is closer to unit length than this is kept bit for bit.
EXACT_WITHIN = 1e-5

#: Up to this many rows are named.
_NAMED = 5


class CheckedBlock(NamedTuple):
    """Rows as a recording keeps them, from row `start` of all, and what is wrong with some."""

    start: int
    rows: Rows
    wrong: dict[int, str]


@dataclass
class FeatureCheck:
    """Looks at features once, and says what is wrong with all of them together.

    Attributes:
        storage: how they are kept.
        normalise: whether they may be of any length, and are brought to unit length.
        seen: how many rows were looked at.
        off: rows that are not of unit length, counted from 1.
        shortest: the least of their lengths.
        longest: the greatest.
    """

    storage: Storage
    normalise: bool = False
    seen: int = 0
    off: list[int] = field(default_factory=list)
    shortest: float = np.inf
    longest: float = 0.0

    def blocks(self, part: FeaturePart) -> Iterator[CheckedBlock]:
        """Yields the rows of a part as they are kept; the wrong ones are zero."""
        for block in part.blocks():
            rows, wrong = self._kept(block.rows, dict(block.wrong))
            yield CheckedBlock(self.seen, rows, wrong)
            self.seen += len(rows)

    def _kept(self, rows: Rows, wrong: dict[int, str]) -> tuple[Rows, dict[int, str]]:
        """Returns rows as they are kept, and what is wrong with some."""
        halves = rows.dtype == np.float16 and self.storage == "float16"
        exact = UNIT_WITHIN if halves else EXACT_WITHIN
        if not wrong and _all_of_unit_length(rows, exact):  # as nearly all are
            return rows.astype(self.storage, copy=False), wrong
        return self._scaled(rows, wrong, exact)

    def _scaled(
        self, rows: Rows, wrong: dict[int, str], exact: float
    ) -> tuple[Rows, dict[int, str]]:
        wide = rows.astype(np.float64)
        with np.errstate(all="ignore"):
            largest = np.abs(wide).max(axis=1)
            finite = np.isfinite(largest)
            some = finite & (largest > 0)
            # By the largest first: the square of a float64 may be too large for one.
            wide /= np.where(some, largest, 1.0)[:, np.newaxis]
            lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
            wide /= np.where(some, lengths, 1.0)[:, np.newaxis]
            lengths *= largest
        for i in np.flatnonzero(~some):
            what = "is zero in every place, so it has no direction"
            wrong.setdefault(int(i), what if finite[i] else _what_is_not_finite(rows[i]))
        self._note_lengths(np.where(some, lengths, 1.0))
        near = np.abs(lengths - 1) <= exact
        wide[near] = rows[near]  # bit for bit as they came
        wide[list(wrong)] = 0
        return wide.astype(self.storage), wrong

    def _note_lengths(self, lengths: npt.NDArray[np.float64]) -> None:
        off = np.flatnonzero(np.abs(lengths - 1) > UNIT_WITHIN)
        if len(off):
            self.off += (self.seen + off + 1).tolist()
            self.shortest = min(self.shortest, float(lengths[off].min()))
            self.longest = max(self.longest, float(lengths[off].max()))

    def problem(self, path: Path) -> RowProblem | None:
        """Returns the problem that features are not of unit length, where they have to be."""
        if not self.off or self.normalise:
            return None
        n = len(self.off)
        first = ", ".join(map(str, self.off[:_NAMED])) + (" and more" if n > _NAMED else "")
        ends = dict.fromkeys(f"{end:.4g}" for end in (self.shortest, self.longest))
        lengths = " to ".join(ends)
        what = (
            f"{counted(n, 'feature')} of {self.seen:,} {agreeing(n, 'is', 'are')} not of unit "
            f"length but {lengths} long, in {agreeing(n, 'row', 'rows')} {first}"
        )
        remedy = "Add --normalise if the model gives them so; otherwise see what scaled them"
        return RowProblem(str(path), 0, what, remedy)


def _all_of_unit_length(rows: Rows, within: float) -> bool:
    if rows.dtype == np.float64:  # which float32 may not hold
        return False
    wide = rows.astype(np.float32)
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    return bool((np.abs(lengths - 1) <= within).all())  # NaN is not


def _what_is_not_finite(row: npt.NDArray[Any]) -> str:
    places = np.flatnonzero(~np.isfinite(row))
    return f"is {row[places[0]]} in {counted(len(places), 'place')}"


def chosen_storage(parts: list[FeaturePart], storage: Storage | None) -> Storage:
    """Returns how features are kept: as asked for, or as they come, but never wider than float32.

    Raises:
        DatasetError: the parts are not of one width.
    """
    first = parts[0]
    problems = [
        RowProblem(str(part.path), 0, what, "Name the features of one model")
        for part in parts
        if part.d != first.d
        and (what := f"its features have {part.d:,} numbers, those of {first.path} {first.d:,}")
    ]
    if problems:
        raise DatasetError(problems)
    if storage is not None:
        return storage
    return "float16" if all(part.dtype == np.float16 for part in parts) else "float32"


def row_hashes(rows: Rows) -> list[str]:
    """Returns the SHA-256 of each row."""
    width = rows.shape[1] * rows.itemsize
    content = np.ascontiguousarray(rows).view(np.uint8).data.cast("B")
    return [
        hashlib.sha256(content[start : start + width]).hexdigest()
        for start in range(0, len(content), width)
    ]


def hash_of_hashes(hashes: list[str]) -> str:
    """Returns the hash of all that was hashed, whatever its order."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
