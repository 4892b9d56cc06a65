"""What p-values a report would have by chance alone: from tables in which nothing differs.

Where groups are compared, each draw gives the groups of images to other images at random, all
sensitive features of an image together. Where two label sets are compared on the same images, it
swaps for each image at random which of the two is called the first. So counts keep the margins and
the dependence that they have: one image has a race and a gender, and flags overlap with categories.

Images that are alike in all of this are drawn together, by how many they are, so the cost does not
grow with them; and which rows they have, and in what order, changes nothing.

Shapes: n rows, g groups, m things that are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.coded_values import crossed_codes
from audit.datasets.groups import Groups, Marks
from audit.statistics.random_swaps import RandomSwaps
from audit.statistics.random_tables import Partition, RandomTables
from audit.statistics.significance import independence_p, mcnemar_p

Chances = npt.NDArray[np.float32]
Codes = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]
Key = tuple[str, ...]

#: The seed of all draws; it never changes, so that a report does not depend on luck.
_SEED = 0

#: How many tables are drawn for a report.
DRAWS = 999

#: So many p-values are found at once.
_AT_ONCE = 2_000_000


#: Two counts in one number: there are fewer than 10**9 images.
_HALF = 32


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
    """(n,) rows that count, and (n,) rows that could."""

    hits: Marks
    possible: Marks


class _AskedRows(NamedTuple):
    """Rows of a table of hypotheses, each of which compares two groups in what is counted.

    Attributes:
        rows: their numbers in the table.
        things: (rows,) which thing that is counted.
        parts: (rows,) which partition.
        one: (rows,) which of its groups.
        two: (rows,) the group that it is compared with, or -1 for all other images.
    """

    rows: Codes
    things: Codes
    parts: Codes
    one: Codes
    two: Codes

    def sizes(self, tables: RandomTables) -> Counts:
        """Returns (2, rows) how many images there are of both groups."""
        kinds = tables.kinds.astype(np.float64)[:, np.newaxis]
        groups = [part.sums(kinds)[:, 0].astype(np.int64) for part in tables.partitions]
        pairs = [
            (
                groups[part][one],
                groups[part][two] if two >= 0 else tables.kinds.sum() - groups[part][one],
            )
            for part, one, two in zip(self.parts, self.one, self.two, strict=True)
        ]
        return np.array(pairs, np.int64).reshape(-1, 2).T

    def of(self, chosen: Marks) -> _AskedRows:
        """Returns some of the rows."""
        return _AskedRows(*(each[chosen] for each in self))


@dataclass(frozen=True)
class GroupChance:
    """Chance where group has nothing to do with what counts.

    Attributes:
        counted: what is counted, by the values of the columns `keys` of a table.
        groups: partitions of the n rows.
        keys: the columns of a table that name what is counted.
    """

    counted: Mapping[Key, Counted]
    groups: Sequence[Groups]
    keys: tuple[str, ...] = ("policy", "metric")

    def __call__(self, table: pd.DataFrame, draws: int, /) -> Chances:
        """Returns (draws, rows) p of each group against its reference, in tables drawn."""
        chances = np.ones((draws, len(table)), np.float32)
        kinds, first = crossed_codes([part.codes for part in self.groups])
        of_kinds = [part.codes[first] for part in self.groups]
        things = {key: i for i, key in enumerate(self.counted)}
        asked = self._asked(table, things)
        for same in self._populations():
            own = asked.of(np.isin(asked.things, [things[key] for key in same]))
            if len(own.rows):
                own = own._replace(
                    things=np.searchsorted([things[key] for key in same], own.things)
                )
                tables = self._tables(same, kinds, of_kinds)
                chances[:, own.rows] = _drawn_p(tables, own, draws)
        return chances

    def _asked(self, table: pd.DataFrame, things: Mapping[Key, int]) -> _AskedRows:
        places = _group_places(self.groups)
        columns = table[[*self.keys, "by", "group"]].assign(other=None)
        if "comparison" in table:  # a group can be called as the whole is
            is_pair = table["comparison"] == "between_groups"
            columns["other"] = table["reference"].where(is_pair, None)
        found = [
            (row, things[tuple(key)], *places[by, group], places.get((by, other), (-1, -1))[1])
            for row, (*key, by, group, other) in enumerate(columns.itertuples(index=False))
        ]
        return _AskedRows(*np.array(found, np.intp).reshape(-1, len(_AskedRows._fields)).T)

    def _populations(self) -> Iterator[list[Key]]:
        """Yields what is counted of the same images, in its order."""
        found: dict[bytes, list[Key]] = {}
        for key, counted in self.counted.items():
            found.setdefault(np.packbits(counted.possible).tobytes(), []).append(key)
        yield from found.values()

    def _tables(self, keys: Sequence[Key], kinds: Codes, of_kinds: Sequence[Codes]) -> RandomTables:
        """Returns the tables of what is counted of the same images."""
        possible = self.counted[keys[0]].possible
        hits = np.stack([self.counted[key].hits[possible] for key in keys], axis=1)
        patterns, first = _pattern_codes(hits)
        totals = self.groups[0].sums
        of_kind = totals(kinds[possible], int(kinds.max(initial=0)) + 1, possible)
        there = np.flatnonzero(of_kind)
        return RandomTables(
            of_kind[there],
            totals(patterns, len(first), possible),
            hits[first],
            [
                Partition(codes[there], len(part.names))
                for part, codes in zip(self.groups, of_kinds, strict=True)
            ],
        )


def _drawn_p(tables: RandomTables, asked: _AskedRows, draws: int) -> Chances:
    """Returns (draws, rows) p of what is asked, in tables drawn."""
    hits, n = _drawn_hits(tables, asked, draws), asked.sizes(tables)
    chances = np.empty((draws, len(asked.rows)), np.float32)
    at_once = max(1, _AT_ONCE // draws)
    for start in range(0, len(asked.rows), at_once):
        rows = range(start, min(start + at_once, len(asked.rows)))
        # Most draws have the counts of another one.
        seen = [np.unique(hits[row], return_inverse=True) for row in rows]
        both = np.concatenate([values for values, _ in seen])
        ends = np.cumsum([len(values) for values, _ in seen])
        each = np.repeat(rows, np.diff(ends, prepend=0))
        p = independence_p(both >> _HALF, n[0, each], both & (2**_HALF - 1), n[1, each])
        p[np.isnan(p)] = 1.0  # nothing tells a group from no image
        for row, own, (_, place) in zip(rows, np.split(p, ends[:-1]), seen, strict=True):
            chances[:, row] = own[place]
    return chances


def _drawn_hits(tables: RandomTables, asked: _AskedRows, draws: int) -> Counts:
    """Returns (rows, draws) hits of both groups that each row compares, in one number."""
    totals = tables.patterns @ tables.counted
    hits = np.empty((len(asked.rows), draws), np.int64)
    done = 0
    for counts in tables.drawn(draws, _SEED):
        now = slice(done, done + len(counts[0]))
        for part, drawn in enumerate(counts):
            mine = np.flatnonzero(asked.parts == part)
            things, two = asked.things[mine], asked.two[mine]
            own = drawn[:, asked.one[mine], things].astype(np.int64)
            # Without another group, it is compared with the rest of all images.
            other = np.where(two < 0, totals[things] - own, drawn[:, two, things])
            hits[mine, now] = (own << _HALF | other.astype(np.int64)).T
        done = now.stop
    return hits


def _group_places(groups: Sequence[Groups]) -> dict[tuple[str, str], tuple[int, int]]:
    """Returns which partition and which of its groups each name is."""
    return {
        (part.by, name): (i, j)
        for i, part in enumerate(groups)
        for j, name in enumerate(part.names)
    }


def _pattern_codes(marks: Marks) -> tuple[Codes, Codes]:
    """Returns (n,) which pattern each of (n, m) marks is, and the first row of each pattern."""
    packed = np.packbits(marks, axis=1)
    return crossed_codes([column.astype(np.int64) for column in packed.T])


@dataclass(frozen=True)
class SwapChance:
    """Chance where two label sets do not differ in what they count of the same images.

    Attributes:
        changes: the (n,) rows that each counts, before and after, by the columns `keys`.
        groups: partitions of the n rows.
        keys: the columns of a table that name what is counted.
    """

    changes: Mapping[Key, tuple[Marks, Marks]]
    groups: Sequence[Groups]
    keys: tuple[str, ...] = ("metric",)

    def __call__(self, table: pd.DataFrame, draws: int, /) -> Chances:
        """Returns (draws, rows) p of each group's change, in tables drawn."""
        nets = self._drawn_nets(table, draws)
        changes = (table["entered"] + table["left"]).tolist()
        chances = np.empty(nets.shape, np.float32)
        for row, changed in enumerate(changes):
            fewer = (changed - np.abs(nets[:, row])) // 2
            few = np.arange(fewer.min(initial=changed // 2), changed // 2 + 1)
            chances[:, row] = mcnemar_p(few, changed - few)[fewer - few[0]]
        return chances

    def _drawn_nets(self, table: pd.DataFrame, draws: int) -> Counts:
        """Returns (draws, rows) how many more images enter than leave, of each row of a table."""
        columns = {key: m for m, key in enumerate(self.changes)}
        asked = zip(*(table[key] for key in self.keys), strict=True)
        things = np.array([columns[key] for key in asked], np.intp)
        places = _group_places(self.groups)
        groups = zip(table["by"], table["group"], strict=True)
        parts, codes = np.array([places[key] for key in groups], np.intp).reshape(-1, 2).T
        nets, done = np.empty((draws, len(table)), np.int64), 0
        for drawn in self._swaps().drawn(draws, _SEED):
            now = slice(done, done + len(drawn[0]))
            for part, counts in enumerate(drawn):
                mine = np.flatnonzero(parts == part)
                nets[now, mine] = np.rint(counts[:, codes[mine], things[mine]])
            done = now.stop
        return nets

    def _swaps(self) -> RandomSwaps:
        """Returns the images that change, those that are alike together."""
        changes = [after.astype(np.int8) - before for before, after in self.changes.values()]
        turns = np.stack(changes, axis=1)
        turned = np.asarray(turns.any(axis=1))
        turns = turns[turned]
        members = [part.codes[turned] for part in self.groups]
        kinds, of_kinds = crossed_codes(members)
        patterns = [_pattern_codes(turns > 0)[0], _pattern_codes(turns < 0)[0]]
        codes, first = crossed_codes([kinds, *patterns])
        return RandomSwaps(
            self.groups[0].sums(codes, len(first), turned),
            turns[first],
            kinds[first],
            [
                Partition(own[of_kinds], len(part.names))
                for part, own in zip(self.groups, members, strict=True)
            ],
        )
