"""How far groups lie from the overall rate and from each other.

Takes the rows of `audit.metrics.rates.rate_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.groups import OVERALL
from audit.statistics.intervals import (
    Float64s,
    difference,
    ratio,
    share,
)
from audit.statistics.significance import holm, holm_against_rest, independence_p
from audit.statistics.support import support_of, weaker_support


def differences_to_overall(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns each group's difference and ratio to the overall rate, with intervals.

    The overall rate includes the group itself, so intervals come from the group against all other
    images: p_g - p = (1 - n_g / n) (p_g - p_rest). p is of that comparison, corrected by Holm over
    the groups of a sensitive feature; two groups are one comparison. One with a suppressed side is
    not tested.
    """
    families = DisparityFamilies.of(rates)
    if families.table.empty:
        return pd.DataFrame()
    count, n = families.table["count"].to_numpy(), families.table["n"].to_numpy()
    total, total_n = families.totals(count), families.totals(n)
    rest = _Cells(count, n, total - count, total_n - n)
    weight = share(n, total_n)
    whole = _Cells(count, n, total, total_n)
    columns = _plain_disparities(families.table, OVERALL, "to_overall", whole)
    for end, apart, times in zip(("low", "high"), difference(*rest), ratio(*rest), strict=True):
        columns[f"difference_{end}"] = (1 - weight) * apart
        columns[f"ratio_{end}"] = _overall_disparity_ratio(times, weight)
    # Two samples are compared, so either can be too small for it.
    own = families.table["support"].to_numpy()
    columns["support"] = weaker_support(own, support_of(rest.reference_n))
    return _tested_disparities(columns, rest, families.codes, holm_against_rest)


def differences_between_groups(rates: pd.DataFrame) -> pd.DataFrame:
    """Returns the difference and ratio of each pair of groups, with intervals.

    p is corrected by Holm over the pairs of a sensitive feature. A pair with a suppressed side is
    not tested.
    """
    families = DisparityFamilies.of(rates)
    if families.table.empty:
        return pd.DataFrame()
    one, two = families.pairs()
    names = ("count", "n", "group", "support")
    count, n, group, support = (families.table[name].to_numpy() for name in names)
    cells = _Cells(count[one], n[one], count[two], n[two])
    columns = _plain_disparities(families.table.iloc[one], group[two], "between_groups", cells)
    columns["difference_low"], columns["difference_high"] = difference(*cells)
    columns["ratio_low"], columns["ratio_high"] = ratio(*cells)
    columns["support"] = weaker_support(support[one], support[two])
    return _tested_disparities(columns, cells, families.codes[one], holm)


def disparity_families(rates: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yields the groups of each policy, sensitive feature and metric, without the whole dataset."""
    keys = ["policy", "by", "metric"]
    parts: Any = rates[rates["by"] != OVERALL].groupby(keys, sort=False, observed=True)
    yield from parts


class DisparityFamilies(NamedTuple):
    """Rates of groups, those of one policy, feature and metric beside each other.

    Attributes:
        table: their rows, without the whole dataset.
        codes: (rows,) the family of each, from 0 on.
    """

    table: pd.DataFrame
    codes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, rates: pd.DataFrame) -> DisparityFamilies:
        """Returns the families of rates, in the order in which they begin."""
        of_groups = rates[rates["by"] != OVERALL]
        keys = ["policy", "by", "metric"]
        codes = of_groups.groupby(keys, sort=False, observed=True).ngroup().to_numpy()
        order = np.argsort(codes, kind="stable")
        return cls(of_groups.iloc[order].reset_index(drop=True), codes[order].astype(np.intp))

    @property
    def spans(self) -> list[range]:
        """The rows of each family."""
        return _spans(self.codes)

    def totals(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns (rows,) the sum of a row's family, of (rows,) values."""
        sums: npt.NDArray[np.int64] = np.add.reduceat(values, [span.start for span in self.spans])
        return sums[self.codes]

    def pairs(self) -> npt.NDArray[np.intp]:
        """Returns (2, pairs) the rows of each pair of groups of a family."""
        pairs = [pair for span in self.spans for pair in combinations(span, 2)]
        return np.array(pairs, np.intp).reshape(-1, 2).T


def _spans(codes: npt.NDArray[np.intp]) -> list[range]:
    """Returns where each of the codes stands, of (n,) in order."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
    return [range(*ends) for ends in pairwise([*starts, len(codes)])]


class _Cells(NamedTuple):
    """Counts and sizes of some groups, and of what each is compared with."""

    count: Any
    n: Any
    reference_count: Any
    reference_n: Any


def _overall_disparity_ratio(to_rest: Float64s, weight: Float64s) -> Float64s:
    """Returns p_g / p from R = p_g / p_rest and the group's weight w: R / (w R + 1 - w)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = to_rest / (weight * to_rest + 1 - weight)
        return np.where(np.isinf(to_rest), 1 / weight, whole)


def _plain_disparities(
    rows: pd.DataFrame, reference: Any, comparison: str, cells: _Cells
) -> dict[str, Any]:
    """Returns the difference and ratio of the rates in each row, without intervals, by column."""
    names = ("policy", "by", "metric", "group", "count", "n")
    rate, reference_rate = share(*cells[:2]), share(*cells[2:])
    return {
        **{name: rows[name].reset_index(drop=True) for name in names},
        "reference": reference,
        "comparison": comparison,
        "reference_count": cells.reference_count,
        "reference_n": cells.reference_n,
        "difference": rate - reference_rate,
        "ratio": share(rate, reference_rate),
    }


def _tested_disparities(
    columns: dict[str, Any],
    cells: _Cells,
    families: npt.NDArray[np.intp],
    adjust: Callable[[Float64s], Float64s],
) -> pd.DataFrame:
    """Returns the columns, with p and adjusted p of the comparison in each row that has support."""
    tested = columns["support"] != "suppressed"
    p, adjusted = np.full((2, len(families)), np.nan)
    p[tested] = independence_p(*(cell[tested] for cell in cells))
    for span in _spans(families):
        adjusted[span.start : span.stop] = adjust(p[span.start : span.stop])
    return pd.DataFrame(columns | {"p": p, "p_adjusted": adjusted})
