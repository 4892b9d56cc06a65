"""The distinct rows of files of predictions, once each text is what it means, with their counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.errors import RowProblem
from audit.predicted.cell_query import CellPart
from audit.predicted.found_columns import EVERY_SYSTEM
from audit.predicted.texts import CodedTexts


@dataclass(frozen=True)
class Cells:
    """c cells: rows that are alike in their groups, in what each system said, and in the truth.

    Attributes:
        texts: the groups, labels, decisions and classes.
        numbers: (c,) what each score says of its label, and which label has the highest.
        weights: (c,) how many images each cell stands for.
        missing: how many images were left out, by their groups.
        left_out: rows that were left out on request, with what is wrong with them.
        notes: what a reader of a report must know.
    """

    texts: Mapping[CellPart, CodedTexts]
    numbers: Mapping[CellPart, npt.NDArray[np.int64]]
    weights: npt.NDArray[np.int64]
    missing: Mapping[tuple[str | None, ...], int] = field(default_factory=dict)
    left_out: tuple[RowProblem, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    def y_true(self, system: str) -> CodedTexts | None:
        """Returns the classes by which a system is measured: its own, or those for all."""
        own = self.texts.get(CellPart("y_true", system))
        return own or self.texts.get(CellPart("y_true", EVERY_SYSTEM))

    def take(self, cells: npt.NDArray[np.intp]) -> Cells:
        """Returns some of the cells."""
        return replace(
            self,
            texts={part: coded.take(cells) for part, coded in self.texts.items()},
            numbers={part: codes[cells] for part, codes in self.numbers.items()},
            weights=self.weights[cells],
        )

    def joined(self) -> Cells:
        """Returns the cells with those that are alike as one, in the order of what they hold."""
        codes = {part: coded.codes for part, coded in self.texts.items()} | dict(self.numbers)
        frame = pd.DataFrame(dict(enumerate(codes.values())))
        groups = frame.groupby(list(frame.columns), sort=True).ngroup().to_numpy()
        weights = np.bincount(groups, self.weights).astype(np.int64)
        first = np.empty(len(weights), np.intp)
        first[groups[::-1]] = np.arange(len(groups))[::-1]
        return replace(self.take(first), weights=weights)
