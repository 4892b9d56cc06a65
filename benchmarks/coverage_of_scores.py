"""How often the intervals of AUC and of calibration hold the true figure, by simulation.

    python benchmarks/coverage_of_scores.py [--draws 1000] [--json FILE] [--quick]

AUC: normal scores, with positives that spread as far as negatives, less far or farther, and a
mixture in which some positives look like negatives; 30 to 2,000 images on either side. Calibration:
scores that are right, that overstate, that separate well with and without errors, that say nothing
or the opposite; 30 to 1,000 images. Nominal are 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy import stats

from audit.statistics.intervals import Float64s
from audit.statistics.scores import Estimate, auc, overstatement
from benchmarks import program

AUCS = (0.5, 0.7, 0.9, 0.97, 0.99)
SPREADS = {"as far as negatives": 1.0, "less far": 0.4, "farther": 2.5}
SIZES = ((30, 30), (100, 100), (200, 600), (30, 300), (300, 30), (30, 2000), (2000, 30))
IMAGES = (30, 100, 1000)
#: Of so many images a true difference is read off where it has no formula.
_WHOLE = 2_000_000

Draw = Callable[[np.random.Generator, int], tuple[Float64s, npt.NDArray[np.bool_]]]


class CaseCoverage(NamedTuple):
    """How often an interval held the true figure, and how wide it was on average."""

    figure: str
    case: str
    sizes: str
    covered: float
    width: float


def normal_scores(
    rng: np.random.Generator, true: float, spread: float, sizes: tuple[int, int]
) -> tuple[Float64s, Float64s]:
    """Returns scores of positives and negatives whose AUC is the true one."""
    mean = stats.norm.ppf(true) * np.sqrt(1 + spread**2)
    return rng.normal(mean, spread, sizes[0]), rng.normal(0, 1, sizes[1])


def mixed_scores(
    rng: np.random.Generator, true: float, sizes: tuple[int, int]
) -> tuple[Float64s, Float64s]:
    """Returns the same where some positives score as negatives do, and the others far above."""
    lost = rng.random(sizes[0]) < 2 * (1 - true)
    positives = np.where(lost, rng.normal(0, 1, sizes[0]), rng.normal(30, 1, sizes[0]))
    return positives, rng.normal(0, 1, sizes[1])


def _right(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    scores = rng.beta(0.3, 0.3, n)
    return scores, rng.random(n) < scores


def _rare(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    scores = rng.beta(0.05, 2, n)
    return scores, rng.random(n) < scores


def _overstating(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    scores = rng.beta(2, 2, n)
    return scores, rng.random(n) < scores**2


def _separating(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    positive = rng.random(n) < 0.3
    return np.where(positive, rng.beta(30, 1, n), rng.beta(1, 30, n)), positive


def _seldom_wrong(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    positive = rng.random(n) < 0.3
    return np.where(positive ^ (rng.random(n) < 0.03), 0.99, 0.01), positive


def _meaningless(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    return rng.beta(2, 5, n), rng.random(n) < 0.1


def _opposite(rng: np.random.Generator, n: int) -> tuple[Float64s, npt.NDArray[np.bool_]]:
    positive = rng.random(n) < 0.5
    return np.where(positive, rng.beta(2, 6, n), rng.beta(6, 2, n)), positive


CALIBRATIONS: dict[str, Draw] = {
    "right": _right,
    "right, few positives": _rare,
    "overstating": _overstating,
    "separating": _separating,
    "separating, 3 % wrong": _seldom_wrong,
    "meaningless": _meaningless,
    "opposite": _opposite,
}


def covered(figure: str, case: str, sizes: str, found: list[Estimate], true: float) -> CaseCoverage:
    """Returns how often these estimates held the true figure."""
    held = [each.low <= true <= each.high for each in found]
    width = float(np.mean([each.high - each.low for each in found]))
    return CaseCoverage(figure, case, sizes, float(np.mean(held)), width)


def auc_coverages(rng: np.random.Generator, draws: int) -> Iterator[CaseCoverage]:
    """Yields the coverage of the interval of AUC in each case."""
    for true, sizes in product(AUCS, SIZES):
        named = f"{sizes[0]:,} and {sizes[1]:,}"
        for case, spread in SPREADS.items():
            found = [auc(*normal_scores(rng, true, spread, sizes)) for _ in range(draws)]
            yield covered(f"AUC {true:g}", f"positives spread {case}", named, found, true)
        found = [auc(*mixed_scores(rng, true, sizes)) for _ in range(draws)]
        yield covered(f"AUC {true:g}", "mixture", named, found, true)


def calibration_coverages(rng: np.random.Generator, draws: int) -> Iterator[CaseCoverage]:
    """Yields the coverage of the interval of mean score less share in each case."""
    for case, draw in CALIBRATIONS.items():
        scores, positive = draw(rng, _WHOLE)
        true = float(scores.mean() - positive.mean())
        for n in IMAGES:
            found = [overstatement(*draw(rng, n)) for _ in range(draws)]
            yield covered("mean score less share", case, f"{n:,}", found, true)


def main() -> None:
    """Prints how often each interval holds."""
    parser = program.new_parser(__doc__, "100 draws of each case")
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    rng, draws = np.random.default_rng(0), 100 if options.quick else options.draws
    rows: list[dict[str, Any]] = []
    shown = program.new_table(("figure", "case", "images"), ("covered", "mean width"))
    for make in (auc_coverages, calibration_coverages):
        for row in track(make(rng, draws), make.__name__):
            shown.add_row(*row[:3], f"{row.covered:.1%}", f"{row.width:.3f}")
            rows.append(row._asdict() | {"draws": draws})
    program.new_console().print(shown)
    program.write_json(options.json, rows)


if __name__ == "__main__":
    main()
