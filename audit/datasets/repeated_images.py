"""Images of a dataset that are there twice, byte for byte, under whatever names.

One image cannot be annotated in two ways: nobody knows which is right, so none of them counts, and
each is missing where it was said to belong. One that is annotated in the same way twice counts
once, and nothing is missing. A few of both are slips of whoever made the dataset; FairFace as
released has one. More of them are another thing, such as one picture in place of all that are gone,
so that is for the auditor to put right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.image_references import FeatureRow
from moderation.visible_text import brief

#: So many images that are there twice are a slip, but of a small dataset no more than a tenth; of a
#: large one this share is.
_FEW, _FEW_SHARE = 10, 0.01

#: Up to this many of each kind are named in a note.
_NAMED = 5


@dataclass(frozen=True)
class Repeats:
    """Which images of a dataset are there more than once.

    Attributes:
        dataset: the images.
        copies: the index of each image that an earlier one with the same annotations repeats, and
            the index of that one.
        conflicts: indexes of equal images with different annotations.
    """

    dataset: Dataset
    copies: tuple[tuple[int, int], ...]
    conflicts: tuple[tuple[int, ...], ...]

    @property
    def conflicting(self) -> list[int]:
        """Indexes of the images whose annotations another row contradicts."""
        return [index for each in self.conflicts for index in each]

    @property
    def too_many(self) -> bool:
        """Whether they are more than a slip."""
        found = len(self.copies) + len(self.conflicting)
        n = len(self.dataset)
        return found > max(2, min(_FEW, n // 10), _FEW_SHARE * n)

    def wrong(self) -> Iterator[tuple[int, str]]:
        """Yields the images that cannot stay, each with what is wrong with it."""
        pairs = [*self.copies]
        for first, *others in self.conflicts:
            pairs += [(first, others[0]), *((other, first) for other in others)]
        for index, other in pairs:
            yield index, f"the image is the same, {self._alike}, as {self._name(other)}"

    def notes(self) -> Iterator[str]:
        """Yields what a reader must know of these images."""
        if self.conflicts:
            named = [" and ".join(map(self._name, each)) for each in self.conflicts]
            yield f"{self._twice} with different annotations, left out: {_first_of(named)}"
        if self.copies:
            named = [" and ".join(map(self._name, pair[::-1])) for pair in self.copies]
            yield f"{self._twice} with the same annotations, counted once: {_first_of(named)}"

    @property
    def _twice(self) -> str:
        return f"Images that are there twice, {self._alike},"

    @property
    def _alike(self) -> str:
        """How images are seen to be the same: by their files, or by features without any."""
        features = any(isinstance(each, FeatureRow) for each in self.dataset.references[:1])
        return "bit for bit in the features" if features else "byte for byte"

    def _name(self, index: int) -> str:
        name = brief(str(self.dataset.table[IMAGE_ID].iat[index]))
        return f"{name} in row {self.dataset.rows[index]}" if self.dataset.rows else name


def repeated_images(dataset: Dataset, hashes: Sequence[str], bad: Collection[int]) -> Repeats:
    """Returns which images are there more than once, without those that are bad by themselves."""
    places = defaultdict[str, list[int]](list)
    for index, sha256 in enumerate(hashes):
        if sha256 and index not in bad:
            places[sha256].append(index)
    annotations = dataset.table[[Y_TRUE, *dataset.sensitive_features]]
    copies: list[tuple[int, int]] = []
    conflicts: list[tuple[int, ...]] = []
    for equal in (each for each in places.values() if len(each) > 1):
        if len(set(map(tuple, annotations.iloc[equal].to_numpy()))) > 1:
            conflicts.append(tuple(equal))
        else:
            copies += ((index, equal[0]) for index in equal[1:])
    return Repeats(dataset, tuple(copies), tuple(conflicts))


def _first_of(named: Sequence[str]) -> str:
    more = f"; and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return f"{len(named):,}. {'; '.join(named[:_NAMED])}{more}."
