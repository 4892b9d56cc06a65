"""The second label set at the first one's overall flag rate.

A threshold does not carry over between label sets of different sizes: under softmax each label
takes from all others. So all thresholds of the second are also moved together until it flags as
many images as the first. What is left then is whom it flags, not how many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import Marks
from audit.metrics.predictions import Predictions

Margins = npt.NDArray[np.float64]

#: These replace scores of 0 and 1, whose logits are infinite; no other float32 lies beyond them.
_LOWEST, _HIGHEST = 1e-50, 1 - 1e-12


def flag_margin(predictions: Predictions) -> Margins:
    """Returns (n,) the margin of each image: 0 or more where it is flagged, less where it is not.

    For thresholds, this is the largest logit(score) - logit(threshold) of the labels that ask for
    review or block, where the lower of two thresholds counts. Under top_label it is the similarity
    of the best of these labels less that of the best other label, or its score less its threshold
    if that is lower. It is minus infinity where no label asks for either.
    """
    policy = predictions.policy
    columns = [j for j, label in enumerate(policy.labels) if label.action in ("review", "block")]
    if not columns:
        return np.full(len(predictions), -np.inf)
    lowest = [
        policy.labels[j].review_threshold
        if policy.labels[j].review_threshold is not None
        else policy.labels[j].threshold or 0.0
        for j in columns
    ]
    thresholds = np.array(lowest, np.float32).astype(np.float64)
    scores = predictions.scores[:, columns].astype(np.float64)
    if policy.decision == "threshold":
        above: Margins = (_logit(scores) - _logit(thresholds)).max(axis=1)
        return above
    cosines = predictions.similarities.astype(np.float64)
    others = np.delete(cosines, columns, axis=1).max(axis=1, initial=-1.0, keepdims=True)
    acting = cosines[:, columns]
    leads = np.minimum(acting - others, scores - thresholds)
    leads[acting < acting.max(axis=1, keepdims=True)] = -np.inf
    best: Margins = leads.max(axis=1)
    return best


def _logit(scores: Margins) -> Margins:
    inside = np.clip(scores, _LOWEST, _HIGHEST)
    logits: Margins = np.log(inside) - np.log1p(-inside)
    return logits


def flagged_at(predictions: Predictions, count: int) -> Marks:
    """Returns (n,) the images with the highest margins, as near to `count` of them as ties allow.

    Images with the same margin are flagged together or not at all.
    """
    margins = flag_margin(predictions)
    cuts = np.unique(margins[np.isfinite(margins)])  # where no label acts, no image is flagged
    # How many images each cut flags; and 0, for no cut.
    counts = np.append(len(margins) - np.searchsorted(np.sort(margins), cuts), 0)
    best = int(np.abs(counts - count).argmin())
    if best == len(cuts):
        return np.zeros(len(margins), bool)
    marks: Marks = margins >= cuts[best]
    return marks
