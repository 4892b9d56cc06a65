"""What share of its error a gate uses at the levels that are spent: above 1 it passes too much.

    python benchmarks/spent_levels.py [--json FILE] [--quick]

Each policy lies exactly at its limit. The chance that it passes is summed over all counts, so
without an error of simulation, and divided by the error of its level; the worst of several rates,
limits and sizes is shown. For `regression` the chances of the first gates are added up too, as a
share of the error of all gates together.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from rich.progress import track
from scipy import stats

from audit.gate.spending import FALSE_PASS, spent_level
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import Float64s, Interval, exact_paired_difference
from benchmarks import program

#: Images of two groups, and their limits on each figure.
SIZES = ((60, 60), (40, 100))
PAIRS = {"gap": (0.05, 0.2, 0.4, 0.6), "ratio": (1.25, 2.0, 3.0)}
RATES = (0.02, 0.1, 0.3)
#: Shares of images that leave, and limits on how many more enter.
LEAVING, RISES = (0.0, 0.01, 0.05, 0.2), (0.02, 0.05, 0.1, 0.3)
#: Images that may have entered, left, or neither.
CHANGED: tuple[int, ...] = (50, 100, 300)
ROUNDING = 1e-9


def gate_error(number: int) -> float:
    """Returns the error of a gate before any passed."""
    return (1 - spent_level(number, 0)) / 2


def worst_pair(limit: str, error: float, sizes: tuple[int, int]) -> float:
    """Returns the largest share of an error that two groups at a limit use."""
    counts = [np.arange(n + 1.0) for n in sizes]
    images = np.repeat([float(n) for n in sizes], [len(each) for each in counts])
    shares = ExactShares(np.concatenate(counts), images, np.zeros(len(images)))
    first, second = shares.pairs.T
    across = (first < len(counts[0])) & (second >= len(counts[0]))
    bounds: Interval = (shares.differences if limit == "gap" else shares.ratios)(1 - 2 * error)
    high = bounds.high[across].reshape(len(counts[0]), len(counts[1]))
    used = []
    for rate, allowed in product(RATES, PAIRS[limit]):
        higher = rate + allowed if limit == "gap" else rate * allowed
        if higher < 1:
            one, other = (
                stats.binom.pmf(each, n, p)
                for each, n, p in zip(counts, sizes, (higher, rate), strict=True)
            )
            used.append(float(one @ (high <= allowed) @ other) / error)
    return max(used)


def rise_passes(error: float, n: int) -> Float64s:
    """Returns the chance that each rise at its limit passes."""
    counts = np.arange(n + 1.0)
    entered, left = (each.ravel() for each in np.meshgrid(counts, counts, indexing="ij"))
    possible = (entered + left <= n) & (left <= n / 2)
    entered, left = entered[possible], left[possible]
    high = exact_paired_difference(entered, left, n, 1 - 2 * error).high
    table = np.stack([entered, left, n - entered - left], axis=-1)
    return np.array(
        [
            stats.multinomial.pmf(
                table[high < rise - ROUNDING], n, [leaving + rise, leaving, 1 - 2 * leaving - rise]
            ).sum()
            for leaving, rise in product(LEAVING, RISES)
        ]
    )


def main() -> None:
    """Prints the worst share of each level."""
    parser = program.new_parser(__doc__, "two levels, and groups of up to 100 images")
    options = parser.parse_args()
    levels = {f"gate {gate}": gate_error(gate) for gate in (1, 2, 3, 5, 10, 30)}
    levels |= {"beyond": 1e-7, "smallest": 1e-9}
    firsts, changed = range(1, 41), CHANGED
    if options.quick:
        levels, changed, firsts = {"gate 1": gate_error(1), "beyond": 1e-7}, (50, 100), range(1, 3)
    shown = program.new_table(("level",), ("error", *PAIRS, "regression"))
    found: list[dict[str, Any]] = []
    for name, error in track(levels.items(), "Summing"):
        used = {limit: max(worst_pair(limit, error, each) for each in SIZES) for limit in PAIRS}
        used["regression"] = max(rise_passes(error, n).max() / error for n in changed)
        found.append({"level": name, "error": error, **used})
        shown.add_row(name, f"{error:.2g}", *(f"{each:.2f}" for each in used.values()))
    program.new_console().print(shown)
    by_gate = [[rise_passes(gate_error(gate), n) for gate in firsts] for n in changed]
    summed = float(np.sum(by_gate, axis=1).max())
    print(f"regression, gates 1 to {firsts[-1]}: {summed / FALSE_PASS:.2f} of the error of all")
    program.write_json(options.json, [*found, {"summed": summed / FALSE_PASS}])


if __name__ == "__main__":
    main()
