"""Whether rates lie within a margin of each other: two one-sided tests, exact near rates of 0.

Each test asks whether the rates lie the margin apart or further, one in each direction, so a small
p shows the opposite of what a difference claims. The larger p of the two counts. It is below 0.05
where the interval of 90 % lies within the margin.

Sources: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15:657 (two one-sided tests);
Zou and Donner 2008, Statistics in Medicine 27:1693 (MOVER).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.exact_shares import ExactShares, melded_margin_p
from audit.statistics.intervals import LEVEL, Float64s, Interval, exact_paired_difference

#: That of the interval which lies within the margin where both tests reject.
TOST_LEVEL = 2 * LEVEL - 1

#: So many halvings find the p of a change.
_HALVINGS = 40


class Equivalence(NamedTuple):
    """(c,) p of rates that lie the margin apart, or further, and their interval of 90 %."""

    p: Float64s
    interval: Interval


def rates_equivalence(
    count: npt.ArrayLike,
    n: npt.ArrayLike,
    reference_count: npt.ArrayLike,
    reference_n: npt.ArrayLike,
    margin: float,
) -> Equivalence:
    """Returns whether two independent rates lie within a margin of each other, by melding."""
    given = (count, n, reference_count, reference_n)
    counts, sizes, rest, rest_sizes = (np.asarray(each, np.float64) for each in given)
    cells = zip(counts, sizes, rest, rest_sizes, strict=True)
    low, high = np.array([_difference_bounds(*cell) for cell in cells]).reshape(-1, 2).T
    return Equivalence(
        melded_margin_p(counts, sizes, rest, rest_sizes, margin), Interval(low, high)
    )


def _difference_bounds(
    count: float, n: float, reference_count: float, reference_n: float
) -> tuple[float, float]:
    if not n or not reference_n:
        return np.nan, np.nan
    counts, sizes = np.array([count, reference_count]), np.array([n, reference_n])
    low, high = ExactShares(counts, sizes, np.zeros(2)).differences(TOST_LEVEL)
    return float(low[0]), float(high[0])


def change_equivalence(
    entered: npt.ArrayLike, left: npt.ArrayLike, n: npt.ArrayLike, margin: float
) -> Equivalence:
    """Returns whether the change of a rate on the same images is within a margin, by MOVER.

    p is the error at which the interval only just lies within the margin.
    """
    entered, left, n = (np.asarray(each, np.float64) for each in (entered, left, n))
    interval = partial(exact_paired_difference, entered, left, n)
    kept, beyond = np.zeros(n.shape), np.ones(n.shape)
    for _ in range(_HALVINGS):
        level = (kept + beyond) / 2
        bounds = interval(level)
        within = (bounds.low > -margin) & (bounds.high < margin)
        kept, beyond = np.where(within, level, kept), np.where(within, beyond, level)
    return Equivalence(np.where(n > 0, (1 - kept) / 2, np.nan), interval(TOST_LEVEL))
