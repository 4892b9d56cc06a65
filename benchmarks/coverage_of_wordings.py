"""How often intervals of a mean gap over wordings hold the true one, by four methods.

    python benchmarks/coverage_of_wordings.py [--draws 1000] [--json FILE] [--quick]

Images and wordings are drawn from many: an image is flagged where the sum of a leaning of its own,
one of the wording, one of its group under that wording, and chance is above 0. So the true gap is
known, over all images and all wordings. Beside the interval of a report stand the one over images
alone, the moments with one t by Satterthwaite, and the two-way (pigeonhole) bootstrap.

"Shown" is how often a report shows an interval, and not that wordings are too uneven for one.
"Report" is the coverage of those that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track
from scipy import stats

from audit.datasets.groups import Marks
from audit.statistics.crossed import CrossedCounts, crossed_gaps
from audit.statistics.intervals import LEVEL, Float64s, Interval
from benchmarks import program

#: How far images lean by themselves; chance is 1.
IMAGES_LEAN = 1.5

#: How far wordings move all images, and the two groups apart. The first moves the flag rate by as
#: much as the nine templates do that of person-labels on `../shared/data/faces` (0.24 in probits).
AS_REAL, TWICE, THRICE, NOT_AT_ALL, APART_ALONE = (
    (0.5, 0.2),
    (1, 0.4),
    (1.5, 0.6),
    (0, 0),
    (0, 0.5),
)

#: One draw of this many is resampled, by this many samples.
RESAMPLED, SAMPLES = 5, 399


class Population(NamedTuple):
    """Two groups with their true rates over all wordings, and how far wordings move them."""

    n: tuple[int, int]
    rates: tuple[float, float]
    wordings: int
    moves: tuple[float, float]

    @property
    def gap(self) -> float:
        """The true mean gap."""
        return self.rates[0] - self.rates[1]

    def draw(self, rng: np.random.Generator) -> list[Marks]:
        """Returns the (n, w) flags of both groups."""
        overall, apart = self.moves
        whole = np.sqrt(1 + IMAGES_LEAN**2 + overall**2 + apart**2)
        of_wording = rng.normal(0, overall, self.wordings)
        flags = []
        for n, rate in zip(self.n, self.rates, strict=True):
            leaning = stats.norm.ppf(rate) * whole + rng.normal(0, IMAGES_LEAN, (n, 1))
            leaning = leaning + of_wording + rng.normal(0, apart, self.wordings)
            flags.append(leaning + rng.normal(size=(n, self.wordings)) > 0)
        return flags


def summed(draws: list[list[Marks]]) -> tuple[CrossedCounts, CrossedCounts]:
    """Returns the sums of both groups, one row for each draw."""
    sides = []
    for flags in zip(*draws, strict=True):
        squares = [(each.sum(axis=1, dtype=np.float64) ** 2).sum() for each in flags]
        counts = np.array([each.sum(axis=0) for each in flags], np.float64)
        sizes = np.full(len(flags), len(flags[0]), np.float64)
        sides.append(CrossedCounts(sizes, counts, np.array(squares)))
    return sides[0], sides[1]


def by_satterthwaite(one: CrossedCounts, other: CrossedCounts, level: float = LEVEL) -> Interval:
    """Returns the interval of moments with one t, of the same two images more."""
    one, other = one.with_two_more(), other.with_two_more()
    gaps = one.rates - other.rates
    parts = [gaps.var(axis=-1, ddof=1) / one.w, one.spread()[0], other.spread()[0]]
    images = parts[1] + parts[2]
    whole = sum(parts) - one.spread()[1] - other.spread()[1]
    variance = np.maximum(whole, np.maximum(parts[0], images))
    freedom = (one.w - 1, one.n - 1, other.n - 1)
    df = variance**2 / sum(part**2 / own for part, own in zip(parts, freedom, strict=True))
    half = stats.t.ppf(0.5 + level / 2, df) * np.sqrt(variance)
    return Interval(gaps.mean(axis=-1) - half, gaps.mean(axis=-1) + half)


def by_pigeonhole(
    flags: list[Marks], rng: np.random.Generator, level: float = LEVEL
) -> tuple[float, float]:
    """Returns the percentiles of samples of images, and of wordings, with replacement."""

    def weights(n: int) -> Float64s:
        return np.asarray(rng.multinomial(n, np.full(n, 1 / n), SAMPLES) / n)

    one, other = (weights(len(own)) @ own for own in flags)
    means = ((one - other) * weights(flags[0].shape[1])).sum(axis=1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def held(interval: Interval, true: float) -> Marks:
    """Returns which intervals hold the true gap; an undefined one does not."""
    return np.asarray((interval.low <= true) & (true <= interval.high))


def coverage(population: Population, draws: int, seed: int) -> dict[str, float]:
    """Returns how often each method's intervals hold the true gap, and how often one is shown."""
    rng = np.random.default_rng(seed)
    drawn = [population.draw(rng) for _ in range(draws)]
    one, other = summed(drawn)
    found = crossed_gaps(one, other)
    shown = ~np.isnan(found.over_both.low)
    ends = np.array([by_pigeonhole(flags, rng) for flags in drawn[: draws // RESAMPLED]]).T
    holds = {
        "report": held(found.over_both, population.gap)[shown],
        "images alone": held(found.over_images, population.gap),
        "Satterthwaite": held(by_satterthwaite(one, other), population.gap),
        "pigeonhole": held(Interval(*ends), population.gap),
    }
    width = np.median((found.over_both.high - found.over_both.low)[shown])
    return {
        "shown": float(shown.mean()),
        **{method: float(each.mean()) for method, each in holds.items()},
        "shown, and wrong": float((~holds["report"]).sum() / draws),
        "width": float(width),
        "width of images alone": float(np.median(found.over_images.high - found.over_images.low)),
    }


def populations() -> Iterator[tuple[str, Population]]:
    """Yields what is tried: ordinary ones, rare flags, wordings that move flags far."""
    for w, rates in product((3, 4, 9, 20), ((0.1, 0.2), (0.4, 0.4), (0.01, 0.03), (0.003, 0.003))):
        yield "as real", Population((100, 600), rates, w, AS_REAL)
    for w, rates in product((3, 9), ((0.1, 0.2), (0.01, 0.03))):
        yield "as real, many", Population((1000, 1000), rates, w, AS_REAL)
        yield "as real, few", Population((40, 60), rates, w, AS_REAL)
        yield "not at all", Population((100, 600), rates, w, NOT_AT_ALL)
        yield "only apart", Population((100, 600), rates, w, APART_ALONE)
        yield "twice", Population((100, 600), rates, w, TWICE)
        yield "twice, many", Population((1000, 1000), rates, w, TWICE)
        yield "thrice, many", Population((1000, 1000), rates, w, THRICE)


def main() -> None:
    """Prints how often the intervals hold the true gap."""
    parser = program.new_parser(__doc__, "100 draws")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    draws = 100 if options.quick else options.draws
    found: list[dict[str, Any]] = []
    for seed, (moves, population) in enumerate(track(list(populations()))):
        settings = {"wordings move": moves, "w": population.wordings}
        settings |= {
            "n": "/".join(map(str, population.n)),
            "rates": "/".join(map(str, population.rates)),
        }
        found.append(settings | {"draws": draws} | coverage(population, draws, seed))
    shown = program.new_table(list(found[0])[:4], list(found[0])[4:])
    for row in found:
        shown.add_row(
            *(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        )
    program.new_console().print(shown)
    program.write_json(options.json, found)


if __name__ == "__main__":
    program.run(main)
