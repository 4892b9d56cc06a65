"""Tables that chance makes of counts: who is in which group has nothing to do with what counts.

Items are of r kinds, such as the groups that an image is in, and have c patterns, such as the
metrics that count it. Giving the kinds to the items at random makes a table of kinds by patterns
whose margins stay as they are, and it need not be done item by item. A pattern that many items have
draws its kinds in one go, a multivariate hypergeometric number of each; the items of rarer patterns
then share at random the kinds that are left. So the cost grows with patterns times kinds or with
the items, whichever are fewer.

Source: Patefield 1981, Applied Statistics 30:91, where a column is drawn after the other as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.intp]
Float64s = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.floating)

#: A hypergeometric number takes about as long as it takes to shuffle and count so many items.
_SHUFFLED_MEANWHILE = 12

#: About how many ns it takes to count a hit, an item, and a product of a matrix.
_HIT, _ITEM, _PRODUCT = 12, 5, 0.1

#: The place of the partition in which each kind is a group.
_FINEST = -1

#: About so many numbers are held at once; draws are made in as many turns as that needs.
_AT_ONCE = 2_000_000


class Partition(NamedTuple):
    """(r,) the group that each kind is in, out of so many."""

    codes: Codes
    groups: int

    def of_groups(self, finer: Partition) -> Partition:
        """Returns the partition with the groups of a finer one as its kinds."""
        codes = np.zeros(finer.groups, np.intp)
        codes[finer.codes] = self.codes
        return Partition(codes, self.groups)

    def refines(self, coarser: Partition) -> bool:
        """Whether kinds that are in one group of it are in one group of a coarser partition."""
        return bool((coarser.of_groups(self).codes[self.codes] == coarser.codes).all())

    def sums(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Returns (..., groups, m) sums of (..., r, m) values."""
        members = np.zeros((self.groups, len(self.codes)), values.dtype)
        members[self.codes, np.arange(len(self.codes))] = 1.0
        return np.asarray(members @ values)


@dataclass(frozen=True)
class RandomTables:
    """All tables of kinds by patterns with these margins, each as likely as it is by chance.

    Attributes:
        kinds: (r,) how many items are of each kind.
        patterns: (c,) how many items have each pattern.
        counted: (c, m) which of m things count the items of a pattern.
        partitions: groups of the kinds.
    """

    kinds: Counts
    patterns: Counts
    counted: npt.NDArray[np.bool_]
    partitions: Sequence[Partition]

    def drawn(self, draws: int, seed: int) -> Iterator[list[Float64s]]:
        """Yields the (some draws, g, m) counts of each partition, until all are drawn."""
        generator = np.random.default_rng(seed)
        taken_at_once = _AT_ONCE // (1 + len(self.kinds) * (1 + len(self._frequent)))
        counted_at_once = max(1, _AT_ONCE // (1 + self._held))
        for some in _blocks(draws, max(1, taken_at_once)):
            left = np.tile(self.kinds, (len(some), 1))
            taken = [_take_kinds(generator, left, size) for size in self._frequent]
            for few in _blocks(len(some), counted_at_once):
                now = slice(few.start, few.stop)
                items = _shuffled(generator, left[now])
                yield self._counts([kinds[now] for kinds in taken], items)

    @cached_property
    def _order(self) -> Codes:
        """(c,) the patterns, the most frequent first."""
        return np.argsort(-self.patterns, kind="stable")

    @cached_property
    def _frequent(self) -> list[int]:
        """How many items have each of the patterns that draw their kinds in one go."""
        sizes = self.patterns[self._order]
        frequent: list[int] = sizes[sizes >= _SHUFFLED_MEANWHILE * len(self.kinds)].tolist()
        return frequent

    @cached_property
    def _rare(self) -> Codes:
        """The patterns whose items are shuffled."""
        return self._order[len(self._frequent) :]

    @cached_property
    def _patterns_of_items(self) -> Codes:
        """The rare pattern that each item has, as its place among them."""
        return np.repeat(np.arange(len(self._rare)), self.patterns[self._rare])

    @cached_property
    def _hits(self) -> _Hits:
        """What counts the items of rare patterns."""
        return _Hits(*np.nonzero(self.counted[self._rare][self._patterns_of_items]))

    @property
    def _held(self) -> int:
        """About how many numbers are held at once for a draw."""
        groups = [step.part.groups for step in self._steps]
        counts = sum(groups) * self.counted.shape[1]
        by_hits = [self._costs(step.part) for step in self._steps if step.finer is None]
        most = max((min(each) for each in by_hits), default=0)
        return int(len(self._patterns_of_items) + counts + most / _ITEM)

    def _costs(self, part: Partition) -> tuple[float, float]:
        """Returns about how many ns it takes to count a partition by hits, and by patterns."""
        of_rare, m = self.patterns[self._rare], self.counted.shape[1]
        hits = int((of_rare * self.counted[self._rare].sum(axis=1)).sum())
        cells = part.groups * len(of_rare)
        return _HIT * hits, _ITEM * int(of_rare.sum()) + cells * (1 + _PRODUCT * m)

    @cached_property
    def _steps(self) -> list[_Step]:
        """How to count the groups of each partition: from the items, or from a finer partition."""
        finest = Partition(np.arange(len(self.kinds)), len(self.kinds))
        steps = [_Step(_FINEST, finest)]
        for place in sorted(range(len(self.partitions)), key=lambda i: -self.partitions[i].groups):
            part = self.partitions[place]
            finer = (step for step in reversed(steps) if self._is_summed(step.part, part))
            steps.append(_Step(place, part, next(finer, None)))
        is_used = any(step.finer is steps[0] for step in steps)
        return steps if is_used else steps[1:]

    def _is_summed(self, finer: Partition, part: Partition) -> bool:
        """Whether a partition is quicker to sum from another one than to count from the items."""
        summed = _PRODUCT * finer.groups * part.groups * self.counted.shape[1]
        return summed <= min(self._costs(part)) and finer.refines(part)

    def _counts(self, taken: list[Counts], items: Codes) -> list[Float64s]:
        """Returns (draws, g, m) counts of each partition, of the kinds of all items."""
        found: dict[int, Float64s] = {}
        for step in self._steps:
            if step.finer is None:
                found[step.place] = self._counted(step.part, taken, items)
            else:
                groups = step.part.of_groups(step.finer.part)
                found[step.place] = groups.sums(found[step.finer.place])
        return [found[place] for place in range(len(self.partitions))]

    def _counted(self, part: Partition, taken: list[Counts], items: Codes) -> Float64s:
        by_hits, by_patterns = self._costs(part)
        count = self._counted_by_hits if by_hits < by_patterns else self._counted_by_patterns
        counts = count(part, items)
        if taken:
            frequent = np.stack(taken, axis=2).astype(np.float64)
            counts += part.sums(frequent) @ self.counted[self._order[: len(taken)]]
        return counts

    def _counted_by_hits(self, part: Partition, items: Codes) -> Float64s:
        groups = part.codes[items[:, self._hits.items]]
        return _counted_pairs(groups, part.groups, self._hits.counted, self.counted.shape[1])

    def _counted_by_patterns(self, part: Partition, items: Codes) -> Float64s:
        codes, rare = self._patterns_of_items, len(self._rare)
        counted = self.counted[self._rare].astype(np.float64)
        return np.asarray(_counted_pairs(part.codes[items], part.groups, codes, rare) @ counted)


class _Hits(NamedTuple):
    """The number of an item of a rare pattern, and of a thing that counts it, for all of these."""

    items: Codes
    counted: Codes


class _Step(NamedTuple):
    """A partition by its place, and the finer one that it is summed from, if any."""

    place: int
    part: Partition
    finer: _Step | None = None


def _counted_pairs(groups: Codes, g: int, things: Codes, m: int) -> Float64s:
    """Returns (draws, g, m) how often (draws, n) groups and (n,) things stand beside each other."""
    draws = np.arange(len(groups))[:, np.newaxis]
    cells = (draws * g + groups) * m + things
    counts = np.bincount(cells.ravel(), minlength=len(groups) * g * m)
    return counts.reshape(len(groups), g, m).astype(np.float64)


def _blocks(n: int, at_once: int) -> Iterator[range]:
    """Yields so many of n numbers at once."""
    yield from (range(start, min(start + at_once, n)) for start in range(0, n, at_once))


def _take_kinds(generator: np.random.Generator, left: Counts, size: int) -> Counts:
    """Returns the (draws, r) kinds of so many items, taken out of the (draws, r) that are left."""
    taken = np.empty_like(left)
    rest, wanted = left.sum(axis=1), np.full(len(left), size)
    for kind, there in enumerate(left.T):
        rest = rest - there
        taken[:, kind] = generator.hypergeometric(there, rest, wanted)
        wanted = wanted - taken[:, kind]
    left -= taken
    return taken


def _shuffled(generator: np.random.Generator, left: Counts) -> Codes:
    """Returns (draws, items) kinds in random order, of which (draws, r) are left."""
    kinds = np.arange(left.shape[1])
    items = np.stack([np.repeat(kinds, sizes) for sizes in left])
    for row in items:
        generator.shuffle(row)
    return items
