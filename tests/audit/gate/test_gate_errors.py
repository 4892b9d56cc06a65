"""How often the gate fails what keeps to a limit, or passes what does not: 2.5 % at the most.

Nothing is simulated: every share is a sum over all counts, so it has no error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats

from audit.gate.checks import check_limits
from audit.gate.counts import GateCounts
from audit.gate.limits import Limits
from audit.statistics.exact_shares import ExactShares
from audit.statistics.intervals import exact_paired_difference, simultaneous

#: The error of each answer of a check, and what a sum of floats may lie beyond it.
ERROR, ROUNDING = 0.025, 1e-9
#: Groups, and images of each.
SIZES = [(2, 350), (7, 100), (14, 50), (29, 34)]
RATES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)

pytestmark = pytest.mark.slow


def _status(limit: str, allowed: float, groups: int, n: int, hits: int) -> str:
    """Returns the answer where one group has so many hits, or entered images, and others none."""
    counts, nothing = np.zeros(groups), np.zeros(groups)
    counts[0] = hits
    misses = n - counts if limit == "recall_floor" else counts
    given = GateCounts(
        by="group",
        names=tuple(map(str, range(groups))),
        count=misses,
        n=np.full(groups, float(n)),
        entered=counts,
        left=nothing,
        missing=nothing,
    )
    limits = Limits.model_validate(
        {"schema_version": 1, "sensitive_features": ["group"], limit: allowed}
    )
    [check] = check_limits(given, given, limits, unchanged=False, recall=given)
    return check.status


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Returns the lowest count for which it holds, as it does for all above it; n + 1 for none."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


@pytest.mark.parametrize(("groups", "n"), SIZES)
@pytest.mark.parametrize("limit", ["worst_group_rate", "recall_floor", "regression"])
def test_groups_that_are_all_exactly_at_the_limit_fail_in_25_of_1000_checks_at_most(
    limit: str, groups: int, n: int
) -> None:
    for rate in RATES:
        allowed = 1 - rate if limit == "recall_floor" else rate
        first = _first(n, lambda k: _status(limit, allowed, groups, n, k) == "fail")  # noqa: B023
        fails = 1 - stats.binom.cdf(first - 1, n, rate) ** groups
        assert fails <= ERROR + ROUNDING, rate


@pytest.mark.parametrize("n", [34, 50, 100, 350, 2000])
@pytest.mark.parametrize("limit", ["worst_group_rate", "recall_floor", "regression"])
def test_a_group_exactly_at_the_limit_passes_in_25_of_1000_checks_at_most(
    limit: str, n: int
) -> None:
    # Under regression its images only enter.
    passing = 0
    for rate in RATES:
        allowed = 1 - rate if limit == "recall_floor" else rate
        first = _first(n, lambda k: _status(limit, allowed, 1, n, k) != "pass")  # noqa: B023
        assert stats.binom.cdf(first - 1, n, rate) <= ERROR + ROUNDING, rate
        passing += first > 0
    assert passing >= (n > 73)  # and it can pass


def _likely(n: int, rate: float) -> int:
    """Returns a count that is exceeded in one draw of ten million."""
    return min(n, int(stats.binom.ppf(1 - 1e-7, n, rate)))


@pytest.mark.parametrize(
    ("one", "other", "groups", "highest"),
    [
        (350, 350, 2, 0.02),
        (100, 100, 7, 0.1),
        (50, 50, 14, 0.1),
        (34, 34, 29, 0.1),
        (50, 1000, 29, 0.01),
        (700, 40, 29, 0.005),
        (73, 1000, 2, 0.01),
    ],
)
@pytest.mark.parametrize("limit", ["gap", "ratio"])
def test_two_groups_exactly_at_a_limit_fail_or_pass_at_most_at_the_stated_rates(
    limit: str, one: int, other: int, groups: int, highest: float
) -> None:
    allowed = [0.0, 0.02] if limit == "gap" else [1.0, 1.25, 2.0]
    rates = [rate for rate in (0.0005, *RATES) if rate <= highest]
    most = _likely(one, highest + 0.02 if limit == "gap" else 2 * highest), _likely(other, highest)
    counts = [np.arange(end + 1.0) for end in most]
    sizes = np.repeat([float(one), float(other)], [len(each) for each in counts])
    shares = ExactShares(np.concatenate(counts), sizes, np.zeros(len(sizes)))
    first, second = shares.pairs.T
    across = (first < len(counts[0])) & (second >= len(counts[0]))
    bounds = shares.differences if limit == "gap" else shares.ratios
    joint = simultaneous(0.95, groups * (groups - 1))
    shape = tuple(len(each) for each in counts)
    low = bounds(joint).low[across].reshape(shape)
    high = bounds(0.95).high[across].reshape(shape)
    for rate, most_allowed in product(rates, allowed):
        higher = rate + most_allowed if limit == "gap" else rate * most_allowed
        chances = [
            stats.binom.pmf(each, n, p)
            for each, n, p in zip(counts, (one, other), (higher, rate), strict=True)
        ]
        fails = chances[0] @ (low > most_allowed + ROUNDING) @ chances[1]
        passes = chances[0] @ (high <= most_allowed) @ chances[1]
        # All pairs of the check share the error of a fail; each may pass with the whole of it.
        assert fails * groups * (groups - 1) <= ERROR + ROUNDING, (rate, most_allowed)
        assert passes <= ERROR + ROUNDING, (rate, most_allowed)


@pytest.mark.parametrize("n", [34, 50, 100, 350])
def test_a_rise_exactly_at_the_limit_fails_or_passes_at_most_at_the_stated_rate(n: int) -> None:
    counts = np.arange(_likely(n, 0.15) + 1.0)
    entered, left = np.meshgrid(counts, counts, indexing="ij")
    rest = n - entered - left
    possible = rest >= 0
    entered, left, rest = entered[possible], left[possible], rest[possible]
    passing = exact_paired_difference(entered, left, n).high
    for groups, leaving, rise in product(
        (2, 7, 29), (0.0, 0.002, 0.01, 0.05), (0.0, 0.005, 0.02, 0.1)
    ):
        if leaving + rise == 0:
            continue
        table = np.stack([entered, left, rest], axis=-1)
        shares = [leaving + rise, leaving, 1 - 2 * leaving - rise]
        chances = stats.multinomial.pmf(table, n, shares)
        low = exact_paired_difference(entered, left, n, simultaneous(0.95, groups)).low
        assert chances[low > rise + ROUNDING].sum() * groups <= ERROR + ROUNDING
        assert chances[passing < rise - ROUNDING].sum() <= ERROR + ROUNDING
