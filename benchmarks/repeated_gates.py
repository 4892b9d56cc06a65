"""How often a policy that breaks its limit passes, where policies are gated until one does.

    python benchmarks/repeated_gates.py [--draws 4000] [--json FILE] [--quick]

Every policy breaks the limit: its true rate is the lowest that does, the limit itself. So each pass
is false. `plain` checks every gate at 95 %, `spent` as --spend does. The policies are

- fixed beforehand, so that their flags know nothing of the images;
- or edited: each author gates votes that are tossed for every image, and at last the majority of
  those votes that did well and of the opposite of the others. No majority of tossed votes flags
  more or fewer than half of the pictures of the world, but it is fitted to these images. What did
  well is read from the figures of each gate, or from its answer alone; there the votes are thinned
  until they pass in half of the cases, so that an answer says as much as it can.

`undivided` is spent without the division by the ways in which earlier gates could have passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import track

from audit.gate.checks import check_limits
from audit.gate.counts import GateCounts
from audit.gate.limits import Limits
from audit.gate.spending import spent_level
from audit.statistics.intervals import LEVEL
from benchmarks import program

#: The level of a gate by its number and how many before it passed.
Scheme = Callable[[int, int], float]

SCHEMES: dict[str, Scheme] = {
    "plain": lambda number, passes: LEVEL,
    "undivided": lambda number, passes: spent_level(number, 0),
    "spent": spent_level,
}
IMAGES, HALF = 1000, 0.5


class FalsePasses(NamedTuple):
    """How often a false pass came, by scheme."""

    policies: str
    gates: int
    draws: int
    shares: dict[str, float]


@cache
def most_that_pass(level: float, n: int, allowed: float) -> int:
    """Returns up to how many flags among n images of a group a gate passes; -1 for never."""
    limits = Limits(schema_version=1, sensitive_features=("g",), worst_group_rate=allowed)
    none = np.zeros(1)

    def passes(hits: int) -> bool:
        counts = GateCounts("g", ("one",), none + hits, none + n, none, none, none)
        [check] = check_limits(counts, counts, limits, unchanged=False, recall=counts, level=level)
        return check.status == "pass"

    low, high = -1, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if passes(middle) else (low, middle - 1)
    return low


def fixed_policies(
    gates: int, draws: int, rng: np.random.Generator, n: int = IMAGES, allowed: float = 0.05
) -> FalsePasses:
    """Returns how often any of as many policies passes, their flags independent of each other."""
    flags = rng.binomial(n, allowed, size=(draws, gates))
    shares = {}
    for name in ("plain", "spent"):
        most = [most_that_pass(SCHEMES[name](k + 1, 0), n, allowed) for k in range(gates)]
        shares[name] = float((flags <= most).any(axis=1).mean())
    return FalsePasses("fixed beforehand", gates, draws, shares)


def edited_after_figures(gates: int, draws: int, rng: np.random.Generator) -> FalsePasses:
    """Returns how often the majority passes that the figures of the gates before it chose."""
    passed = dict.fromkeys(("plain", "spent"), 0)
    for _ in range(draws):
        votes = rng.random((gates - 1, IMAGES)) < HALF
        count = _majority(votes, votes.sum(axis=1) <= IMAGES * HALF)
        for name in passed:
            passed[name] += count <= most_that_pass(SCHEMES[name](gates, 0), IMAGES, HALF)
    shares = {name: number / draws for name, number in passed.items()}
    return FalsePasses("edited after figures", gates, draws, shares)


def edited_after_answers(gates: int, draws: int, rng: np.random.Generator) -> FalsePasses:
    """Returns how often the majority passes that the answers of the gates before it chose."""
    passed = dict.fromkeys(SCHEMES, 0)
    for _ in range(draws):
        votes = rng.random((gates - 1, IMAGES)) < HALF
        thinned = rng.random((gates - 1, IMAGES))
        for name, scheme in SCHEMES.items():
            answers: list[bool] = []
            for vote, kept in zip(votes, thinned, strict=True):
                most = most_that_pass(scheme(len(answers) + 1, sum(answers)), IMAGES, HALF)
                share = (most + 0.5) / (IMAGES * HALF)  # so many keep as pass in half of the cases
                answers.append(bool((vote & (kept < share)).sum() <= most))
            most = most_that_pass(scheme(gates, sum(answers)), IMAGES, HALF)
            passed[name] += _majority(votes, np.array(answers)) <= most
    shares = {name: number / draws for name, number in passed.items()}
    return FalsePasses("edited after answers", gates, draws, shares)


def _majority(votes: npt.NDArray[np.bool_], well: npt.NDArray[np.bool_]) -> int:
    """Returns how many images an odd number of votes flags, those that did not well reversed."""
    return int(((votes == well[:, np.newaxis]).sum(axis=0) * 2 > len(votes)).sum())


def simulations(draws: int, rng: np.random.Generator) -> Iterator[FalsePasses]:
    """Yields what each author reaches."""
    for gates in (1, 2, 5, 10, 20, 50):
        yield fixed_policies(gates, 25 * draws, rng)
    for gates in (2, 6, 10, 20, 50):
        yield edited_after_figures(gates, draws, rng)
    for gates in (6, 20, 50):
        yield edited_after_answers(gates, draws, rng)


def main() -> None:
    """Prints the share of draws with a false pass."""
    parser = program.new_parser(__doc__, "200 draws")
    parser.add_argument("--draws", type=int, default=4000)
    options = parser.parse_args()
    draws = 200 if options.quick else options.draws
    found = list(track(simulations(draws, np.random.default_rng(0)), "Gating", total=14))
    shown = program.new_table(("policies",), ("gates", "draws", *SCHEMES))
    for row in found:
        shares = (f"{row.shares[name]:.2%}" if name in row.shares else "" for name in SCHEMES)
        shown.add_row(row.policies, str(row.gates), f"{row.draws:,}", *shares)
    program.new_console().print(shown)
    program.write_json(options.json, [row._asdict() for row in found])


if __name__ == "__main__":
    main()
