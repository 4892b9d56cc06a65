"""Flag rates of groups over a sweep of thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from audit.datasets.dataset import Groups
from audit.metrics.predictions import Predictions
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of

#: The published experiment used 0.5 % and 4 %.
THRESHOLDS = (0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def threshold_table(
    predictions: Predictions, groups: Iterable[Groups], thresholds: Sequence[float]
) -> pd.DataFrame:
    """Returns, for each threshold, each group's flag rate if all labels that flag had it.

    Under top_label a label still flags only where it is the most similar one.
    """
    columns = [
        j
        for j, label in enumerate(predictions.policy.labels)
        if label.action in ("review", "block")
    ]
    scores = predictions.scores
    if predictions.policy.decision == "top_label":
        cosines = predictions.similarities
        scores = np.where(cosines == cosines.max(axis=1, keepdims=True), scores, -1.0)
    # Below every threshold where there is no such label.
    highest = scores[:, columns].max(axis=1, initial=-1.0)
    flags = highest[:, np.newaxis] >= np.array(thresholds, np.float32)
    parts = []
    for part in groups:
        count, sizes = part.count(flags), part.sizes
        low, high = wilson(count, sizes[:, np.newaxis])
        for g, group in enumerate(part.names):
            table = pd.DataFrame({"threshold": list(thresholds), "count": count[g]})
            table["by"], table["group"], table["n"] = part.by, group, sizes[g]
            table["rate"], table["low"], table["high"] = share(count[g], sizes[g]), low[g], high[g]
            table["policy"], table["support"] = predictions.name, support_of(sizes[g]).item()
            parts.append(table)
    return pd.concat(parts, ignore_index=True)
