"""How wrong annotations would have to be before what is claimed of a group no longer is.

All from counts: a claim is a group's k of n against k of n of all others. Where the group of an
image is annotated wrongly, the image moves from one side to the other. Where its truth is, it is
taken out of an error rate, or into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.metrics.disparity import disparity_families
from audit.metrics.rates import FALSE_POSITIVE, TRUE_POSITIVE
from audit.statistics.intervals import share, wilson
from audit.statistics.significance import independence_p

Counts = npt.NDArray[np.int64]
Noise = Literal["group", "truth"]

#: Shares of annotations that are replaced, redraws of each, and the seed, which never changes.
REPLACED, REDRAWS, _SEED = (0.05, 0.1, 0.2), 500, 0

#: Which rate has the images that leave another when their truth is flipped.
_FLIPPED = {FALSE_POSITIVE: TRUE_POSITIVE, TRUE_POSITIVE: FALSE_POSITIVE}

#: Up to this many wrong annotations are tried one by one; of more, so many at a time.
_TRIED, _GRID = 20_000, 200

#: How k and n, of a group and of the others, change with each image of a kind that is moved.
_KINDS: dict[str, tuple[int, int, int, int]] = {
    "counted_of_group": (-1, -1, 1, 1),
    "counted_of_others": (1, 1, -1, -1),
    "uncounted_of_group": (0, -1, 0, 1),
    "uncounted_of_others": (0, 1, 0, -1),
}


class GroupCounts(NamedTuple):
    """Images that count, of images that could; of each group of a sensitive feature."""

    hits: Counts
    n: Counts


class Claim(NamedTuple):
    """A group that is claimed to differ from all others, and what keeps the claim.

    Attributes:
        policy, by, metric, group: of what.
        place: of the group among those of its feature.
        counted: the images of each group.
        flipped: those that come in where their truth is flipped, if the truth of any is known.
        bar: a p up to this keeps the claim.
    """

    policy: str
    by: str
    metric: str
    group: str
    place: int
    counted: GroupCounts
    flipped: GroupCounts | None
    bar: float

    @property
    def cells(self) -> Counts:
        """(4,) k and n of the group, then of all others."""
        return _against_others(self.counted, self.place)

    def stands(self, cells: Counts) -> npt.NDArray[np.bool_]:
        """Returns (m,) whether (m, 4) other counts would keep the claim, in the same direction."""
        more, other = (_apart(each) for each in (self.cells, cells))
        p = independence_p(*cells.T)
        return np.asarray((p <= self.bar) & (np.sign(other) == np.sign(more)))


def _apart(cells: Counts) -> npt.NDArray[np.float64]:
    k, n, other_k, other_n = cells.astype(np.float64).T
    return np.asarray(k * other_n - other_k * n)


def _against_others(counted: GroupCounts, place: int) -> Counts:
    own = np.array([counted.hits[place], counted.n[place]])
    return np.concatenate([own, [counted.hits.sum(), counted.n.sum()] - own])


def claims_to_others(
    rates: pd.DataFrame, differences: pd.DataFrame, critical: float
) -> Iterator[Claim]:
    """Yields what a report claims of a group against all others.

    A claim stands while its p is below the critical one. One that was claimed although its p is not
    stands while its p does not rise: what it would need beyond that is not known.
    """
    if differences.empty:  # it has no columns where there are no groups
        return
    counted = {
        key: (
            part["group"].tolist(),
            GroupCounts(*(part[name].to_numpy() for name in ("count", "n"))),
        )
        for key, part in disparity_families(rates)
    }
    own = differences[differences["claim"] & (differences["comparison"] == "to_overall")]
    columns = own[["policy", "by", "metric", "group", "p"]].itertuples(index=False, name=None)
    for policy, by, metric, group, p in columns:
        groups, cells = counted[policy, by, metric]
        bar = max(float(np.nextafter(critical, 0)), p * (1 + 1e-9))
        flipped = _flipped_counts(counted, (policy, by, metric), groups)
        place = groups.index(group)
        yield Claim(policy, by, metric, group, place, cells, flipped, bar)


def _flipped_counts(
    counted: Mapping[tuple[str, str, str], tuple[list[str], GroupCounts]],
    key: tuple[str, str, str],
    groups: list[str],
) -> GroupCounts | None:
    """Returns the images of an error rate that those of another become if their truth is wrong."""
    *of, metric = key
    other = counted.get((of[0], of[1], _FLIPPED.get(metric, "")))
    if other is None or other[0] != groups or not other[1].n.sum():
        return None
    return other[1]


def tipping_point_table(claims: list[Claim]) -> pd.DataFrame:
    """Returns the fewest wrong annotations of one kind of images with which each claim falls."""
    rows: list[dict[str, Any]] = []
    for claim in claims:
        for noise in _noises(claim):
            kind, fewest, of = _tipping_point(claim, noise)
            row = _claim_fields(claim) | {"noise": noise, "images": kind}
            rows.append(row | {"fewest": fewest, "of": of})
    return pd.DataFrame(rows)


def _noises(claim: Claim) -> tuple[Noise, ...]:
    return ("group",) if claim.flipped is None else ("group", "truth")


def _claim_fields(claim: Claim) -> dict[str, Any]:
    names = ("count", "n", "others_count", "others_n")
    fields = {"policy": claim.policy, "by": claim.by, "metric": claim.metric, "group": claim.group}
    return fields | dict(zip(names, claim.cells.tolist(), strict=True))


def _tipping_point(claim: Claim, noise: Noise) -> tuple[str, int, int]:
    """Returns which images, how many of them at least, and how many of them there are."""
    k, n, other_k, other_n = claim.cells.tolist()
    there = dict(zip(_KINDS, (k, other_k, n - k, other_n - other_k), strict=True))
    found = ("", n + other_n + 1, 0)
    for kind, images in there.items():
        turn = np.array(_KINDS[kind])
        if noise == "truth":  # an image leaves the rate, and goes to no other group
            turn = np.minimum(turn, 0)
        if fewest := _fewest_wrong(claim, turn, min(images, found[1] - 1)):
            found = (kind, fewest, images)
    return found


def _fewest_wrong(claim: Claim, turn: Counts, most: int) -> int:
    """Returns with how many wrong annotations, up to `most`, a claim falls first; 0 if with none.

    Of very many, some are tried, and then those before the first that is enough: more of one kind
    take a claim further away.
    """
    if most <= _TRIED:
        wrong = np.arange(1, most + 1)
    else:
        wrong = np.unique(np.geomspace(1, most, _GRID).round().astype(np.int64))
    while (fallen := ~claim.stands(claim.cells + wrong[:, np.newaxis] * turn)).any():
        first = int(fallen.argmax())
        standing, enough = int(wrong[first - 1]) if first else 0, int(wrong[first])
        if enough - standing == 1:
            return enough
        tried = min(enough - standing, _GRID)
        wrong = np.unique(np.linspace(standing + 1, enough, tried).round().astype(np.int64))
    return 0


def label_noise_table(claims: list[Claim]) -> pd.DataFrame:
    """Returns in how many redraws each claim stands if a share of all annotations is replaced."""
    rows: list[dict[str, Any]] = []
    for claim in claims:
        for noise in _noises(claim):
            for replaced in REPLACED:
                stands = int(claim.stands(_redrawn(claim, noise, replaced)).sum())
                low, high = wilson(stands, REDRAWS)
                row = _claim_fields(claim) | {"noise": noise, "replaced": replaced}
                row |= {"stands": stands, "redraws": REDRAWS, "low": float(low)}
                rows.append(row | {"share": float(share(stands, REDRAWS)), "high": float(high)})
    return pd.DataFrame(rows)


def _redrawn(claim: Claim, noise: Noise, replaced: float) -> Counts:
    """Returns (redraws, 4) counts after a share of the annotations was replaced at random."""
    generator = np.random.default_rng(_SEED)
    if noise == "group" or claim.flipped is None:
        return _regrouped(claim, replaced, generator)
    own, other = claim.cells, _against_others(claim.flipped, claim.place)

    def drawn(cells: Counts, rate: float) -> Counts:
        k, misses = cells[[0, 2]], cells[[1, 3]] - cells[[0, 2]]
        hits = generator.binomial(k, rate, (REDRAWS, 2))
        both = hits + generator.binomial(misses, rate, (REDRAWS, 2))
        return np.stack([hits[:, 0], both[:, 0], hits[:, 1], both[:, 1]], axis=1)

    return drawn(own, 1 - replaced) + drawn(other, replaced)


def _regrouped(claim: Claim, replaced: float, generator: np.random.Generator) -> Counts:
    """Returns (redraws, 4) counts where another group, by its size, takes the place of some."""
    hits, n = claim.counted
    others = np.arange(len(n)) != claim.place
    into = replaced * n[claim.place] / (n.sum() - n[others])
    moved = []
    for images in (hits, n - hits):
        left = generator.binomial(images[claim.place], replaced, REDRAWS)
        came = generator.binomial(images[others], into, (REDRAWS, int(others.sum())))
        moved.append(came.sum(axis=1) - left)
    count, uncounted = moved
    both = count + uncounted
    return np.asarray(claim.cells + np.stack([count, both, -count, -both], axis=1))
