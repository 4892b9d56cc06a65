"""The shares flagged where sensitive features meet, pooled: few images borrow from other cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audit.datasets.groups import Groups
from audit.metrics.predictions import Predictions
from audit.metrics.rates import harm_marks
from audit.statistics.intervals import share, wilson
from audit.statistics.pooling import PooledRates, pooled_rates
from audit.statistics.support import support_of


class PooledTables(NamedTuple):
    """The cells of intersections, and how far those of each lie apart."""

    cells: pd.DataFrame
    gaps: pd.DataFrame


def pooled_tables(
    predictions: Iterable[Predictions], intersections: Iterable[Groups], harm: str
) -> PooledTables:
    """Returns whom of the cells of each intersection that have an image each policy harms, pooled.

    An intersection of which fewer than two cells have one is left out.
    """
    parts = list(intersections)
    cells, gaps = [], []
    for each in predictions:
        hits, possible = harm_marks(each, harm)
        for part in parts:
            sizes = part.count(possible)
            there = sizes > 0
            if np.count_nonzero(there) < 2:
                continue
            names = np.array(part.names, object)[there]
            count, n = part.count(hits)[there], sizes[there]
            of = {"policy": each.name, "by": part.by, "metric": harm}
            pooled = pooled_rates(count, n)
            raw = wilson(count, n)
            columns = {"group": names, "count": count, "n": n, "rate": share(count, n)}
            columns |= {"low": raw.low, "high": raw.high, "pooled": pooled.rate}
            columns |= {"pooled_low": pooled.interval.low, "pooled_high": pooled.interval.high}
            cells.append(pd.DataFrame(columns).assign(support=support_of(n), **of))
            gaps.append(of | _pooled_gap(cells[-1], pooled))
    table = pd.concat(cells, ignore_index=True) if cells else pd.DataFrame()
    return PooledTables(table, pd.DataFrame(gaps))


def _pooled_gap(cells: pd.DataFrame, pooled: PooledRates) -> dict[str, Any]:
    return {
        "cells": len(cells),
        "n": int(cells["n"].sum()),
        "smallest_n": int(cells["n"].min()),
        "highest": cells["group"].iloc[int(cells["pooled"].argmax())],
        "lowest": cells["group"].iloc[int(cells["pooled"].argmin())],
        "raw_difference": float(cells["rate"].max() - cells["rate"].min()),
        "difference": pooled.gap,
        "difference_low": float(pooled.gap_interval.low),
        "difference_high": float(pooled.gap_interval.high),
    }
