"""What people say that pictures show: several labels of each, some of them perhaps not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from audit.metrics.truth import SaidLabel, class_slug, meant_labels

#: Names that say: nothing in this picture should be flagged, unless a label has that name.
PASS_NAMES = ("allow", "pass", "safe", "none", "benign", "ok")

#: What a mark says of a picture and a name: it has it, it has it not, nobody knows.
YES, NO, UNKNOWN = 1, 0, -1

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledImages:
    """n pictures, and which of c names people gave each.

    Attributes:
        ids: of the n pictures, as a report names them.
        names: ids of labels, categories, or one of PASS_NAMES; what a system does not have is
            unknown to it.
        marks: (n, c) YES, NO or UNKNOWN. A picture of which nothing is known has UNKNOWN alone.
        source: what a report calls them.
        asked: whether each NO was said by itself, and not concluded from other names.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    marks: npt.NDArray[np.int8]
    source: str = ""
    asked: bool = False

    def __post_init__(self) -> None:
        if self.marks.shape != (len(self.ids), len(self.names)):
            shape = f"{len(self.ids)} ids and {len(self.names)} names"
            raise ValueError(f"{shape}, and marks of {self.marks.shape}")

    @classmethod
    def of_names(
        cls, ids: Sequence[str], given: Sequence[Sequence[str]], source: str = ""
    ) -> LabelledImages:
        """Returns pictures of which all names are known; one without any is not known at all."""
        names = tuple(sorted({name for each in given for name in each}))
        places = {name: place for place, name in enumerate(names)}
        marks = np.full((len(ids), len(names)), NO, np.int8)
        for row, own in enumerate(given):
            marks[row] = NO if own else UNKNOWN
            marks[row, [places[name] for name in own]] = YES
        return cls(tuple(ids), names, marks, source)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, ids: Sequence[str]) -> LabelledImages:
        """Returns some of the pictures, in the order of their ids."""
        places = {image_id: row for row, image_id in enumerate(self.ids)}
        marks = self.marks[[places[image_id] for image_id in ids]]
        return LabelledImages(tuple(ids), self.names, marks, self.source)

    def under(self, labels: Sequence[SaidLabel]) -> NamesUnderLabels:
        """Returns what the names mean to a system with these k labels."""
        columns = np.zeros((len(self.names), len(labels)), bool)
        for place, name in enumerate(self.names):
            columns[place, meant_labels(labels, name)] = True
        passes = np.array([class_slug(name) in PASS_NAMES for name in self.names], bool)
        flagging = np.array([label.action in ("review", "block") for label in labels], bool)
        return NamesUnderLabels(self, columns, passes & ~columns.any(axis=1), flagging)


@dataclass(frozen=True)
class NamesUnderLabels:
    """What names of pictures mean to a system with k labels.

    Attributes:
        images: the n pictures with their c names.
        columns: (c, k) the labels that each name may mean: one, or all of a category.
        passes: (c,) names that say that nothing should be flagged.
        flagging: (k,) the labels that ask for review or block.
    """

    images: LabelledImages
    columns: Marks
    passes: Marks
    flagging: Marks

    @property
    def unclaimed(self) -> tuple[str, ...]:
        """The names that are neither labels nor categories of the system."""
        known = self.columns.any(axis=1) | self.passes
        return tuple(name for name, own in zip(self.images.names, known, strict=True) if not own)

    @cached_property
    def _given(self) -> Marks:
        return np.asarray(self.images.marks == YES)

    @cached_property
    def _may_be_anything(self) -> Marks:
        """(n,) pictures with a name that the system does not know."""
        known = self.columns.any(axis=1) | self.passes
        return np.asarray(self._given[:, ~known].any(axis=1))

    def truth(self, wanted: Marks) -> tuple[Marks, Marks]:
        """Returns (n,) the pictures that show one of the wanted labels, and those that do not.

        Of those in neither it is not known: they have the name of a category with other labels in
        it, a name that the system does not know, or other labels only where nobody looked for the
        wanted ones.

        Args:
            wanted: (k,) the labels.
        """
        touches = (self.columns & wanted).any(axis=1)
        certain = touches & ~(self.columns & ~wanted).any(axis=1)
        positive = np.asarray(self._given[:, certain].any(axis=1))
        marks = self.images.marks
        unsure = (marks[:, touches] == UNKNOWN).any(axis=1) | self._may_be_anything
        unsure |= self._given[:, touches & ~certain].any(axis=1)
        looked = (marks != UNKNOWN).any(axis=1)
        if not touches.any():  # nobody looked for it: only of what is harmless it is known
            looked &= self._harmless
        return positive, np.asarray(looked & ~positive & ~unsure)

    @cached_property
    def _harmless(self) -> Marks:
        """(n,) pictures whose names are all of what should not be flagged."""
        flags = (self.columns & self.flagging).any(axis=1)
        return np.asarray(self._given.any(axis=1) & ~self._given[:, flags].any(axis=1))
