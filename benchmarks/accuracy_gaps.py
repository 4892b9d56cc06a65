"""By how much a side flags one group more often than another, where a dataset has groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from audit.datasets.groups import Groups
from audit.metrics.gaps import widest_gaps
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE, rate_table
from audit.statistics.significance import holm

#: What is compared between groups: of images that must pass, of images that must not, and of all
#: where neither is known.
METRICS = {FALSE_POSITIVE: "false flags", TRUE_POSITIVE: "recall", FLAG: "flags"}


def gap_rows(said: Sequence[Predictions], partitions: Sequence[Groups]) -> list[dict[str, Any]]:
    """Returns a row for each side, sensitive feature and rate: its widest gap between groups.

    The interval is of the widest true gap, whichever two groups have it. p says whether the groups
    differ at all; `p_holm` is corrected for all rows together. Groups of fewer than 30 images are
    not compared.
    """
    if len(partitions) < 2 or not said:
        return []
    gaps = pd.concat([_gaps_of(each, partitions) for each in said], ignore_index=True)
    gaps["p_holm"] = holm(gaps["p"])
    rows = gaps.assign(left_out=gaps["left_out"].map(list)).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _gaps_of(said: Predictions, partitions: Sequence[Groups]) -> pd.DataFrame:
    """Returns the gaps of one side; in all flags only where the truth of no image is known."""
    rates = rate_table(said, partitions)
    known = [metric for metric in (FALSE_POSITIVE, TRUE_POSITIVE) if metric in set(rates["metric"])]
    return widest_gaps(rates[rates["metric"].isin(known or [FLAG])])
