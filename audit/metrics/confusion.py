"""For which label images of each class were taken, by group.

Shapes: n images, c classes, k labels, g groups.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.groups import OVERALL, Groups, Marks
from audit.metrics.predictions import NO_LABEL, Predictions
from audit.metrics.truth import Classes, Truth
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of

#: Of more classes than this only the whole is told, and not each group by itself.
MOST_CLASSES_BY_GROUP = 12


def confusion_table(predictions: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns how many images of each class were taken for each label, overall and by group.

    A row is of a class and a label that was said of some image of it; `right` where the class means
    that label. Only classes that mean a label count. Empty where fewer than two classes do.
    """
    truth = predictions.truth
    if truth is None or truth.classes is None:
        return pd.DataFrame()
    classes = truth.classes
    known = truth.classified & (classes.codes >= 0)
    if len(np.unique(classes.codes[known])) < 2:
        return pd.DataFrame()
    labels = np.array([*predictions.label_ids, NO_LABEL], object)
    said = np.where(predictions.y_pred < 0, len(labels) - 1, predictions.y_pred)
    right = _right_labels(truth, classes, known)
    few = len(classes.names) <= MOST_CLASSES_BY_GROUP
    tables = [
        _confusions(part, classes, said, labels, known, right)
        for part in groups
        if few or part.by == OVERALL
    ]
    return pd.concat(tables, ignore_index=True).assign(policy=predictions.name)


def _right_labels(truth: Truth, classes: Classes, known: Marks) -> Marks:
    """Returns (c, k + 1) which labels each class means; the last column is for no label."""
    right = np.zeros((len(classes.names), truth.meant.shape[1] + 1), bool)
    codes, first = np.unique(classes.codes[known], return_index=True)
    right[codes, :-1] = truth.meant[known][first]
    return right


def _confusions(
    part: Groups,
    classes: Classes,
    said: npt.NDArray[np.intp],
    labels: npt.NDArray[np.object_],
    known: Marks,
    right: Marks,
) -> pd.DataFrame:
    """Returns the rows of a partition, from (n,) columns of `labels` that were said."""
    (c, k), g = right.shape, len(part.names)
    cells = (part.codes * c + classes.codes) * k + said
    counts = part.sums(cells[known], g * c * k, known).reshape(g, c, k)
    sizes = np.broadcast_to(counts.sum(axis=2, keepdims=True), counts.shape)
    group, label_class, label = np.nonzero(counts)
    count, n = counts[group, label_class, label], sizes[group, label_class, label]
    low, high = wilson(count, n)
    return pd.DataFrame(
        {
            "by": part.by,
            "group": np.array(part.names, object)[group],
            "y_true": np.array(classes.names, object)[label_class],
            "label": labels[label],
            "right": right[label_class, label],
            "count": count,
            "n": n,
            "share": share(count, n),
            "low": low,
            "high": high,
            "support": support_of(n),
        }
    )
