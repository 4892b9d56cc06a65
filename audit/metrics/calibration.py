"""How far a policy's scores say how often an image should be flagged, by group.

Only one number can be compared with a share: the probability that an image should be flagged.
Under softmax, where all labels share 1, that is the sum of the flagging labels' scores. Under
contrast each acting label shares 1 with the context labels alone, so the odds add up instead, which
gives the same number. Under sigmoid it is the score of a single flagging label; several such scores
do not say how often any of them is right, so it is not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from audit.datasets.groups import Groups, Marks
from audit.metrics.predictions import PolicyPredictions, highest_of_looks
from audit.statistics.intervals import Float64s, share, wilson
from audit.statistics.scores import overstatement
from audit.statistics.support import support_of

#: So many bins of about equally many images, at most; equal scores are never parted.
BINS = 5


def flag_probability(predictions: PolicyPredictions) -> Float64s | None:
    """Returns (n,) the probability that an image should be flagged, as its scores say it.

    None where they say none. Of several looks at an image the one with the highest counts.
    """
    policy, columns, looks = predictions.policy, predictions.flagging, predictions.every_look
    alone = [
        each for each in columns if policy.scoring == "sigmoid" or policy.labels[each].classifier
    ]
    if not columns or (alone and len(columns) > 1):
        return None
    scores = looks.scores.astype(np.float64)
    if alone:
        return highest_of_looks(scores[:, alone[0]], looks.looks)
    if policy.scoring == "contrast":
        acting = [i for i, label in enumerate(policy.labels) if label.acts]
        # The largest below 1 in float32: its odds are finite.
        odds = np.zeros_like(scores)
        inside = np.minimum(scores[:, acting], np.nextafter(np.float32(1), np.float32(0)))
        odds[:, acting] = inside / (1 - inside)
        of_looks = odds[:, columns].sum(axis=1) / (1 + odds.sum(axis=1))
    else:
        of_looks = np.minimum(scores[:, columns].sum(axis=1), 1.0)
    return highest_of_looks(of_looks, looks.looks)


def calibration_table(predictions: PolicyPredictions, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns mean score and share that should be flagged of each group, overall and by score.

    Bins are cut at quantiles of all images whose truth is known, so that they are the same for each
    group; bin 0 is of all scores. Empty where the truth is not known to hold both kinds of images,
    or the scores are not a probability.

    Raises:
        ValueError: a row stands for several images.
    """
    truth, scores = predictions.truth, flag_probability(predictions)
    if scores is None or truth is None or not truth.positive.any() or not truth.negative.any():
        return pd.DataFrame()
    known = ~truth.unknown
    edges = np.unique(np.quantile(scores[known], np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = 1 + np.searchsorted(edges, scores, side="left")
    rows: list[dict[str, Any]] = []
    for part in groups:
        part.refuse_weights("the calibration of scores")
        for code, group in enumerate(part.names):
            own = known & (part.codes == code)
            for number, inside in _calibrated_bins(own, bins):
                found = _calibrated_cell(scores[inside], truth.positive[inside])
                row = {"policy": predictions.name, "by": part.by, "group": group, "bin": number}
                rows.append(row | found)
    return pd.DataFrame(rows)


def _calibrated_bins(own: Marks, bins: Any) -> Iterator[tuple[int, Marks]]:
    yield 0, own
    for number in np.unique(bins[own]).tolist():
        yield number, own & (bins == number)


def _calibrated_cell(scores: Float64s, positive: Marks) -> dict[str, Any]:
    n, count = len(scores), int(positive.sum())
    low, high = wilson(count, n)
    found = overstatement(scores, positive)
    ends = (float(scores.min()), float(scores.max())) if n else (float("nan"),) * 2
    return {
        "lowest_score": ends[0],
        "highest_score": ends[1],
        "count": count,
        "n": n,
        "share": float(share(count, n)),
        "low": float(low),
        "high": float(high),
        "mean_score": float(scores.mean()) if n else float("nan"),
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "support": support_of(n).item(),
    }
