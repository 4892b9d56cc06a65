"""Flag rates of groups over a sweep of thresholds; and the thresholds that flag as many images.

A threshold does not carry over between label sets of different sizes: under softmax each label
takes from all others. So all thresholds of the second are also moved together until it flags as
many images as the first. What is left then is whom it flags, not how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import special

from audit.datasets.groups import Groups, Marks, Weights
from audit.metrics.predictions import PolicyPredictions, highest_of_looks
from audit.statistics.intervals import Float64s, share, wilson
from audit.statistics.support import support_of

#: The published experiment used 0.5 % and 4 %.
THRESHOLDS = (0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

#: These replace scores of 0 and 1, whose logits are infinite; no other float32 lies beyond them.
_LOWEST, _HIGHEST = 1e-50, 1 - 1e-12


def threshold_table(
    predictions: PolicyPredictions, groups: Iterable[Groups], thresholds: Sequence[float]
) -> pd.DataFrame:
    """Returns, for each threshold, each group's flag rate if all labels that flag had it.

    Under top_label a label still flags only where it is the most similar one.
    """
    looks = predictions.every_look
    scores = looks.scores
    if predictions.policy.decision == "top_label":
        cosines = looks.similarities
        scores = np.where(cosines == cosines.max(axis=1, keepdims=True), scores, -1.0)
    # Below every threshold where there is no such label.
    of_looks = scores[:, predictions.flagging].max(axis=1, initial=-1.0)
    highest = highest_of_looks(of_looks, looks.looks)
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


def threshold_margin(predictions: PolicyPredictions) -> Float64s:
    """Returns (n,) the margin of each image: 0 or more where it is flagged, less where it is not.

    For thresholds, this is the largest logit(score) - logit(threshold) of the labels that ask for
    review or block, where the lower of two thresholds counts. Under top_label it is the similarity
    of the best of these labels less that of the best other label, or its score less its threshold
    if that is lower. It is minus infinity where no label asks for either. Of several looks at an
    image the one with the highest margin counts.
    """
    policy, columns = predictions.policy, predictions.flagging
    if not columns:
        return np.full(len(predictions), -np.inf)
    lowest = [
        policy.labels[j].review_threshold
        if policy.labels[j].review_threshold is not None
        else policy.labels[j].threshold or 0.0
        for j in columns
    ]
    thresholds = np.array(lowest, np.float32).astype(np.float64)
    looks = predictions.every_look
    scores = looks.scores[:, columns].astype(np.float64)
    if policy.decision == "threshold":
        inside = (np.clip(values, _LOWEST, _HIGHEST) for values in (scores, thresholds))
        score_logits, threshold_logits = map(special.logit, inside)
        return highest_of_looks((score_logits - threshold_logits).max(axis=1), looks.looks)
    cosines = looks.similarities.astype(np.float64)
    others = np.delete(cosines, columns, axis=1).max(axis=1, initial=-1.0, keepdims=True)
    acting = cosines[:, columns]
    leads = np.minimum(acting - others, scores - thresholds)
    leads[acting < acting.max(axis=1, keepdims=True)] = -np.inf
    return highest_of_looks(leads.max(axis=1), looks.looks)


def matched_threshold_flags(
    predictions: PolicyPredictions, count: int, weights: Weights = None
) -> Marks:
    """Returns (n,) the images with the highest margins, as near to `count` of them as ties allow.

    Images with the same margin are flagged together or not at all.
    """
    margins = threshold_margin(predictions)
    finite = np.isfinite(margins)  # where no label acts, no image is flagged
    cuts, place = np.unique(margins[finite], return_inverse=True)
    at_cut = np.bincount(place, None if weights is None else weights[finite], len(cuts))
    # How many images each cut flags; and 0, for no cut.
    counts = np.append(at_cut[::-1].cumsum()[::-1], 0)
    best = int(np.abs(counts - count).argmin())
    if best == len(cuts):
        return np.zeros(len(margins), bool)
    return np.asarray(margins >= cuts[best])
