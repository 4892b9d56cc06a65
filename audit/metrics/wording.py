"""How far wording alone moves a group's flag rate, and whether the worst group stays the worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from audit.datasets.dataset import Groups
from audit.metrics.ablation import Trial
from audit.metrics.predictions import Predictions
from audit.statistics.intervals import Float64s, share
from audit.statistics.support import support_of


def wording_table(
    before: Predictions, trials: Sequence[Trial], groups: Sequence[Groups]
) -> pd.DataFrame:
    """Returns how far each group's flag rate moves with wording alone, for each kind of change.

    Lowest, median and highest are over the policy's own wording and all others of the kind;
    `kendall_tau` is the mean agreement of the groups' order with that of the own wording, of groups
    with 30 images, and undefined where all of them have one rate.
    """
    parts = []
    for kind in dict.fromkeys(trial.variant.kind for trial in trials):
        of_kind = [before, *(t.predictions for t in trials if t.variant.kind == kind)]
        flags = np.stack([each.flagged for each in of_kind], axis=1)
        for part in groups:
            sizes = part.sizes
            rates = share(part.count(flags), sizes[:, np.newaxis])
            columns: dict[str, Any] = {"policy": before.name, "kind": kind}
            columns |= {"by": part.by, "group": part.names, "n": sizes}
            columns |= {"wordings": len(of_kind), "lowest": rates.min(axis=1)}
            columns |= {"median": np.median(rates, axis=1), "highest": rates.max(axis=1)}
            support = support_of(sizes)
            tau = _mean_tau(rates[support != "suppressed"])
            columns |= {"kendall_tau": tau, "support": support}
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _mean_tau(rates: Float64s) -> float:
    """Returns the mean Kendall tau-b of the first column of (g, w) rates with each other."""
    if len(rates) < 2:
        return float("nan")
    taus = [_tau(rates[:, 0], rates[:, column]) for column in range(1, rates.shape[1])]
    known = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(known)) if known else float("nan")


def _tau(one: Float64s, other: Float64s) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.kendalltau(one, other).statistic)
