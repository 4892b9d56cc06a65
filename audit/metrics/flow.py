"""Where images went from one label set to another, and what a new label took from whom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.dataset import Groups, Marks
from audit.metrics.predictions import NO_LABEL, Predictions
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of
from moderation.scoring.verdict import ACTIONS


def flow_table(before: Predictions, after: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns how many images went from each label to each other, and from each action.

    Rows without an image are left out. The counts of a group add up to its n, for labels and for
    actions.
    """
    kinds = {}
    if before.labels and after.labels:
        kinds["label"] = [_labels_said(each) for each in (before, after)]
    if before.can_flag:
        kinds["action"] = [np.array(ACTIONS, object)[each.actions] for each in (before, after)]
    parts = []
    for part in groups:
        group, n = np.array(part.names, object)[part.codes], part.sizes[part.codes]
        for kind, (source, target) in kinds.items():
            columns = {"by": part.by, "group": group, "source": source, "target": target, "n": n}
            rows = pd.DataFrame(columns).assign(count=1 if part.weights is None else part.weights)
            counted = rows.groupby(list(columns), as_index=False)["count"].sum()
            parts.append(counted.assign(kind=kind))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.assign(before_policy=before.name, after_policy=after.name)


def _labels_said(predictions: Predictions) -> npt.NDArray[np.object_]:
    """Returns (n,) the id of the label that is said of each image."""
    return np.array([*predictions.label_ids, NO_LABEL], object)[predictions.y_pred]


def price_table(before: Predictions, after: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns the flow to each label that only `after` has: how many images it took from where.

    `relief` is the share of the images flagged before that it took; `over_capture` the share of
    those that passed before, which is its price. `from_correct` is how many of them `before` had
    classified correctly, where its truth is known.
    """
    new = [name for name in after.label_ids if name not in before.label_ids]
    parts = list(groups)
    tables = [
        _flow_to_label(before, part, after.y_pred == after.label_ids.index(name)).assign(label=name)
        for name in new
        for part in parts
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return table.assign(before_policy=before.name, after_policy=after.name)


def _flow_to_label(before: Predictions, part: Groups, captured: Marks) -> pd.DataFrame:
    truth = before.truth
    known = truth is not None and bool(truth.classified.any())
    correct = part.count(captured & truth.correct(before.y_pred)) if truth and known else None
    flagged, passed = part.count(before.flagged), part.count(~before.flagged)
    relief, price = part.count(captured & before.flagged), part.count(captured & ~before.flagged)
    low, high = wilson(np.stack([relief, price]), np.stack([flagged, passed]))
    return pd.DataFrame(
        {
            "by": part.by,
            "group": part.names,
            "n": part.sizes,
            "captured": part.count(captured),
            "from_flagged": relief,
            "flagged_before": flagged,
            "relief": share(relief, flagged),
            "relief_low": low[0],
            "relief_high": high[0],
            "from_passed": price,
            "passed_before": passed,
            "over_capture": share(price, passed),
            "over_capture_low": low[1],
            "over_capture_high": high[1],
            "from_correct": correct,
            "support": support_of(part.sizes),
        }
    )
