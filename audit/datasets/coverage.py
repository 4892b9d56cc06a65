"""How many images each group of a dataset has, and what can be claimed from that many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import NamedTuple

from audit.datasets.dataset import Dataset
from audit.datasets.groups import CROSS
from audit.plurals import agreeing, counted
from audit.statistics.support import INDICATIVE_BELOW, SUPPRESSED_BELOW

#: A sensitive feature is called balanced up to this ratio of its largest group to its smallest.
BALANCED = 1.25

#: Above this ratio it is far from balanced.
_FAR = 2.0

#: New York's Local Law 144 lets an audit leave out a group below this share of all images. Here
#: such a group is named, and never left out.
SMALL_SHARE = 0.02

#: Up to this many groups are named in a warning.
_NAMED = 20


class GroupSize(NamedTuple):
    """A group with the number of its images, their share of all images, and how many it lacks."""

    group: str
    n: int
    share: float
    left_out: int = 0

    @property
    def remark(self) -> str:
        """What limits the claims from that many images; empty where nothing does."""
        if self.n < SUPPRESSED_BELOW:
            return "too few: no claims"
        return "indicative" if self.n < INDICATIVE_BELOW else ""


@dataclass(frozen=True)
class Coverage:
    """The sizes of the groups of a sensitive feature, or of an intersection of several.

    Attributes:
        by: the sensitive feature, or several joined by CROSS.
        sizes: groups with at least one image, even if it was left out, in natural order.
        empty: how many groups of known values have no image.
        unplaced: images that were left out and whose group is not known.
    """

    by: str
    sizes: tuple[GroupSize, ...]
    empty: int
    unplaced: int = 0

    def warnings(self) -> Iterator[str]:
        """Yields in words what a reader must know about these sizes."""
        low = min(self.sizes, key=lambda size: size.n)
        high = max(self.sizes, key=lambda size: size.n)
        if high.n > BALANCED * low.n:
            far = "far from balanced" if high.n > _FAR * low.n else "not balanced"
            yield f"{self.by} is {far}: {high.group} has {high.n:,}, {low.group} has {low.n:,}"
        if self.empty:
            yield f"{self.by}: {_count_of_groups(self.empty)} no image"
        if lacking := list(self._lacking()):
            yield f"{self.by}: left out are {_first_of(lacking)}"
        if few := [size for size in self.sizes if 0 < size.n < SUPPRESSED_BELOW]:
            what = f"fewer than {SUPPRESSED_BELOW} images, too few for claims"
            yield f"{self.by}: {_count_of_groups(len(few))} {what}"
        if small := [size for size in self.sizes if size.share < SMALL_SHARE]:
            named = _first_of([f"{size.group} ({size.share:.1%})" for size in small])
            names = f": {named}" if CROSS not in self.by else ""  # most intersections are small
            what = f"{_count_of_groups(len(small))} under {SMALL_SHARE:.0%} of images{names}"
            yield f"{self.by}: {what}; some rules let an audit leave these out, this one does not"

    def _lacking(self) -> Iterator[str]:
        if self.unplaced:
            yield f"{self.unplaced:,} whose {self.by} is not known"
        if CROSS not in self.by:  # of intersections there are many
            yield from (
                f"{size.left_out:,} of {size.group}" for size in self.sizes if size.left_out
            )
        elif lost := sum(size.left_out for size in self.sizes):
            yield f"{lost:,} of known groups"


def _first_of(named: list[str]) -> str:
    more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more


def coverages(dataset: Dataset) -> list[Coverage]:
    """Returns the coverage of each sensitive feature, of each pair, and of all of them together."""
    features = dataset.sensitive_features
    sizes = sorted({size for size in (1, 2, len(features)) if 0 < size <= len(features)})
    return [coverage(dataset, by) for size in sizes for by in combinations(features, size)]


def coverage(dataset: Dataset, by: tuple[str, ...]) -> Coverage:
    """Returns the sizes of the groups of a sensitive feature or intersection.

    Raises:
        DatasetError: the dataset has no such sensitive feature.
    """
    groups = dataset.groups(by)
    n = dataset.n
    left_out = groups.left_out or (0,) * len(groups.names)
    sizes = tuple(
        GroupSize(name, size, size / n, lost)
        for name, size, lost in zip(groups.names, groups.sizes.tolist(), left_out, strict=True)
    )
    known = prod(len({*dataset.orders.get(name, ()), *dataset.values(name)}) for name in by)
    empty = known - sum(size.n > 0 for size in sizes)
    return Coverage(groups.by, sizes, empty, groups.unplaced)


def _count_of_groups(count: int) -> str:
    """Returns a number of groups as a warning of `Coverage` begins with it."""
    return f"{counted(count, 'group')} {agreeing(count, 'has', 'have')}"
