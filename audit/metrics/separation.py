"""How well a policy's scores separate what should be flagged from what should not, by group.

The score of an image is its margin: the number by which all thresholds together would have to move
before its flag changes. It is one number for policies of several labels, each with a threshold of
its own, and an AUC asks for its order alone, so nothing here depends on where the thresholds are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from audit.datasets.groups import Groups
from audit.metrics.predictions import PolicyPredictions
from audit.metrics.thresholds import threshold_margin
from audit.statistics.scores import auc
from audit.statistics.support import support_of


def separation_table(predictions: PolicyPredictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns the AUC within each group, and between a group and all others in both directions.

    Empty where the truth is not known to hold both kinds of images. A group against all others is
    xAUC: its positives against their negatives, and theirs against its own.

    Raises:
        ValueError: a row stands for several images.

    Source: Kallus and Zhou 2019, arXiv 1902.05826.
    """
    truth = predictions.truth
    if truth is None or not truth.positive.any() or not truth.negative.any():
        return pd.DataFrame()
    margins = threshold_margin(predictions)
    rows: list[dict[str, Any]] = []
    for part in groups:
        part.refuse_weights("an area under a curve")
        for code, group in enumerate(part.names):
            own = part.codes == code
            for compared, of, against in _compared_sides(own, several=len(part.names) > 1):
                positives, negatives = (
                    margins[truth.positive & of],
                    margins[truth.negative & against],
                )
                found = auc(positives, negatives)
                fewer = min(len(positives), len(negatives))
                rows.append(
                    {"policy": predictions.name, "by": part.by, "group": group}
                    | {"compared": compared, "positives": len(positives)}
                    | {"negatives": len(negatives), "auc": found.value, "low": found.low}
                    | {"high": found.high, "support": support_of(fewer).item()}
                )
    return pd.DataFrame(rows)


def _compared_sides(own: Any, *, several: bool) -> Iterator[tuple[str, Any, Any]]:
    """Yields what is compared: whose positives with whose negatives."""
    yield "within", own, own
    if several:
        yield "positives_to_others", own, ~own
        yield "negatives_to_others", ~own, own
