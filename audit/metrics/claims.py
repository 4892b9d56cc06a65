"""Which differences a report claims: those that stand after one correction over the whole report.

A report tests hundreds of hypotheses: each group against the others, for each policy and rate, and
each change. Were every family of them corrected by itself, every third report would claim something
by chance alone. So one p is adjusted over all of them, and a claim is what it makes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from audit.statistics.significance import ALPHA, holm


def claimed(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Returns the tables with `p_report`, adjusted over all rows of all of them, and `claim`.

    Each row is a hypothesis with its p. Rows without support are not tested.
    """
    tested = [
        table["p"].where(table["support"] != "suppressed").to_numpy() if len(table) else np.empty(0)
        for table in tables
    ]
    adjusted = np.split(holm(np.concatenate(tested)), np.cumsum([len(p) for p in tested])[:-1])
    return [
        table.assign(p_report=p, claim=p < ALPHA) for table, p in zip(tables, adjusted, strict=True)
    ]
