"""Where images went from one label set to another, and what a new label took from whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.groups import Groups, Marks
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
        kinds["label"] = [_Said.label(each) for each in (before, after)]
    if before.can_flag:
        kinds["action"] = [_Said(ACTIONS, each.actions) for each in (before, after)]
    parts = [
        _flow_rows(part, *ends).assign(kind=kind) for part in groups for kind, ends in kinds.items()
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.assign(before_policy=before.name, after_policy=after.name)


class _Said(NamedTuple):
    """What is said of n images: names, and (n,) which of them."""

    names: Sequence[str]
    codes: npt.NDArray[np.integer]

    @classmethod
    def label(cls, predictions: Predictions) -> _Said:
        """Returns the label that is said of each image."""
        names = (*predictions.label_ids, NO_LABEL)
        return cls(names, predictions.y_pred % len(names))  # -1, for none, is the last one


def _flow_rows(part: Groups, source: _Said, target: _Said) -> pd.DataFrame:
    """Returns how many images of each group went where, by the names of both ends."""
    sizes = len(part.names), len(source.names), len(target.names)
    cells = np.ravel_multi_index((part.codes, source.codes, target.codes), sizes)
    present, place = np.unique(cells, return_inverse=True)
    group, *ends = np.unravel_index(present, sizes)
    names = zip((source.names, target.names), ends, strict=True)
    from_label, to_label = (np.array(each, object)[codes] for each, codes in names)
    columns: dict[str, Any] = {"by": part.by, "group": np.array(part.names, object)[group]}
    columns |= {"source": from_label, "target": to_label, "n": part.sizes[group]}
    table = pd.DataFrame(columns | {"count": part.sums(place, len(present))})
    return table.sort_values(["group", "source", "target"], ignore_index=True)


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
