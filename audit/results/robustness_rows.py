"""The rows of `results.json` on how well scores separate, and how far a claim holds.

Like those of `rows`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.results.rows import Number, Record, Support

Noise = Literal["group", "truth"]


class Separation(Record):
    """How often an image that should be flagged has a higher margin than one that should not."""

    policy: str
    by: str
    group: str
    compared: Literal["within", "positives_to_others", "negatives_to_others"] = Field(
        description="Images of the group, or those of one kind against all others' of the other."
    )
    positives: int = Field(description="Images that should be flagged, on their side.")
    negatives: int = Field(description="Images that should not, on theirs.")
    auc: Number
    low: Number
    high: Number
    support: Support = Field(description="Of the side with fewer images.")


class Calibration(Record):
    """How often a group's images should be flagged, and how often their scores say so."""

    policy: str
    by: str
    group: str
    bin: int = Field(description="0 for all scores; otherwise from the lowest scores up.")
    lowest_score: Number
    highest_score: Number
    count: int = Field(description="Images that should be flagged.")
    n: int = Field(description="Images whose truth is known.")
    share: Number
    low: Number
    high: Number
    mean_score: Number
    difference: Number = Field(description="mean_score less share.")
    difference_low: Number
    difference_high: Number
    support: Support


class TippingPoint(Record):
    """The fewest wrong annotations with which a claim on a group against all others falls."""

    policy: str
    by: str
    metric: str
    group: str
    count: int
    n: int
    others_count: int
    others_n: int
    noise: Noise = Field(description="Which annotation is wrong: the group, or the truth.")
    images: Literal[
        "counted_of_group", "counted_of_others", "uncounted_of_group", "uncounted_of_others"
    ] = Field(description="Which images are annotated wrongly.")
    fewest: int
    of: int = Field(description="How many such images there are.")


class LabelNoise(Record):
    """How often a claim stands if a share of annotations is replaced at random."""

    policy: str
    by: str
    metric: str
    group: str
    count: int
    n: int
    others_count: int
    others_n: int
    noise: Noise
    replaced: float = Field(description="Share of annotations that are replaced.")
    stands: int
    redraws: int
    share: Number
    low: Number
    high: Number


class NearDuplicates(Record):
    """How many images of a group show nearly what another image shows."""

    cosine: float = Field(description="From which two images are near-duplicates.")
    by: str
    group: str
    n: int
    clusters: int = Field(description="Of two images and more, with an image of the group.")
    images: int = Field(description="Images of the group in them.")
    largest: int = Field(description="Images of the largest of them, of all groups.")
    support: Support


class DistinctClaim(Record):
    """A claim on a group against all others where each cluster of near-duplicates counts once."""

    policy: str
    by: str
    metric: str
    group: str
    count: int
    n: int
    others_count: int
    others_n: int
    difference: Number = Field(description="Rate of the group less that of all others.")
    difference_low: Number
    difference_high: Number
    p: Number
    stands: bool
    support: Support
