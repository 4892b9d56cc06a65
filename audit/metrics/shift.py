"""What changes from one label set to another on the same images: entered, left, net; paired.

An image enters where only the second label set marks it, and leaves where only the first does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audit.datasets.groups import OVERALL, Groups, Marks
from audit.metrics.predictions import Predictions
from audit.metrics.rates import (
    FALSE_POSITIVE,
    FLAG,
    MISCLASSIFIED,
    TRUE_POSITIVE,
    harm_marks,
    harm_metric,
)
from audit.statistics.intervals import (
    Float64s,
    Interval,
    difference_of,
    paired_difference,
    share,
    wilson,
)
from audit.statistics.significance import (
    Counts,
    cochran_p,
    holm,
    holm_against_rest,
    independence_p,
    mcnemar_p,
)
from audit.statistics.support import support_of


def shift_marks(before: Predictions, after: Predictions) -> dict[str, tuple[Marks, Marks]]:
    """Returns by metric the images that each label set marks: flagged, by category, by label.

    And true and false positives, where the truth is known: see `shift_possible`. A category or
    label that only one label set has marks no image under the other.
    """
    none = np.zeros(len(before), bool)
    counts = [_harmed(each) for each in (before, after)]
    metrics = {FLAG: (before.flagged, after.flagged)} if before.can_flag else {}
    for name, possible in shift_possible(before, after).items():
        metrics[name] = (counts[0] & possible, counts[1] & possible)
    for name in {**before.categories, **after.categories}:
        pair = (before.categories.get(name, none), after.categories.get(name, none))
        metrics[f"category:{name}"] = pair
    labels = [
        {label: marks.y_pred == column for column, label in enumerate(marks.label_ids)}
        for marks in (before, after)
    ]
    for name in {**labels[0], **labels[1]}:
        metrics[f"label:{name}"] = (labels[0].get(name, none), labels[1].get(name, none))
    return metrics


def _harmed(predictions: Predictions) -> Marks:
    """Returns (n,) the flagged images, or the misclassified ones where none can be flagged."""
    if predictions.can_flag or predictions.truth is None:
        return predictions.flagged
    return ~predictions.truth.correct(predictions.y_pred)


def shift_possible(before: Predictions, after: Predictions) -> dict[str, Marks]:
    """Returns by metric the images that should be flagged, and those that should not, under both.

    Where it is all images, such as in a benign dataset, the metric is that of the flags, and is
    left out. Where none can be flagged, it is those whose truth names a label under both.
    """
    if before.truth is None or after.truth is None:
        return {}
    if not before.can_flag:
        return {MISCLASSIFIED: before.truth.classified & after.truth.classified}
    known = {
        TRUE_POSITIVE: before.truth.positive & after.truth.positive,
        FALSE_POSITIVE: before.truth.negative & after.truth.negative,
    }
    return {name: marks for name, marks in known.items() if marks.any() and not marks.all()}


def shift_table(
    metrics: Mapping[str, tuple[Marks, Marks]],
    groups: Iterable[Groups],
    possible: Mapping[str, Marks] | None = None,
) -> pd.DataFrame:
    """Returns the paired shift of each metric, overall and by group.

    p is McNemar's, exact, and corrected by Holm for each metric over the groups of a sensitive
    feature. Suppressed cells make no claim and are not part of the family.

    Args:
        metrics: by name, the (n,) images that are marked before and after.
        groups: partitions of the n images.
        possible: by name, the (n,) images that a metric counts; by default all.
    """
    names = list(metrics)
    everything = np.ones(len(next(iter(metrics.values()))[0]), bool)
    counted = [(possible or {}).get(name, everything) for name in names]
    before, after = (np.stack([metrics[name][i] for name in names], axis=1) for i in (0, 1))
    marks = before, after, np.stack(counted, axis=1)
    return pd.concat([_shift_rows(names, *marks, part) for part in groups], ignore_index=True)


def matched_shift_table(before: Marks, after: Marks, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns the shift of flags between label sets that flag as many images as each other.

    As many enter as leave, so what can differ is whose they are. p is of the share that entered
    among a group's changed images against that among all others', corrected by Holm over the groups
    of a feature. For the whole dataset there is none: its totals are made equal.
    """
    table = shift_table({FLAG: (before, after)}, groups)
    changed = table["entered"] + table["left"]
    whole = table["by"] == OVERALL
    entered_of_all, changed_of_all = (
        column.groupby(table["by"]).transform("sum") for column in (table["entered"], changed)
    )
    of_rest = entered_of_all - table["entered"], changed_of_all - changed
    p = independence_p(table["entered"], changed, *of_rest)
    # Where nothing of one side changed, nothing tells them apart.
    p = np.where(whole | (table["support"] == "suppressed"), np.nan, np.where(np.isnan(p), 1.0, p))
    adjusted = pd.Series(p).groupby(table["by"], sort=False).transform(holm_against_rest)
    return table.assign(p=p, p_adjusted=adjusted.to_numpy())


def _shift_rows(
    names: Sequence[str], before: Marks, after: Marks, possible: Marks, part: Groups
) -> pd.DataFrame:
    """Returns the g x m rows of a partition, from (n, m) marks."""
    before_count, after_count = part.count(before), part.count(after)
    entered, left = part.count(after & ~before), part.count(before & ~after)
    n = part.count(possible)
    support = support_of(n)
    p = mcnemar_p(entered, left)
    p_adjusted = holm(np.where(support == "suppressed", np.nan, p))
    columns = _shift_columns(before_count, after_count, entered, left, n) | {
        "p": p,
        "p_adjusted": p_adjusted,
    }
    columns |= {"support": support}
    flat = {name: values.ravel() for name, values in columns.items()}
    group = np.repeat(np.array(part.names, object), len(names))
    metric = np.tile(np.array(names, object), len(part.names))
    return pd.DataFrame({"by": part.by, "group": group, "metric": metric} | flat)


def _shift_columns(
    before: Counts, after: Counts, entered: Counts, left: Counts, n: Counts
) -> dict[str, Any]:
    """Returns the (g, m) figures of g groups and m metrics, by column."""
    return {
        "n": n,
        "before_count": before,
        "after_count": after,
        "before": share(before, n),
        "after": share(after, n),
        "entered": entered,
        "left": left,
        "net": share(entered - left, n),
        "left_share": share(left, before),
        **_shift_bounds("before", wilson(before, n)),
        **_shift_bounds("after", wilson(after, n)),
        **_shift_bounds("net", paired_difference(entered, left, n)),
        **_shift_bounds("left_share", wilson(left, before)),
        **_shift_to_rest(entered, left, n),
    }


def _shift_to_rest(entered: Counts, left: Counts, n: Counts) -> dict[str, Float64s]:
    """Returns how much more a group's rate changed than that of all other images."""
    rest = (entered.sum(axis=0) - entered, left.sum(axis=0) - left, n.sum(axis=0) - n)
    net, rest_net = share(entered - left, n), share(rest[0] - rest[1], rest[2])
    interval = difference_of(
        net, paired_difference(entered, left, n), rest_net, paired_difference(*rest)
    )
    return {"net_to_rest": net - rest_net, **_shift_bounds("net_to_rest", interval)}


def _shift_bounds(name: str, interval: Interval) -> dict[str, Float64s]:
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def shift_agreement_table(
    predictions: Sequence[Predictions], groups: Iterable[Groups]
) -> pd.DataFrame:
    """Returns Cochran's Q over whom all label sets harm, overall and by group.

    Where none can be flagged, it is over the images whose truth all of them know.
    """
    harm = harm_metric(predictions)
    known = np.logical_and.reduce([harm_marks(each, harm)[1] for each in predictions])
    flags = np.stack([_harmed(each) & known for each in predictions], axis=1)
    parts = []
    for part in groups:
        own = [known & (part.codes == code) for code in range(len(part.names))]
        weights = [None if part.weights is None else part.weights[rows] for rows in own]
        p = np.array([cochran_p(flags[rows], w) for rows, w in zip(own, weights, strict=True)])
        changing = part.count(np.asarray(flags.any(axis=1) & ~flags.all(axis=1)))
        n = part.count(known)
        support = support_of(n)
        columns = {"by": part.by, "group": part.names, "metric": harm, "n": n}
        adjusted = holm(np.where(support == "suppressed", np.nan, p))
        columns |= {"changing": changing, "p": p, "p_adjusted": adjusted, "support": support}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
