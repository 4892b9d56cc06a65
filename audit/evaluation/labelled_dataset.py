"""Pictures on disk with several labels each: what is embedded, and what people say of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.image_problems import Track, image_hashes
from audit.errors import DatasetError, RowProblem
from audit.evaluation.claimed_names import LEFT_OUT, ClaimedNames
from audit.evaluation.labelled_images import NO, PASS_NAMES, UNKNOWN, YES, LabelledImages
from audit.plurals import counted
from moderation.visible_text import brief

#: Up to this many pictures that are there several times are named in a note.
_NAMED = 3


class LabelledDataset(NamedTuple):
    """n pictures as a dataset, and the names that people gave each."""

    dataset: Dataset
    images: LabelledImages

    def merged(
        self, claimed: ClaimedNames, track: Track | None = None, *, skip_bad: bool = False
    ) -> LabelledDataset:
        """Returns each picture once, by its content, with the names of all its copies.

        Args:
            claimed: what the names mean.
            track: shows progress.
            skip_bad: leaves out what is said to be two things that cannot both be.

        Raises:
            DatasetError: a picture is said to be harmless and to show what flags; or to show
                something and not to show it.
        """
        hashes, _ = image_hashes(self.dataset, track)  # what is wrong is said on embedding
        places: defaultdict[str, list[int]] = defaultdict(list)
        for row, sha256 in enumerate(hashes):
            places[sha256 or f"row {row}"].append(row)
        marks = np.array([self.images.marks[rows].max(axis=0) for rows in places.values()])
        marks = marks.reshape(len(places), len(self.images.names))
        firsts = np.array([rows[0] for rows in places.values()], np.intp)
        dataset = self.dataset.take(firsts)
        copies = [rows for rows in places.values() if len(rows) > 1]
        notes = list(self._copies_note(copies))
        images = replace(self.images, ids=tuple(dataset.table[IMAGE_ID]), marks=marks)
        found = LabelledDataset(replace(dataset, notes=(*dataset.notes, *notes)), images)
        denied = self._denied(list(places.values())) if images.asked else np.zeros_like(marks, bool)
        return found._without_contradictions(claimed, denied, skip_bad)

    def _denied(self, places: list[list[int]]) -> npt.NDArray[np.bool_]:
        """Returns for each picture and name whether it was said that the picture has it not."""
        return np.array([(self.images.marks[rows] == NO).any(axis=0) for rows in places])

    def _copies_note(self, copies: list[list[int]]) -> Iterator[str]:
        if copies:
            ids = self.images.ids
            named = (" and ".join(brief(ids[row]) for row in rows) for rows in copies[:_NAMED])
            more = f"; and {len(copies) - _NAMED:,} more" if len(copies) > _NAMED else ""
            what = f"{counted(len(copies), 'picture')} there several times, byte for byte"
            yield f"{what}, counted once with the labels of all copies: {'; '.join(named)}{more}."

    def _without_contradictions(
        self, claimed: ClaimedNames, denied: npt.NDArray[np.bool_], skip_bad: bool
    ) -> LabelledDataset:
        passes, flags = claimed.passes(self.images.names), claimed.flags(self.images.names)
        within = claimed.within(self.images.names).astype(int)
        given = self.images.marks == YES
        # A label is denied with its category, too.
        twofold = given & (denied | (denied.astype(int) @ within.T > 0))
        wrong = twofold | (given & passes & (given & flags).any(axis=1, keepdims=True))
        wrong |= given & flags & (given & passes).any(axis=1, keepdims=True)
        rows = wrong.any(axis=1)
        if not rows.any():
            return self
        if not skip_bad:
            found = [self._contradiction(row, wrong[row]) for row in np.flatnonzero(rows).tolist()]
            raise DatasetError(found)
        marks = np.where(rows[:, np.newaxis], UNKNOWN, self.images.marks)
        what = f"Said to be two things that cannot both be, left out: {int(rows.sum())}."
        dataset = replace(self.dataset, notes=(*self.dataset.notes, what))
        return LabelledDataset(dataset, replace(self.images, marks=marks))

    def _contradiction(self, row: int, wrong: npt.NDArray[np.bool_]) -> RowProblem:
        images = self.images
        named = [name for name, is_wrong in zip(images.names, wrong, strict=True) if is_wrong]
        cannot = "which cannot all be" if len(named) > 1 else "and it is said that it is not"
        what = f"the picture {images.ids[row]} is called {', '.join(named)}, {cannot}"
        return RowProblem(
            str(self.dataset.source), 0, what, "Decide, or leave it out with --skip-bad"
        )


def labelled_by_class(dataset: Dataset, claimed: ClaimedNames) -> LabelledDataset:
    """Returns a dataset of which each image has one class, or all are benign.

    Raises:
        DatasetError: no label has the name of a class.
    """
    classes = dataset.table[Y_TRUE].to_list()
    ids = dataset.table[IMAGE_ID].to_list()
    claimed.refuse_unknown({name for name in classes if name is not None}, dataset.source)
    given = []
    for name in classes:
        meant = None if name is None else claimed.meaning(name)
        unsaid = PASS_NAMES[:1] if dataset.benign and name is None else ()
        given.append(unsaid if meant in (None, LEFT_OUT) else (str(meant),))
    return LabelledDataset(dataset, LabelledImages.of_names(ids, given, dataset.name))
