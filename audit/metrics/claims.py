"""Which differences a report claims: those that stand after one correction over the whole report.

A report tests hundreds of hypotheses: each group against the others, for each policy and rate, and
each change. Were every family of them corrected by itself, every third report would claim something
by chance alone. So one p is adjusted over all of them, and a claim is what it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from audit.metrics.chance import DRAWS, Hypotheses
from audit.statistics.intervals import Float64s
from audit.statistics.significance import ALPHA, westfall_young


class Claims(NamedTuple):
    """What a report claims.

    Attributes:
        tables: those of the hypotheses, with `p_report`, adjusted over all rows, and `claim`.
        hypotheses: how many rows were tested.
        draws: of tables in which nothing differs.
        critical: a p below this is claimed, whatever the others are.
    """

    tables: list[pd.DataFrame]
    hypotheses: int
    draws: int
    critical: float


def report_claims(tests: Sequence[Hypotheses]) -> Claims:
    """Returns what a report claims of the hypotheses that it tests.

    Rows without support, or without a p, are not tested.
    """
    tested = [_tested_rows(test.table) for test in tests]
    chance = [np.empty((DRAWS, 0), np.float32)]
    for test, rows in zip(tests, tested, strict=True):
        chance += [test.chance(rows, DRAWS)] if len(rows) else []
    p = np.concatenate(
        [rows["p"].to_numpy(np.float64) for rows in tested if len(rows)] or [np.empty(0)]
    )
    found = westfall_young(p, np.concatenate(chance, axis=1))
    ends = np.cumsum([len(table) for table in tested])[:-1]
    tables = [
        _claimed(test.table, part.index, values)
        for test, part, values in zip(tests, tested, np.split(found.adjusted, ends), strict=True)
    ]
    return Claims(tables, len(p), DRAWS, found.critical)


def _tested_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["support"] != "suppressed") & table["p"].notna()] if len(table) else table


def _claimed(table: pd.DataFrame, tested: pd.Index[int], adjusted: Float64s) -> pd.DataFrame:
    p = pd.Series(np.nan, table.index)
    p[tested] = adjusted
    return table.assign(p_report=p, claim=p < ALPHA)
