"""Which groups, and which of their changes, are shown to lie within a margin.

What is not shown to differ is not shown to be alike. That is another claim, with tests of its own:
all of a report's are corrected together by Holm, apart from what it claims to differ.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from audit.statistics.equivalence import change_equivalence, rates_equivalence
from audit.statistics.intervals import Float64s
from audit.statistics.significance import ALPHA, holm

#: What is shown, by whether a margin holds the difference, and whether the report claims one.
_ANSWERS = {
    (True, False): "within",
    (True, True): "differs within",
    (False, True): "differs",
    (False, False): "neither",
}


def equivalence_table(apart: pd.DataFrame, shifts: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Returns whether each difference is shown to be within a margin, and whether it is claimed.

    Args:
        apart: groups, each with the `count` and `n` of itself and of all images, as reference.
        shifts: changes of groups, each with `entered`, `left` and `n`.
        margin: as a share.
    """
    parts = [_apart_rows(apart, margin)] if len(apart) else []
    parts += [_shift_rows(shifts, margin)] if len(shifts) else []
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    tested = (table["support"] != "suppressed").to_numpy()
    p = np.where(tested, table["p"], np.nan)
    adjusted = _adjusted(p, table)
    shown = zip(adjusted < ALPHA, table["claim"], strict=True)
    answers = [_ANSWERS[bool(within), bool(claim)] for within, claim in shown]
    found = table.drop(columns="claim")
    return found.assign(margin=margin, p=p, p_adjusted=adjusted, answer=answers)


def _adjusted(p: Float64s, table: pd.DataFrame) -> Float64s:
    """Returns p by Holm over the table; two groups against each other are one comparison."""
    family = table.groupby(["kind", "policy", "by"], sort=False)["group"]
    mirrored = (table["kind"] == "group") & (family.transform("size") == 2)
    again = (mirrored & (family.cumcount() == 1)).to_numpy()
    adjusted = holm(np.where(again, np.nan, p))
    # The second of the two stands below the first.
    return np.where(again, np.roll(adjusted, 1), adjusted)


def _apart_rows(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    count, n = (table[name].to_numpy(np.int64) for name in ("count", "n"))
    rest, rest_n = table["reference_count"] - count, table["reference_n"] - n
    found = rates_equivalence(count, n, rest, rest_n, margin)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = count / n - (rest / rest_n).to_numpy()
    rows = table[["policy", "by", "group", "metric", "n", "support", "claim"]]
    low, high = found.interval
    return rows.assign(
        kind="group", before_policy=None, difference=apart, low=low, high=high, p=found.p
    )


def _shift_rows(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    found = change_equivalence(table["entered"], table["left"], table["n"], margin)
    rows = table[["before_policy", "by", "group", "metric", "n", "support", "claim"]]
    low, high = found.interval
    return rows.assign(
        kind="shift",
        policy=table["after_policy"],
        difference=table["net"],
        low=low,
        high=high,
        p=found.p,
    )
