"""The rows of `results.json` that adjust what was counted: standardised, pooled, held to a margin.

They describe. What a report claims stands in `differences`, `shifts` and `ablations`; only what is
shown to be within a margin is claimed here, and corrected over all such rows.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.results.rows import Number, Record, Support


class Standardised(Record):
    """A rate of one group as it is, and standardised for other sensitive features."""

    policy: str
    by: str
    standardised_for: str
    metric: str
    group: str
    crude_count: int
    crude_n: int
    crude: Number
    crude_low: Number
    crude_high: Number
    crude_difference: Number = Field(description="To all other images, as they are.")
    crude_difference_low: Number
    crude_difference_high: Number
    n: int = Field(description="Images of the group in the common strata.")
    effective_n: Number = Field(description="Images of a plain rate that is known as well.")
    rate: Number = Field(description="Standardised.")
    low: Number
    high: Number
    rest: Number = Field(description="That of all other images, standardised likewise.")
    difference: Number = Field(description="rate - rest.")
    difference_low: Number
    difference_high: Number
    p: Number = Field(description="Cochran-Mantel-Haenszel's, by itself: it claims nothing.")
    support: Support = Field(description="Of effective_n.")


class CommonStrata(Record):
    """Over which strata the groups of a feature are standardised, and who is left out."""

    policy: str
    by: str
    standardised_for: str
    metric: str
    strata: int = Field(description="Strata that have an image.")
    common: int = Field(description="Of them, those in which all compared groups have one.")
    n: int = Field(description="Images that the metric counts.")
    common_n: int = Field(description="Of them, those in the common strata.")
    left_out: tuple[str, ...] = Field(description="Groups with too few images, or too few strata.")


class Pooled(Record):
    """The share flagged of a cell of an intersection, as it is and pooled with the other cells."""

    policy: str
    by: str
    metric: str
    group: str
    count: int
    n: int
    rate: Number
    low: Number
    high: Number
    pooled: Number
    pooled_low: Number
    pooled_high: Number
    support: Support


class PooledGap(Record):
    """How far the cells of an intersection lie apart, as they are and pooled."""

    policy: str
    by: str
    metric: str
    cells: int = Field(description="Cells that have an image.")
    n: int
    smallest_n: int = Field(description="Images of the smallest cell.")
    highest: str = Field(description="The cell with the highest pooled rate.")
    lowest: str
    raw_difference: Number = Field(description="Highest rate less lowest, as they are.")
    difference: Number = Field(description="Between the highest and lowest true rate; pooled.")
    difference_low: Number
    difference_high: Number


class Equivalent(Record):
    """Whether a group, or its change, is shown to lie within the margin that was asked for."""

    kind: Literal["group", "shift"]
    before_policy: str | None = Field(description="Of a shift.")
    policy: str
    by: str
    group: str
    metric: str
    margin: Number
    n: int
    difference: Number = Field(description="To all other images; of a shift its net.")
    low: Number = Field(description="Of the interval of 90 %.")
    high: Number
    p: Number = Field(description="The larger of two one-sided tests.")
    p_adjusted: Number = Field(description="Adjusted by Holm over all these rows of the report.")
    answer: Literal["within", "differs", "differs within", "neither"]
    support: Support
