"""How far groups lie from the overall rate and from each other: differences, ratios, claims.

Takes the rows of `audit.metrics.rates.rate_table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from audit.datasets.dataset import OVERALL
from audit.statistics.intervals import Float64s, difference, ratio, share
from audit.statistics.significance import ALPHA, holm, independence_p
from audit.statistics.support import support_of

KEYS = ["policy", "by", "metric"]


def differences_to_overall(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns each group's difference and ratio to the overall rate, with intervals.

    The overall holds the group itself, so intervals come from the group against all other images:
    p_g - p = (1 - n_g / n) (p_g - p_rest). p is of that comparison, corrected by Holm over the
    groups of a feature. A comparison with a suppressed side is not tested.
    """
    parts = [_to_overall(part) for _, part in features(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def differences_between_groups(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the difference and ratio of each pair of groups, with intervals.

    p is corrected by Holm over the pairs of a feature; one with a suppressed side is not tested.
    """
    parts = [_between_groups(part) for _, part in features(rates)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def features(rates: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yields the groups of each policy, feature and metric; the whole dataset is none."""
    yield from rates[rates["by"] != OVERALL].groupby(KEYS, sort=False, observed=True)


def _to_overall(part: pd.DataFrame) -> pd.DataFrame:
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    total, total_n = int(count.sum()), int(n.sum())
    rest, rest_n = total - count, total_n - n
    weight = share(n, total_n)
    apart, times = difference(count, n, rest, rest_n), ratio(count, n, rest, rest_n)
    table = _row_columns(part, OVERALL, "to_overall", total, total_n)
    table["difference"] = share(count, n) - share(total, total_n)
    table["difference_low"], table["difference_high"] = ((1 - weight) * bound for bound in apart)
    table["ratio"] = share(share(count, n), share(total, total_n))
    table["ratio_low"], table["ratio_high"] = (_ratio_to_whole(bound, weight) for bound in times)
    # Two samples are compared, so either can be too small for it.
    support = _weaker(part["support"].to_numpy(), support_of(rest_n))
    return _with_claims(table, (count, n, rest, rest_n), support)


def _ratio_to_whole(to_rest: Float64s, weight: Float64s) -> Float64s:
    """Returns p_g / p from R = p_g / p_rest and the group's weight w: R / (w R + 1 - w)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = to_rest / (weight * to_rest + 1 - weight)
        return np.where(np.isinf(to_rest), 1 / weight, whole)


def _between_groups(part: pd.DataFrame) -> pd.DataFrame:
    pairs = list(combinations(range(len(part)), 2))
    one, two = (np.array([pair[i] for pair in pairs], np.intp) for i in (0, 1))
    count, n = part["count"].to_numpy(), part["n"].to_numpy()
    cells = (count[one], n[one], count[two], n[two])
    table = _row_columns(
        part.iloc[one], part["group"].to_numpy()[two], "between_groups", *cells[2:]
    )
    table["difference"] = share(*cells[:2]) - share(*cells[2:])
    table["difference_low"], table["difference_high"] = difference(*cells)
    table["ratio"] = share(share(*cells[:2]), share(*cells[2:]))
    table["ratio_low"], table["ratio_high"] = ratio(*cells)
    support = _weaker(part["support"].to_numpy()[one], part["support"].to_numpy()[two])
    return _with_claims(table, cells, support)


def _row_columns(
    part: pd.DataFrame, reference: Any, comparison: str, reference_count: Any, reference_n: Any
) -> pd.DataFrame:
    table = part[["policy", "by", "metric", "group", "count", "n"]].reset_index(drop=True)
    return table.assign(
        reference=reference,
        comparison=comparison,
        reference_count=reference_count,
        reference_n=reference_n,
    )


def _weaker(one: Any, two: Any) -> Any:
    order = ["suppressed", "indicative", "full"]
    return np.array([min(pair, key=order.index) for pair in zip(one, two, strict=True)], object)


def _with_claims(table: pd.DataFrame, cells: Sequence[Any], support: Any) -> pd.DataFrame:
    """Adds p, corrected p and claim of the comparison in each row that has support."""
    tested = support != "suppressed"
    p = np.full(len(table), np.nan)
    p[tested] = independence_p(*(cell[tested] for cell in cells))
    table["p"], table["p_adjusted"] = p, holm(p)
    table["support"] = support
    table["claim"] = table["p_adjusted"] < ALPHA
    return table
