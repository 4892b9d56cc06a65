"""How much a policy flags each group of one sensitive feature, standardised for the others.

Where the old are flagged more often and a race has more old faces, that race is flagged more often
although it is not treated otherwise. Standardised, each group has the ages of the whole dataset.

Shapes: g groups of the feature, s strata of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audit.datasets.groups import Groups, Marks
from audit.metrics.predictions import Predictions
from audit.metrics.rates import rate_marks
from audit.statistics.intervals import (
    Float64s,
    Interval,
    difference,
    difference_of,
    share,
    wilson,
)
from audit.statistics.stratification import (
    CommonSupport,
    Counts,
    common_support,
    mantel_haenszel_p,
    standardised_rates,
)
from audit.statistics.support import SUPPRESSED_BELOW, support_of


class StandardisedTables(NamedTuple):
    """The standardised rates of groups, and the strata that they are over."""

    rates: pd.DataFrame
    strata: pd.DataFrame


def standardised_tables(
    predictions: Iterable[Predictions],
    parts: Iterable[tuple[Groups, Groups]],
    metrics: Iterable[str],
) -> StandardisedTables:
    """Returns the rates of each policy by each feature, standardised for others.

    Args:
        predictions: of the policies.
        parts: the groups of each feature, with the strata of the others.
        metrics: that are compared.
    """
    named, found = set(metrics), list(parts)
    rates, strata = [], []
    for each in predictions:
        marks = [row for row in rate_marks(each) if row[0] in named]
        for part, others in found:
            for metric, hits, possible in marks:
                cells = _StratumCells(*(_stratified(part, others, of) for of in (hits, possible)))
                names = {"policy": each.name, "by": part.by, "standardised_for": others.by}
                common = common_support(cells.n, cells.n.sum(axis=1) >= SUPPRESSED_BELOW)
                if common.groups.sum() < 2:
                    continue
                names["metric"] = metric
                rates.append(_standardised_rows(part, cells, common).assign(**names))
                strata.append(names | _strata_row(part, cells.n, common))
    table = pd.concat(rates, ignore_index=True) if rates else pd.DataFrame()
    return StandardisedTables(table, pd.DataFrame(strata))


class _StratumCells(NamedTuple):
    """(g, s) hits and images."""

    hits: Counts
    n: Counts

    def of(self, common: CommonSupport) -> _StratumCells:
        """Returns the cells of the groups that are compared, and of the common strata."""
        return _StratumCells(*(each[np.ix_(common.groups, common.strata)] for each in self))

    def rest(self, common: CommonSupport) -> _StratumCells:
        """Returns the same of all images but those of each group."""
        return _StratumCells(
            *(
                each.sum(axis=0)[common.strata] - each[np.ix_(common.groups, common.strata)]
                for each in self
            )
        )


def _stratified(part: Groups, strata: Groups, marks: Marks) -> Counts:
    """Returns (g, s) counts of the marked images of each group in each stratum."""
    g, s = len(part.names), len(strata.names)
    cells = part.codes[marks] * s + strata.codes[marks]
    return part.sums(cells, g * s, marks).reshape(g, s)


def _standardised_rows(part: Groups, cells: _StratumCells, common: CommonSupport) -> pd.DataFrame:
    names = np.array(part.names, object)[common.groups]
    figures = _crude_figures(cells, common) | _standardised_figures(cells, common)
    return pd.DataFrame({"group": names} | figures)


def _crude_figures(cells: _StratumCells, common: CommonSupport) -> dict[str, Float64s]:
    """Returns the rate of each group and how far it lies from all others, as they are."""
    count, n = (each.sum(axis=1)[common.groups] for each in cells)
    rest_count, rest_n = (each.sum() - own for each, own in zip(cells, (count, n), strict=True))
    rate = share(count, n)
    return {
        "crude_count": count,
        "crude_n": n,
        "crude": rate,
        **_bounds("crude_", wilson(count, n)),
        "crude_difference": rate - share(rest_count, rest_n),
        **_bounds("crude_difference_", difference(count, n, rest_count, rest_n)),
    }


def _standardised_figures(cells: _StratumCells, common: CommonSupport) -> dict[str, Any]:
    """Returns the same, standardised, over the common strata."""
    weight = cells.n.sum(axis=0)[common.strata]
    own, rest = cells.of(common), cells.rest(common)
    one, other = (standardised_rates(*side, weight) for side in (own, rest))
    apart = difference_of(one.rate, one.interval, other.rate, other.interval)
    return {
        "n": own.n.sum(axis=1),
        "effective_n": one.effective_n,
        "rate": one.rate,
        **_bounds("", one.interval),
        "rest": other.rate,
        "difference": one.rate - other.rate,
        **_bounds("difference_", apart),
        "p": [mantel_haenszel_p(*tables) for tables in zip(*own, *rest, strict=True)],
        "support": support_of(np.nan_to_num(one.effective_n)),
    }


def _bounds(name: str, interval: Interval) -> dict[str, Float64s]:
    return {f"{name}low": interval.low, f"{name}high": interval.high}


def _strata_row(part: Groups, n: Counts, common: CommonSupport) -> dict[str, Any]:
    left_out = tuple(
        name
        for name, size, kept in zip(part.names, n.sum(axis=1), common.groups, strict=True)
        if size and not kept
    )
    return {
        "strata": int((n.sum(axis=0) > 0).sum()),
        "common": int(common.strata.sum()),
        "n": int(n.sum()),
        "common_n": int(n[:, common.strata].sum()),
        "left_out": left_out,
    }
