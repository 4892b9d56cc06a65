"""What p-values a report would have by chance alone: from tables in which nothing differs.

Where groups are compared, each draw gives the groups of images to other images at random, all
sensitive features of an image together. Where two label sets are compared on the same images, it
swaps for each image at random which of the two is called the first. So counts keep the margins and
the dependence that they have: one image has a race and a gender, and flags overlap with categories.

Shapes: n images, g groups, m things that are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.dataset import Groups, Marks
from audit.statistics.significance import independence_p, mcnemar_p

Chances = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

#: The seed of all draws; it never changes, so that a report does not depend on luck.
_SEED = 0

#: Draws for a report, and the fewest for one of very many images.
_DRAWS, _FEWEST_DRAWS = 999, 199

#: About as many images are drawn for a report, over all draws.
_IMAGES_DRAWN = 100_000_000

#: Of images, times draws, so many are swapped at once.
_SWAPPED_AT_ONCE = 10_000_000


def draws_for(images: int) -> int:
    """Returns how many tables are drawn for a report on that many images."""
    return min(_DRAWS, max(_FEWEST_DRAWS, _IMAGES_DRAWN // max(1, images)))


class Chance(Protocol):
    """Draws tables in which nothing differs."""

    def __call__(self, table: pd.DataFrame, draws: int, /) -> Chances:
        """Returns (draws, rows) p of each row of a table of hypotheses, in tables drawn."""
        ...


class Hypotheses(NamedTuple):
    """A table of hypotheses, each with its `p` and `support`, and what chance makes of them."""

    table: pd.DataFrame
    chance: Chance


class Counted(NamedTuple):
    """(n,) images that count, and (n,) images that could."""

    hits: Marks
    possible: Marks


@dataclass(frozen=True)
class GroupChance:
    """Chance where group has nothing to do with what counts.

    Attributes:
        counted: what is counted, by the values of the columns `keys` of a table.
        groups: partitions of the n images.
        keys: the columns of a table that name what is counted.
    """

    counted: Mapping[tuple[str, ...], Counted]
    groups: Sequence[Groups]
    keys: tuple[str, ...] = ("policy", "metric")

    def __call__(self, table: pd.DataFrame, draws: int, /) -> Chances:
        """Returns (draws, rows) p of each group against its reference, in tables drawn."""
        counts = self._drawn_counts(draws)
        places = {(part.by, name): i for part in self.groups for i, name in enumerate(part.names)}
        chances = np.ones((draws, len(table)), np.float32)
        columns = table[[*self.keys, "by", "group"]].assign(other=None)
        if "comparison" in table:  # a group can be called as the whole is
            is_pair = table["comparison"] == "between_groups"
            columns["other"] = table["reference"].where(is_pair, None)
        for row, (*key, by, group, other) in enumerate(columns.itertuples(index=False)):
            drawn, sizes = counts[tuple(key), by]
            one = places[by, group]
            hits, n = drawn[:, one], sizes[one]
            # Without another group, it is compared with the rest of all images.
            two = places.get((by, other))
            rest = drawn.sum(axis=1) - hits if two is None else drawn[:, two]
            rest_n = sizes.sum() - n if two is None else sizes[two]
            if n and rest_n:  # otherwise p is 1: nothing tells a group from no image
                chances[:, row] = independence_p(hits, n, rest, rest_n)
        return chances

    def _drawn_counts(self, draws: int) -> dict[tuple[tuple[str, ...], str], tuple[Counts, Counts]]:
        """Returns the (draws, g) counts and (g,) sizes of each thing counted, and partition."""
        populations: dict[bytes, list[tuple[str, ...]]] = {}
        for key, counted in self.counted.items():
            populations.setdefault(np.packbits(counted.possible).tobytes(), []).append(key)
        found: dict[tuple[tuple[str, ...], str], tuple[Counts, Counts]] = {}
        for keys in populations.values():
            possible = self.counted[keys[0]].possible
            hits = np.stack([self.counted[key].hits[possible] for key in keys], axis=1)
            codes = [part.codes[possible] for part in self.groups]
            order = _own_order(codes, hits)
            codes, hits = [own[order] for own in codes], hits[order]
            drawn = _permuted_counts(codes, [len(part.names) for part in self.groups], hits, draws)
            for part, own, counts in zip(self.groups, codes, drawn, strict=True):
                sizes = np.bincount(own, minlength=len(part.names))
                found |= {(key, part.by): (counts[..., m], sizes) for m, key in enumerate(keys)}
        return found


def _permuted_counts(
    partitions: Sequence[npt.NDArray[np.intp]], sizes: Sequence[int], hits: Marks, draws: int
) -> list[Counts]:
    """Returns (draws, g, m) counts of (n, m) hits for each partition into g groups, permuted.

    All partitions are permuted alike, so that the features of an image stay together.
    """
    generator = np.random.default_rng(_SEED)
    (n, m), (rows, columns) = hits.shape, np.nonzero(hits)
    counts = [np.empty((draws, g, m), np.int64) for g in sizes]
    for draw in range(draws):
        places = generator.permutation(n)[rows]
        for codes, g, into in zip(partitions, sizes, counts, strict=True):
            flat = np.bincount(codes[places] * m + columns, minlength=g * m)
            into[draw] = flat.reshape(g, m)
    return counts


def _own_order(partitions: Sequence[npt.NDArray[np.intp]], *marks: Marks) -> npt.NDArray[np.intp]:
    """Returns (n,) an order of images by their groups and (n, m) marks.

    Images that are alike in these can take each other's place, so whatever order the dataset has,
    the same tables are drawn.
    """
    packed = np.concatenate([np.packbits(each, axis=1) for each in marks], axis=1)
    return np.lexsort([*partitions, *packed.T])


@dataclass(frozen=True)
class SwapChance:
    """Chance where two label sets do not differ in what they count of the same images.

    Attributes:
        changes: the (n,) images that each counts, before and after, by the columns `keys`.
        groups: partitions of the n images.
        keys: the columns of a table that name what is counted.
    """

    changes: Mapping[tuple[str, ...], tuple[Marks, Marks]]
    groups: Sequence[Groups]
    keys: tuple[str, ...] = ("metric",)

    def __call__(self, table: pd.DataFrame, draws: int, /) -> Chances:
        """Returns (draws, rows) p of each group's change, in tables drawn."""
        places = {(part.by, name): i for part in self.groups for i, name in enumerate(part.names)}
        columns = {key: m for m, key in enumerate(self.changes)}
        nets = self._drawn_nets(draws)
        chances = np.ones((draws, len(table)), np.float32)
        changes = (table["entered"] + table["left"]).to_numpy()
        names = table[[*self.keys, "by", "group"]]
        for row, (*key, by, group) in enumerate(names.itertuples(index=False)):
            net = nets[by][:, places[by, group], columns[tuple(key)]]
            changed = changes[row]
            chances[:, row] = mcnemar_p((changed + net) // 2, (changed - net) // 2)
        return chances

    def _drawn_nets(self, draws: int) -> dict[str, Counts]:
        """Returns (draws, g, m) how many more images enter than leave, by partition."""
        changes = [after.astype(np.int8) - before for before, after in self.changes.values()]
        turns = np.stack(changes, axis=1).astype(np.float32)
        rows = np.flatnonzero(turns.any(axis=1))
        members = [part.codes[rows] for part in self.groups]
        order = _own_order(members, turns[rows] > 0, turns[rows] < 0)
        turns, members = turns[rows[order]], [codes[order] for codes in members]
        nets = {
            part.by: np.empty((draws, len(part.names), turns.shape[1]), np.int64)
            for part in self.groups
        }
        generator = np.random.default_rng(_SEED)
        at_once = max(1, _SWAPPED_AT_ONCE // max(1, len(rows)))
        for start in range(0, draws, at_once):
            end = min(draws, start + at_once)
            signs = generator.integers(0, 2, (end - start, len(rows))).astype(np.float32) * 2 - 1
            for part, codes in zip(self.groups, members, strict=True):
                for code in range(len(part.names)):
                    mine = codes == code
                    nets[part.by][start:end, code] = np.rint(signs[:, mine] @ turns[mine])
        return nets
