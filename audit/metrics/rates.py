"""How many images of each group a policy flags, and how: counts, n, rates, Wilson intervals.

A table has a row for each policy, group and metric, with the columns of `COLUMNS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from audit.datasets.groups import Counts, Groups, Marks, crossed_groups
from audit.errors import UndefinedRateWarning
from audit.metrics.predictions import Predictions
from audit.metrics.truth import Truth, common_truths, contradicted
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of
from moderation.scoring.verdict import ACTIONS

COLUMNS = ("policy", "by", "group", "metric", "count", "n", "rate", "low", "high", "support")

#: Share of images that are flagged for review or blocked. It is fairlearn's selection_rate, where
#: being selected is the harm.
FLAG = "selection_rate"
FALSE_POSITIVE, TRUE_POSITIVE = "false_positive_rate", "true_positive_rate"
MISCLASSIFIED = "misclassification_rate"


def harm_metric(predictions: Iterable[Predictions]) -> str:
    """Returns the metric of the harm that a report measures: misclassified where none can flag."""
    return FLAG if any(each.can_flag for each in predictions) else MISCLASSIFIED


def harm_marks(predictions: Predictions, harm: str) -> tuple[Marks, Marks]:
    """Returns the (n,) images that come to the harm of a report, and those that could."""
    every = (
        (hits, possible) for metric, hits, possible in rate_marks(predictions) if metric == harm
    )
    nobody = np.zeros(len(predictions), bool)
    return next(every, (nobody, nobody))


def rate_marks(predictions: Predictions) -> Iterator[tuple[str, Marks, Marks]]:
    """Yields each metric of a rate with the (n,) images that count, and those that could.

    Metrics are selection_rate, action:ACTION, category:NAME (one of its labels asks for review or
    block), fired:LABEL (that label asks for it), label:LABEL (it is the most similar label), and,
    where the truth is known, false_positive_rate, true_positive_rate and misclassification_rate.
    Those of flags are left out where nothing can be flagged.
    """
    everything = np.ones(len(predictions), bool)
    if predictions.can_flag:
        yield FLAG, predictions.flagged, everything
    if (truth := predictions.truth) is not None:
        wrong = ~truth.correct(predictions.y_pred)
        for metric, possible in _truth_marks(truth).items():
            hits = wrong if metric == MISCLASSIFIED else predictions.flagged
            if possible.any() and (predictions.can_flag or metric == MISCLASSIFIED):
                yield metric, hits & possible, possible
    for action in ("allow", "review", "block") if predictions.can_flag else ():
        outcomes = [i for i, name in enumerate(ACTIONS) if name == action]
        yield f"action:{action}", np.isin(predictions.actions, outcomes), everything
    for name, marks in predictions.categories.items():
        yield f"category:{name}", marks, everything
    for column in predictions.flagging:
        yield f"fired:{predictions.label_ids[column]}", predictions.fired[:, column], everything
    for column, label in enumerate(predictions.label_ids):
        yield f"label:{label}", predictions.y_pred == column, everything


def rate_table(predictions: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns the rates of one policy, overall and by group.

    Warns:
        UndefinedRateWarning: a group has no image that a metric could count; its rate is NaN.
    """
    marks, parts = list(rate_marks(predictions)), list(groups)
    names = [name for name, _, _ in marks]
    # Each image is counted once, in the cell of its groups, and the cells in each partition.
    cells = crossed_groups(parts)
    of_possible = {id(possible): cells.count(possible) for _, _, possible in marks}  # mostly all
    count = np.stack([cells.count(hits) for _, hits, _ in marks], axis=1)
    n = np.stack([of_possible[id(possible)] for _, _, possible in marks], axis=1)
    tables = [
        _group_rates(predictions.name, part, names, *(cells.summed(part, of) for of in (count, n)))
        for part in parts
    ]
    table = pd.concat(tables, ignore_index=True)
    undefined = table[table["n"] == 0]
    if len(undefined):
        missing = ", ".join(sorted(undefined["metric"] + " of " + undefined["group"]))
        warnings.warn(f"no image to count: {missing}", UndefinedRateWarning, stacklevel=2)
    return table


def _group_rates(
    policy: str, part: Groups, names: Sequence[str], count: Counts, n: Counts
) -> pd.DataFrame:
    """Returns the g x m rows of a partition, from (g, m) counts."""
    count, n = count.ravel(), n.ravel()
    low, high = wilson(count, n)
    g, m = len(part.names), len(names)
    return pd.DataFrame(
        {
            "policy": pd.Categorical.from_codes(np.zeros(g * m, np.int8), pd.Index([policy])),
            "by": pd.Categorical.from_codes(np.zeros(g * m, np.int8), pd.Index([part.by])),
            "group": np.repeat(np.array(part.names, object), m),
            "metric": np.tile(np.array(names, object), g),
            "count": count,
            "n": n,
            "rate": share(count, n),
            "low": low,
            "high": high,
            "support": support_of(n),
        }
    )


def on_common_images(predictions: Sequence[Predictions]) -> list[Predictions]:
    """Returns the predictions with the truth that all of them know and agree on.

    So a rate that needs the truth counts the same images under each policy.
    """
    truths = [each.truth for each in predictions if each.truth is not None]
    if len(truths) < len(predictions):
        return list(predictions)
    pairs = zip(predictions, common_truths(truths), strict=True)
    return [replace(each, truth=truth) for each, truth in pairs]


def common_images_table(
    predictions: Sequence[Predictions], common: Sequence[Predictions], whole: Groups
) -> pd.DataFrame:
    """Returns how many images each rate that needs the truth counts: by itself, and in common.

    `contradicted` are those of which another policy's labels say the opposite.
    """
    rows = []
    truths = [each.truth for each in predictions if each.truth is not None]
    for own, shared in zip(predictions, common, strict=True):
        if own.truth is None or shared.truth is None:
            continue
        against = contradicted(truths)
        for metric, counted in _truth_marks(own.truth).items():
            row = {"policy": own.name, "metric": metric, "n": whole.images(counted)}
            row |= {"common": whole.images(_truth_marks(shared.truth)[metric])}
            rows.append(row | {"contradicted": whole.images(counted & against)})
    return pd.DataFrame(rows)


def _truth_marks(truth: Truth) -> dict[str, Marks]:
    """Returns by metric the (n,) images that a rate which needs the truth counts."""
    return {
        FALSE_POSITIVE: truth.negative,
        TRUE_POSITIVE: truth.positive,
        MISCLASSIFIED: truth.classified,
    }
