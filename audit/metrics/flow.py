"""Where images went from one label set to another, and what a new label took from whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from audit.datasets.dataset import Groups, Marks
from audit.metrics.predictions import Predictions
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of
from moderation.scoring.verdict import ACTIONS


def flow_table(before: Predictions, after: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns how many images went from each label to each, and from each action to each.

    Rows of no image are left out; the counts of a group sum to its n, for labels and for actions.
    """
    kinds = {
        "label": [np.array(each.label_ids, object)[each.y_pred] for each in (before, after)],
        "action": [np.array(ACTIONS, object)[each.actions] for each in (before, after)],
    }
    parts = []
    for part in groups:
        group, n = np.array(part.names, object)[part.codes], part.sizes[part.codes]
        for kind, (source, target) in kinds.items():
            columns = {"by": part.by, "group": group, "source": source, "target": target, "n": n}
            keys = ["by", "group", "source", "target", "n"]
            counted = pd.DataFrame(columns).value_counts(keys, sort=False).reset_index()
            parts.append(counted.assign(kind=kind))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(before_policy=before.name, after_policy=after.name)


def price_table(before: Predictions, after: Predictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns what each label that only `after` has took: images and from where, by group.

    `relief` is the share of the images flagged before that it took; `over_capture` the share of
    those that passed before, which is its price. `from_correct` is how many of them `before` had
    classified correctly, where its truth is known.
    """
    new = [name for name in after.label_ids if name not in before.label_ids]
    parts = list(groups)
    rows: list[dict[str, Any]] = []
    for name in new:
        captured = after.y_pred == after.label_ids.index(name)
        for part in parts:
            rows += _price_rows(name, captured, before, part)
    return pd.DataFrame(rows).assign(before_policy=before.name, after_policy=after.name)


def _price_rows(
    label: str, captured: Marks, before: Predictions, part: Groups
) -> list[dict[str, Any]]:
    truth = before.truth
    correct = truth.correct(before.y_pred) if truth else np.zeros(len(before), bool)
    known = truth is not None and bool(truth.classified.any())
    flagged, passed = part.count(before.flagged), part.count(~before.flagged)
    taken = part.count(captured)
    relief, price = part.count(captured & before.flagged), part.count(captured & ~before.flagged)
    right = part.count(captured & correct)
    low, high = wilson(np.stack([relief, price]), np.stack([flagged, passed]))
    return [
        {
            "label": label,
            "by": part.by,
            "group": group,
            "n": part.sizes[g],
            "captured": taken[g],
            "from_flagged": relief[g],
            "flagged_before": flagged[g],
            "relief": float(share(relief[g], flagged[g])),
            "relief_low": low[0, g],
            "relief_high": high[0, g],
            "from_passed": price[g],
            "passed_before": passed[g],
            "over_capture": float(share(price[g], passed[g])),
            "over_capture_low": low[1, g],
            "over_capture_high": high[1, g],
            "from_correct": int(right[g]) if known else None,
            "support": support_of(part.sizes[g]).item(),
        }
        for g, group in enumerate(part.names)
    ]
