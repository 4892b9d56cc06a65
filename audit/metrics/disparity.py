"""How far groups lie from the overall rate and from each other: differences, ratios, claims.

Takes the rows of `audit.metrics.rates.rate_table`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audit.datasets.dataset import OVERALL
from audit.statistics.intervals import Float64s, difference, ratio, share
from audit.statistics.significance import ALPHA, holm, independence_p
from audit.statistics.support import support_of

KEYS = ["policy", "by", "metric"]


def differences_to_overall(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns each group's difference and ratio to the overall rate, with intervals.

    The overall rate includes the group itself, so intervals come from the group against all other
    images: p_g - p = (1 - n_g / n) (p_g - p_rest). p is of that comparison, corrected by Holm over
    the groups of a sensitive feature. A comparison with a suppressed side is not tested.
    """
    parts = [_to_overall(part) for _, part in families(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def differences_between_groups(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the difference and ratio of each pair of groups, with intervals.

    p is corrected by Holm over the pairs of a sensitive feature. A pair with a suppressed side is
    not tested.
    """
    parts = [_between_groups(part) for _, part in families(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def families(rates: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yields the groups of each policy, sensitive feature and metric, without the whole dataset."""
    parts: Any = rates[rates["by"] != OVERALL].groupby(KEYS, sort=False, observed=True)
    yield from parts


class _Cells(NamedTuple):
    """Counts and sizes of some groups, and of what each is compared with."""

    count: Any
    n: Any
    reference_count: Any
    reference_n: Any


def _to_overall(part: pd.DataFrame) -> pd.DataFrame:
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    total, total_n = int(count.sum()), int(n.sum())
    rest = _Cells(count, n, total - count, total_n - n)
    weight = share(n, total_n)
    table = _rates_apart(part, OVERALL, "to_overall", _Cells(count, n, total, total_n))
    for end, apart, times in zip(("low", "high"), difference(*rest), ratio(*rest), strict=True):
        table[f"difference_{end}"] = (1 - weight) * apart
        table[f"ratio_{end}"] = _ratio_to_whole(times, weight)
    # Two samples are compared, so either can be too small for it.
    support = _weaker(part["support"].to_numpy(), support_of(rest.reference_n))
    return _with_claims(table, rest, support)


def _ratio_to_whole(to_rest: Float64s, weight: Float64s) -> Float64s:
    """Returns p_g / p from R = p_g / p_rest and the group's weight w: R / (w R + 1 - w)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = to_rest / (weight * to_rest + 1 - weight)
        return np.where(np.isinf(to_rest), 1 / weight, whole)


def _between_groups(part: pd.DataFrame) -> pd.DataFrame:
    pairs = list(combinations(range(len(part)), 2))
    one, two = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    count, n, group, support = (part[key].to_numpy() for key in ("count", "n", "group", "support"))
    cells = _Cells(count[one], n[one], count[two], n[two])
    table = _rates_apart(part.iloc[one], group[two], "between_groups", cells)
    table["difference_low"], table["difference_high"] = difference(*cells)
    table["ratio_low"], table["ratio_high"] = ratio(*cells)
    return _with_claims(table, cells, _weaker(support[one], support[two]))


def _rates_apart(
    part: pd.DataFrame, reference: Any, comparison: str, cells: _Cells
) -> pd.DataFrame:
    """Returns the difference and ratio of the rates in each row, without intervals."""
    table = part[["policy", "by", "metric", "group", "count", "n"]].reset_index(drop=True)
    rate, reference_rate = share(*cells[:2]), share(*cells[2:])
    return table.assign(
        reference=reference,
        comparison=comparison,
        reference_count=cells.reference_count,
        reference_n=cells.reference_n,
        difference=rate - reference_rate,
        ratio=share(rate, reference_rate),
    )


def _weaker(one: Any, two: Any) -> Any:
    order = ["suppressed", "indicative", "full"]
    return np.array([min(pair, key=order.index) for pair in zip(one, two, strict=True)], object)


def _with_claims(table: pd.DataFrame, cells: _Cells, support: Any) -> pd.DataFrame:
    """Adds p, adjusted p and claim of the comparison in each row that has support."""
    tested = support != "suppressed"
    p = np.full(len(table), np.nan)
    p[tested] = independence_p(*(cell[tested] for cell in cells))
    adjusted = holm(p)
    return table.assign(p=p, p_adjusted=adjusted, support=support, claim=adjusted < ALPHA)
