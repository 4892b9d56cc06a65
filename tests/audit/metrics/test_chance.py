"""Chance by tables of distinct rows draws what permuting and swapping images one by one draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.datasets.groups import Groups, Marks, overall_group
from audit.metrics.chance import Chances, Counted, GroupChance, Key, SwapChance
from audit.metrics.shift import shift_table
from audit.statistics.random_tables import Partition, RandomTables
from audit.statistics.significance import independence_p, mcnemar_p

#: Both ways draw so many tables; two shares differ by less than ERROR.
DRAWS, ERROR = 8000, 0.035


@dataclass(frozen=True)
class Drawn:
    """Images in groups, and the things that count them, some of which overlap."""

    groups: list[Groups]
    counted: dict[Key, Counted]

    def table(self) -> pd.DataFrame:
        """Returns a row for each group and thing, against all others and against the next group."""
        rows = [
            (*key, part.by, name, comparison, reference)
            for key in self.counted
            for part in self.groups
            for i, name in enumerate(part.names)
            for comparison, reference in (
                ("to_overall", "overall"),
                ("between_groups", part.names[i - 1]),
            )
        ]
        names = ["policy", "metric", "by", "group", "comparison", "reference"]
        return pd.DataFrame(rows, columns=names)


def _drawn(n: int, seed: int, shares: tuple[float, ...]) -> Drawn:
    rng = np.random.default_rng(seed)
    race, age = rng.choice(3, n, p=[0.6, 0.3, 0.1]), rng.integers(0, 2, n)
    groups = [
        Groups("race", ("a", "b", "c"), race),
        Groups("age", ("y", "o"), age),
        Groups("race × age", tuple("uvwxyz"), race * 2 + age),
    ]
    flags = rng.random(n) < shares[0]
    known = rng.random(n) < 0.7
    everything = np.ones(n, bool)
    counted: dict[Key, Counted] = {("p", "flags"): Counted(flags, everything)}
    for i, share in enumerate(shares[1:]):
        counted["p", f"category {i}"] = Counted(flags & (rng.random(n) < share), everything)
    counted["p", "errors"] = Counted(flags & known, known)
    return Drawn(groups, counted)


def _permuted(drawn: Drawn, draws: int) -> Chances:
    """Returns (draws, rows) p where images are given the groups of others, one by one."""
    parts = {part.by: part for part in drawn.groups}
    chances = []
    for row in drawn.table().itertuples(index=False):
        policy, metric, by, group, comparison, reference = map(str, row)
        thing, part = drawn.counted[policy, metric], parts[by]
        images = np.flatnonzero(thing.possible)
        rng = np.random.default_rng(4)  # all things of the same images see the same permutations
        permuted = part.codes[rng.permuted(np.tile(images, (draws, 1)), axis=1)]
        one = permuted == part.names.index(group)
        two = permuted == part.names.index(reference) if comparison == "between_groups" else ~one
        hits = thing.hits[images].astype(int)
        chances.append(independence_p(one @ hits, one.sum(axis=1), two @ hits, two.sum(axis=1)))
    return np.nan_to_num(np.stack(chances, axis=1), nan=1.0).astype(np.float32)


def _alike(one: Chances, other: Chances) -> None:
    """Asserts that p are distributed alike: of each row, and the smallest of all rows together."""
    for at in (0.001, 0.01, 0.05, 0.2, 0.5, 0.9):
        shares = [(p <= at).mean(axis=0) for p in (one, other)]
        assert shares[0] == pytest.approx(shares[1], abs=ERROR)
    smallest = [np.sort(p.min(axis=1)) for p in (one, other)]
    for at in smallest[0][[len(one) // 20, len(one) // 5, len(one) // 2]]:
        shares_of_least = [(p <= at).mean() for p in smallest]
        assert shares_of_least[0] == pytest.approx(shares_of_least[1], abs=ERROR)


@pytest.mark.parametrize(("n", "shares"), [(60, (0.4, 0.5, 0.2)), (400, (0.1, 0.5, 0.9))])
def test_tables_are_drawn_as_if_images_were_permuted_one_by_one(n: int, shares: Any) -> None:
    drawn = _drawn(n, 1, shares)
    found = GroupChance(drawn.counted, drawn.groups)(drawn.table(), DRAWS)
    _alike(found, _permuted(drawn, DRAWS))


def _counts(tables: RandomTables, draws: int) -> list[npt.NDArray[np.float64]]:
    blocks = list(tables.drawn(draws, seed=3))
    return [np.concatenate(part) for part in zip(*blocks, strict=True)]


#: Patterns that all draw their kinds in one go, none that does, and both kinds of patterns.
MARGINS = {
    "frequent": ([500, 300, 200], [600, 250, 150]),
    "rare": ([5, 3, 9, 4], [6, 9, 5, 1]),
    "both": ([500, 300, 214], [600, 380, 20, 9, 5]),
}


@pytest.mark.parametrize("margins", MARGINS)
def test_random_tables_keep_their_margins_and_have_hypergeometric_moments(margins: str) -> None:
    kinds, patterns = (np.array(each) for each in MARGINS[margins])
    each_kind = Partition(np.arange(len(kinds)), len(kinds))
    halves = Partition(np.arange(len(kinds)) % 2, 2)
    things = np.eye(len(patterns), dtype=bool)
    tables = RandomTables(kinds, patterns, things, [halves, each_kind])
    of_halves, cells = _counts(tables, DRAWS)
    assert (cells.sum(axis=1) == patterns).all()
    assert (cells.sum(axis=2) == kinds).all()
    assert (of_halves[:, 0] == cells[:, ::2].sum(axis=1)).all()
    n = kinds.sum()
    mean = np.outer(kinds, patterns) / n
    assert cells.mean(axis=0) == pytest.approx(mean, rel=0.02, abs=0.05)
    spread = mean * np.outer(n - kinds, n - patterns) / n / (n - 1)
    assert cells.var(axis=0) == pytest.approx(spread, rel=0.1)
    apart = np.cov(cells[:, 0, 0], cells[:, 1, 1])[0, 1]  # of two cells without a common margin
    assert apart == pytest.approx(mean[0, 0] * mean[1, 1] / (n - 1), rel=0.25)


def test_what_several_things_count_is_summed_over_patterns() -> None:
    things = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], bool)
    kinds, patterns = np.array([40, 20]), np.array([30, 14, 9, 7])
    part = Partition(np.array([0, 1]), 2)
    [counts] = _counts(RandomTables(kinds, patterns, things, [part]), 500)
    assert (counts.sum(axis=1) == [23, 16]).all()
    correlation = np.corrcoef(counts[:, 0, 0], counts[:, 0, 1])[0, 1]
    expected = (9 / 60 - 23 * 16 / 3600) / np.sqrt(23 * 37 * 16 * 44) * 3600
    assert correlation == pytest.approx(expected, abs=0.12)


def test_where_nothing_can_count_nothing_differs() -> None:
    part = Groups("race", ("a", "b"), np.array([0, 1]))
    nothing = np.zeros(2, bool)
    drawn = Drawn([part], {("p", "flags"): Counted(nothing, nothing)})
    assert (GroupChance(drawn.counted, [part])(drawn.table(), 9) == 1).all()
    shifts = shift_table({"flags": (nothing, nothing)}, [part])
    assert (SwapChance({("flags",): (nothing, nothing)}, [part])(shifts, 9) == 1).all()


def test_a_table_of_ten_million_images_costs_no_more_than_its_cells() -> None:
    kinds, patterns = np.array([6_000_000, 4_000_000]), np.array([9_990_000, 9_999, 1])
    part = Partition(np.array([0, 1]), 2)
    [counts] = _counts(RandomTables(kinds, patterns, np.eye(3, dtype=bool), [part]), 999)
    assert (counts.sum(axis=1) == patterns).all()
    assert counts[:, 0, 1].mean() == pytest.approx(5999.4, abs=6)
    assert counts[:, 0, 2].mean() == pytest.approx(0.6, abs=0.06)


def _swapped(before: Marks, after: Marks, part: Groups, draws: int) -> Chances:
    """Returns (draws, groups) p where each image is swapped by a coin of its own."""
    rng = np.random.default_rng(2)
    turned = rng.integers(0, 2, (draws, len(before))).astype(bool)
    ones, twos = np.where(turned, after, before), np.where(turned, before, after)
    found = []
    for code in range(len(part.names)):
        own = part.codes == code
        entered, left = (a[:, own] & ~b[:, own] for a, b in ((twos, ones), (ones, twos)))
        found.append(mcnemar_p(entered.sum(axis=1), left.sum(axis=1)))
    return np.stack(found, axis=1).astype(np.float32)


def test_cells_are_swapped_as_their_images_would_be_one_by_one() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random((2, 300)) < 0.3
    part = Groups("race", ("a", "b", "c"), rng.choice(3, 300, p=[0.7, 0.2, 0.1]))
    changes: dict[Key, tuple[Marks, Marks]] = {("flags",): (before, after)}
    table = shift_table({"flags": (before, after)}, [part])
    found = SwapChance(changes, [part])(table, DRAWS)
    _alike(found, _swapped(before, after, part, DRAWS))


@st.composite
def rows_and_weights(draw: st.DrawFn) -> tuple[Drawn, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, most = draw(st.integers(2, 40)), draw(st.sampled_from([1, 4, 300]))
    drawn = _drawn(n, int(rng.integers(1 << 30)), (0.5, 0.6))
    return drawn, rng.integers(1, most + 1, n)


@given(rows_and_weights())
@settings(max_examples=30, deadline=None)
def test_rows_of_one_image_and_rows_of_several_have_the_same_chance(
    given_: tuple[Drawn, npt.NDArray[np.int64]],
) -> None:
    drawn, weights = given_
    order = np.random.default_rng(0).permutation(int(weights.sum()))
    rows = np.repeat(np.arange(len(weights)), weights)[order]
    weighted = [Groups(g.by, g.names, g.codes, weights=weights) for g in drawn.groups]
    alone = [Groups(g.by, g.names, g.codes[rows]) for g in drawn.groups]
    counted = {key: Counted(*(each[rows] for each in of)) for key, of in drawn.counted.items()}
    table = drawn.table()
    one = GroupChance(drawn.counted, weighted)(table, 99)
    assert (one == GroupChance(counted, alone)(table, 99)).all()
    before, after = (drawn.counted["p", name].hits for name in ("flags", "category 0"))
    changes: dict[Key, tuple[Marks, Marks]] = {("x",): (before, after)}
    of_rows: dict[Key, tuple[Marks, Marks]] = {("x",): (before[rows], after[rows])}
    weighted.append(overall_group(len(weights), weights=weights))
    alone.append(overall_group(len(rows)))
    shifts = shift_table({"x": (before, after)}, weighted)
    pd.testing.assert_frame_equal(shifts, shift_table({"x": (before[rows], after[rows])}, alone))
    assert (
        SwapChance(changes, weighted)(shifts, 99) == SwapChance(of_rows, alone)(shifts, 99)
    ).all()
