"""How well each policy's scores separate, and how far what is claimed of groups holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import pandas as pd

from audit.datasets.groups import CROSS, Groups
from audit.metrics.calibration import calibration_table, flag_probability
from audit.metrics.label_noise import claims_to_others, label_noise_table, tipping_point_table
from audit.metrics.near_duplicates import (
    MOST_IMAGES,
    Clusters,
    distinct_claim_table,
    most_alike,
    near_duplicate_table,
)
from audit.metrics.predictions import PolicyPredictions, Predictions
from audit.metrics.separation import separation_table
from audit.results.robustness_rows import (
    Calibration,
    DistinctClaim,
    LabelNoise,
    NearDuplicates,
    Separation,
    TippingPoint,
)
from audit.results.rows import records


class Robustness(TypedDict):
    """The fields of `Results` on scores against the truth, and on how far claims hold."""

    separations: tuple[Separation, ...]
    calibrations: tuple[Calibration, ...]
    tipping_points: tuple[TippingPoint, ...]
    label_noise: tuple[LabelNoise, ...]
    near_duplicates: tuple[NearDuplicates, ...]
    distinct_claims: tuple[DistinctClaim, ...]


def robustness(
    predictions: Sequence[Predictions],
    groups: Sequence[Groups],
    clusters: Clusters | None,
    rates: pd.DataFrame,
    differences: pd.DataFrame,
    critical: float,
) -> Robustness:
    """Returns what is known beside the claims of a report.

    Args:
        predictions: of each policy.
        groups: partitions of the images.
        clusters: of near-duplicates, if they were looked for.
        rates: by which groups are compared.
        differences: of them, with what is claimed.
        critical: a p below this is claimed.
    """
    parts = [part for part in groups if CROSS not in part.by]
    scored = [each for each in predictions if isinstance(each, PolicyPredictions)]
    claims = list(claims_to_others(rates, differences, critical))
    alike, distinct = [], []
    if clusters is not None and not clusters.chained:
        alike = [near_duplicate_table(clusters, groups)]
        distinct = [distinct_claim_table(claims, clusters, predictions, groups)]
    return Robustness(
        separations=records(Separation, *(separation_table(each, parts) for each in scored)),
        calibrations=records(Calibration, *(calibration_table(each, parts) for each in scored)),
        tipping_points=records(TippingPoint, tipping_point_table(claims)),
        label_noise=records(LabelNoise, label_noise_table(claims)),
        near_duplicates=records(NearDuplicates, *alike),
        distinct_claims=records(DistinctClaim, *distinct),
    )


def robustness_limits(
    predictions: Sequence[Predictions], clusters: Clusters | None, *, asked: bool = True
) -> Iterator[str]:
    """Yields which of these figures could not be measured, and what to do.

    Args:
        predictions: of each policy.
        clusters: of near-duplicates, if they were looked for.
        asked: whether they should have been.
    """
    for each in predictions:
        known = each.truth is not None and each.truth.positive.any() and each.truth.negative.any()
        if known and isinstance(each, PolicyPredictions) and flag_probability(each) is None:
            yield (
                f"Calibration of {each.name} is not measured: under sigmoid, and by a classifier, "
                "each label is scored by itself, and several such scores do not say how often any "
                "of them is right."
            )
    n = len(predictions[0]) if predictions else 0
    if asked and n > MOST_IMAGES:
        yield f"Near-duplicates were not looked for: {n:,} images are more than {MOST_IMAGES:,}."
    if clusters and clusters.chained:
        yield (
            f"Near-duplicates are not told apart: at a cosine of {clusters.cosine:g}, "
            f"more than {most_alike(n):,} of {n:,} images hang together, so this model puts "
            "different pictures as near as copies. Name a higher --near-duplicates, or 0 for none."
        )
