"""How often intervals of adjusted figures hold the truth, and a margin is wrongly said to hold.

    python benchmarks/coverage_adjusted.py [--draws 1000] [--json FILE] [--quick]

Standardised rates and their differences: over 2 to 63 strata, of 30 to 2,000 images, spread like
the whole dataset, against it, or with most images in few strata; rates from 0.3 to 50 %, one for
all strata or far apart. Beside it MOVER over Wilson's intervals of the strata. Pooled rates: cells
of one rate, of a beta distribution, of another one, and a single cell unlike all others; with the
mean squared error as a share of that of the raw rates. Margins: the error of the claim where the
true difference is the margin itself, beside that of Agresti and Caffo's test, which statsmodels
takes, and of Bonett and Price's interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy import special, stats

from audit.statistics.equivalence import change_equivalence
from audit.statistics.exact_shares import melded_margin_p
from audit.statistics.intervals import (
    Float64s,
    Interval,
    difference_of,
    paired_difference,
    wilson,
)
from audit.statistics.pooling import pooled_rates
from audit.statistics.significance import ALPHA
from audit.statistics.stratification import standardised_rates
from benchmarks import program

Sizes = npt.NDArray[np.int64]
Row = dict[str, Any]

STRATA, IMAGES = (2, 5, 14, 18, 63), (30, 100, 400, 2000)
RATES, APART = (0.003, 0.01, 0.05, 0.2, 0.5), (0.0, 1.0, 2.0)
SPREADS = ("like the whole", "against the whole", "in few strata")


def held(interval: Interval, true: Any) -> float:
    """Returns how often an interval holds the truth."""
    return float(((interval.low <= true + 1e-12) & (true <= interval.high + 1e-12)).mean())


def mover_over_strata(count: Sizes, n: Sizes, weight: Float64s) -> Interval:
    """Returns the interval that adds up Wilson's of the strata."""
    rate, (low, high) = count / n, wilson(count, n)
    middle = rate @ weight
    below, above = (np.sqrt(((weight * (rate - end)) ** 2).sum(axis=1)) for end in (low, high))
    return Interval(middle - below, middle + above)


def sizes_of(spread: str, n: int, weight: Float64s, rng: np.random.Generator) -> Sizes:
    """Returns (s,) images of a group in each stratum, one at the least."""
    shares = {
        "like the whole": weight,
        "against the whole": (1 / weight) / (1 / weight).sum(),
        "in few strata": rng.dirichlet(np.full(len(weight), 0.5)),
    }
    sizes: Sizes = np.maximum(1, np.round(shares[spread] * n)).astype(np.int64)
    return sizes


def standardised_coverage(draws: int) -> Iterator[Row]:
    """Yields the coverage of a standardised rate and of its difference to six times the images."""
    rng = np.random.default_rng(0)
    cases = [case for case in product(STRATA, IMAGES, SPREADS, RATES, APART) if case[1] >= case[0]]
    for strata, images, spread, rate, apart in track(cases, "standardised"):
        weight = rng.dirichlet(np.full(strata, 3.0))
        n = sizes_of(spread, images, weight, rng)
        rest_n = sizes_of(SPREADS[0], 6 * images, weight, rng)
        rates = special.expit(special.logit(rate) + apart * rng.standard_normal(strata))
        higher = special.expit(special.logit(rates) + rng.choice([0.0, 1.0]))
        count, rest = (
            rng.binomial(sizes, of, (draws, strata)) for sizes, of in ((n, higher), (rest_n, rates))
        )
        own = standardised_rates(count, np.tile(n, (draws, 1)), weight)
        other = standardised_rates(rest, np.tile(rest_n, (draws, 1)), weight)
        between = difference_of(own.rate, own.interval, other.rate, other.interval)
        yield {
            "case": f"{strata} strata, {images} images {spread}, {rate:.1%}, apart {apart:g}",
            "effective": float(1 / (weight**2 / n).sum()),
            "rate": held(own.interval, higher @ weight),
            "difference": held(between, (higher - rates) @ weight),
            "mover": held(mover_over_strata(count, n, weight), higher @ weight),
        }


def populations(cells: int, rng: np.random.Generator) -> dict[str, Callable[[], Float64s]]:
    """Returns by name what draws the true rates of cells."""
    return {
        "one rate, 2 %": lambda: np.full(cells, 0.02),
        "one rate, 20 %": lambda: np.full(cells, 0.2),
        "beta around 2 %": lambda: rng.beta(2, 98, cells),
        "beta around 20 %": lambda: rng.beta(20, 80, cells),
        "beta around 10 %, wide": lambda: rng.beta(1, 9, cells),
        "logistic around 5 %": lambda: special.expit(-3 + 0.7 * rng.standard_normal(cells)),
        "two rates, 2 and 10 %": lambda: np.where(np.arange(cells) % 2, 0.02, 0.1),
        "one cell of 40 % among 5 %": lambda: np.append(np.full(cells - 1, 0.05), 0.4),
    }


def pooled_coverage(draws: int) -> Iterator[Row]:
    """Yields the coverage of pooled rates and of the gap, and the squared error by the raw one."""
    rng = np.random.default_rng(1)
    uneven = np.round(np.random.default_rng(2).dirichlet(np.full(126, 0.8)) * 10_900) + 1
    kinds = {
        "14 cells of 50": np.full(14, 50),
        "14 of 750": np.full(14, 750),
        "18 of 40": np.full(18, 40),
        "63 of 11": np.full(63, 11),
        "126, uneven": np.sort(uneven).astype(np.int64),
    }
    for sizes, n in kinds.items():
        for name, draw in track(populations(len(n), rng).items(), f"pooled, {sizes}"):
            found = [_pooled_draw(n, draw(), rng) for _ in range(draws)]
            cell, last, gap, error, raw = np.mean(found, axis=0)
            yield {
                "case": f"{sizes}: {name}",
                "cell": float(cell),
                "last cell": float(last),
                "gap": float(gap),
                "squared error": float(error / raw),
            }


def _pooled_draw(n: Sizes, true: Float64s, rng: np.random.Generator) -> tuple[float, ...]:
    count = rng.binomial(n, true)
    pooled = pooled_rates(count, n)
    inside = (pooled.interval.low <= true) & (true <= pooled.interval.high)
    return (
        inside.mean(),
        float(inside[-1]),
        held(pooled.gap_interval, np.ptp(true)),
        ((pooled.rate - true) ** 2).mean(),
        ((count / n - true) ** 2).mean(),
    )


def agresti_caffo_p(count: Sizes, n: int, rest: Sizes, rest_n: int, margin: float) -> Float64s:
    """Returns p of the two one-sided tests by Agresti and Caffo's adjusted Wald."""
    one, other = (count + 1) / (n + 2), (rest + 1) / (rest_n + 2)
    error = np.sqrt(one * (1 - one) / (n + 2) + other * (1 - other) / (rest_n + 2))
    p: Float64s = stats.norm.sf((margin - np.abs(one - other)) / error)
    return p


def margin_errors() -> Iterator[Row]:
    """Yields how often two rates that lie the margin apart are shown to lie within it, summed."""
    cases = product((30, 50, 100, 400), (1, 6), (0.02, 0.05, 0.1), (0.0, 0.002, 0.01, 0.05), (0, 1))
    for n, times, margin, rate, higher in track(list(cases), "margins of groups"):
        rates, sizes = [rate, rate], [n, times * n]
        rates[higher] += margin
        axes = [
            np.arange(stats.binom.ppf(1e-5, size, of), stats.binom.isf(1e-5, size, of) + 1)
            for size, of in zip(sizes, rates, strict=True)
        ]
        one, other = (each.ravel() for each in np.meshgrid(*axes, indexing="ij"))
        if len(one) > 10_000:
            continue
        chance = stats.binom.pmf(one, sizes[0], rates[0]) * stats.binom.pmf(
            other, sizes[1], rates[1]
        )
        every = np.ones(len(one))
        melded = melded_margin_p(one, n * every, other, sizes[1] * every, margin)
        plain = agresti_caffo_p(one, n, other, sizes[1], margin)
        yield {
            "case": f"{n} at {rates[0]:.1%}, {sizes[1]} at {rates[1]:.1%}, margin {margin:.0%}",
            "error": float(chance[melded < ALPHA].sum()),
            "agresti-caffo": float(chance[plain < ALPHA].sum()),
        }


def shift_margin_errors(draws: int) -> Iterator[Row]:
    """Yields how often a change of the margin itself is shown to lie within it."""
    rng = np.random.default_rng(3)
    cases = product((30, 50, 100, 400, 1500), (0.01, 0.02, 0.05, 0.1), (0.0, 0.002, 0.01, 0.05))
    for n, margin, both in track(list(cases), "margins of changes"):
        shares = [both + margin, both, 1 - 2 * both - margin]
        drawn = rng.multinomial(n, shares, draws)
        counts, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
        images = np.full(len(counts), float(n))
        found = change_equivalence(counts[:, 0], counts[:, 1], images, margin)
        wald = paired_difference(counts[:, 0], counts[:, 1], images, 1 - 2 * ALPHA)
        within = (wald.low > -margin) & (wald.high < margin)
        yield {
            "case": f"{n} images, margin {margin:.0%}, {both:.1%} leave",
            "error": float(times[found.p < ALPHA].sum() / draws),
            "bonett-price": float(times[within].sum() / draws),
        }


def print_extremes(title: str, rows: Sequence[Row], columns: Sequence[str], worst: str) -> None:
    """Prints the mean and the lowest, or highest, of each column, and the case that has it."""
    shown = program.new_table((title, "where"), ("cases", "mean", worst))
    pick = min if worst == "lowest" else max
    for column in columns:
        of = pick(rows, key=lambda row: row[column])
        mean = np.mean([row[column] for row in rows])
        shown.add_row(column, of["case"], str(len(rows)), f"{mean:.1%}", f"{of[column]:.1%}")
    program.new_console().print(shown)


def main() -> None:
    """Prints the coverage of each kind of figure."""
    parser = program.new_parser(__doc__, "100 draws")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    draws = 100 if options.quick else options.draws
    found = {
        "standardised": list(standardised_coverage(draws)),
        "pooled": list(pooled_coverage(max(50, draws // 5))),
        "margins of groups": list(margin_errors()),
        "margins of changes": list(shift_margin_errors(50 * draws)),
    }
    rated = [row for row in found["standardised"] if row["effective"] >= 30]
    print_extremes("standardised", rated, ("rate", "difference", "mover"), "lowest")
    print_extremes("pooled", found["pooled"], ("cell", "last cell", "gap"), "lowest")
    print_extremes("pooled", found["pooled"], ("squared error",), "highest")
    print_extremes("margins", found["margins of groups"], ("error", "agresti-caffo"), "highest")
    print_extremes("margins", found["margins of changes"], ("error", "bonett-price"), "highest")
    program.write_json(options.json, found)


if __name__ == "__main__":
    main()
