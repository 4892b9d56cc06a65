"""How many images each group of a dataset has, and what can be claimed from so many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import NamedTuple

from audit.datasets.dataset import CROSS, Dataset
from audit.statistics.support import INDICATIVE_BELOW, SUPPRESSED_BELOW

#: The largest group over the smallest above which a feature is not called balanced.
BALANCED = 1.25

#: Above this it is far from balanced.
_FAR = 2.0

#: New York's Local Law 144 lets an audit leave out a group below this share of all images; here
#: such a group is named, and never left out.
SMALL_SHARE = 0.02


class GroupSize(NamedTuple):
    """A group with its images, and their share of all."""

    group: str
    n: int
    share: float

    @property
    def remark(self) -> str:
        """What may be claimed from so many images; empty where nothing stands against it."""
        if self.n < SUPPRESSED_BELOW:
            return "too few: no claims"
        return "indicative" if self.n < INDICATIVE_BELOW else ""


@dataclass(frozen=True)
class Coverage:
    """The sizes of the groups of a feature, or of an intersection of several.

    Attributes:
        by: the feature, or features joined by CROSS.
        sizes: groups with at least one image, in natural order.
        empty: how many groups, of the values that are known, have no image.
    """

    by: str
    sizes: tuple[GroupSize, ...]
    empty: int

    def warnings(self) -> Iterator[str]:
        """Yields what a reader must know of these sizes, in words."""
        low = min(self.sizes, key=lambda size: size.n)
        high = max(self.sizes, key=lambda size: size.n)
        if high.n > BALANCED * low.n:
            far = "far from balanced" if high.n > _FAR * low.n else "not balanced"
            yield f"{self.by} is {far}: {high.group} has {high.n:,}, {low.group} has {low.n:,}"
        if self.empty:
            yield f"{self.by}: {_groups(self.empty)} no image"
        if few := [size for size in self.sizes if size.n < SUPPRESSED_BELOW]:
            told = f"fewer than {SUPPRESSED_BELOW} images, too few for claims"
            yield f"{self.by}: {_groups(len(few))} {told}"
        if small := [size for size in self.sizes if size.share < SMALL_SHARE]:
            named = ", ".join(f"{size.group} ({size.share:.1%})" for size in small)
            names = f": {named}" if CROSS not in self.by else ""  # of intersections it is most
            told = f"{_groups(len(small))} under {SMALL_SHARE:.0%} of images{names}"
            yield f"{self.by}: {told}; some rules let an audit leave such out, here none is"


def coverages(dataset: Dataset) -> list[Coverage]:
    """Returns the coverage of each sensitive feature, of each pair, and of all together."""
    features = dataset.sensitive_features
    sizes = sorted({size for size in (1, 2, len(features)) if 0 < size <= len(features)})
    return [coverage(dataset, by) for size in sizes for by in combinations(features, size)]


def coverage(dataset: Dataset, by: tuple[str, ...]) -> Coverage:
    """Returns the sizes of the groups of a feature or intersection.

    Raises:
        DatasetError: the dataset has no such feature.
    """
    groups = dataset.groups(by)
    n = len(dataset)
    sizes = tuple(
        GroupSize(name, int(size), int(size) / n)
        for name, size in zip(groups.names, groups.sizes, strict=True)
    )
    known = prod(len({*dataset.orders.get(name, ()), *dataset.values(name)}) for name in by)
    return Coverage(groups.by, sizes, known - len(sizes))


def _groups(count: int) -> str:
    return "1 group has" if count == 1 else f"{count} groups have"
