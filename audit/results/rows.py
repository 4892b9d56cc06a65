"""The rows of `results.json`: one record for each figure, with its n and its interval.

A number that is undefined is null. `support` says how much a cell supports: full (n of 100 and
more), indicative (30 to 99), suppressed (below 30: no claim is made from it).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Support = Literal["full", "indicative", "suppressed"]


def null_if_undefined(value: Any) -> Any:
    """Returns None for NaN and infinity, and any other value of a row as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


#: NaN and infinity are null: JSON has neither.
Number = Annotated[float | None, BeforeValidator(null_if_undefined)]


class Record(BaseModel):
    """A part of results.json: frozen, and without fields that are not named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Correction(Record):
    """The one correction that decides what a report claims."""

    method: Literal["westfall-young"] = "westfall-young"
    hypotheses: int = Field(description="How many were tested, each with a p of its own.")
    draws: int = Field(description="Tables drawn in which nothing differs.")
    critical_p: Number = Field(description="A p below this is claimed, whatever the others are.")


class Rate(Record):
    """A rate of one group under one policy, with its Wilson interval."""

    policy: str
    by: str
    group: str
    metric: str
    count: int
    n: int
    rate: Number
    low: Number
    high: Number
    support: Support


class Difference(Record):
    """A group against the overall rate, or against another group, under one policy."""

    policy: str
    by: str
    metric: str
    group: str
    reference: str
    comparison: Literal["to_overall", "between_groups"]
    count: int
    n: int
    reference_count: int
    reference_n: int
    difference: Number
    difference_low: Number
    difference_high: Number
    ratio: Number
    ratio_low: Number
    ratio_high: Number
    p: Number
    p_adjusted: Number = Field(description="Adjusted within its family by Holm.")
    p_report: Number = Field(description="Adjusted over all that the report tests.")
    support: Support
    claim: bool = Field(description="Whether the report claims it: p_report is below 0.05.")

    @property
    def against(self) -> tuple[int, int]:
        """Count and n of what p compares the group with: another group, or all other images."""
        if self.comparison == "between_groups":
            return self.reference_count, self.reference_n
        return self.reference_count - self.count, self.reference_n - self.n


class Gap(Record):
    """The worst group against the best, among those with support; simultaneous intervals."""

    policy: str
    by: str
    metric: str
    worst: str | None
    best: str | None
    compared: int = Field(description="Groups that were compared.")
    left_out: tuple[str, ...] = Field(description="Groups with too few images.")
    worst_count: int
    worst_n: int
    best_count: int
    best_n: int
    difference: Number
    difference_low: Number
    difference_high: Number
    ratio: Number
    ratio_low: Number
    ratio_high: Number
    pass_ratio: Number = Field(description="Share not flagged, lowest to highest.")
    pass_ratio_low: Number
    pass_ratio_high: Number
    p: Number = Field(description="Of one rate in all compared groups.")
    claim: bool = Field(description="Whether the report claims that the compared groups differ.")


class EqualizedOdds(Record):
    """The larger of the gaps in true and false positive rate; simultaneous interval."""

    policy: str
    by: str
    difference: Number
    low: Number
    high: Number
    n: int
    compared: int


class CommonImages(Record):
    """How many images a rate that needs the truth counts: by itself, and under every policy."""

    policy: str
    metric: str
    n: int = Field(description="Images that the policy could count by itself.")
    common: int = Field(description="Of them, those that are compared: all policies count them.")
    contradicted: int = Field(description="Images of which another policy says the opposite.")


class Shift(Record):
    """What changed for a group from one label set to another on the same images."""

    before_policy: str
    after_policy: str
    matched: bool = Field(description="At the overall flag rate of the first; see the method.")
    by: str
    group: str
    metric: str
    n: int
    before_count: int
    after_count: int
    before: Number
    before_low: Number
    before_high: Number
    after: Number
    after_low: Number
    after_high: Number
    entered: int
    left: int
    net: Number = Field(description="(entered - left) / n.")
    net_low: Number
    net_high: Number
    p: Number = Field(description="McNemar's, exact.")
    p_adjusted: Number = Field(description="Adjusted within its family by Holm.")
    p_report: Number = Field(description="Adjusted over all that the report tests.")
    net_to_rest: Number = Field(description="net of the group less net of all other images.")
    net_to_rest_low: Number
    net_to_rest_high: Number
    left_share: Number = Field(description="left / before_count.")
    left_share_low: Number
    left_share_high: Number
    support: Support
    claim: bool = Field(description="Whether the report claims it.")

    @property
    def label_sets(self) -> tuple[str, str]:
        """From which label set to which it changes."""
        return self.before_policy, self.after_policy


class Agreement(Record):
    """Cochran's Q over all label sets: whether they flag a group's images alike."""

    by: str
    group: str
    metric: str
    n: int
    changing: int = Field(description="Images that are flagged by some and not by all.")
    p: Number
    p_adjusted: Number
    support: Support


class Flow(Record):
    """How many images of a group went from one label, or action, to another."""

    before_policy: str
    after_policy: str
    kind: Literal["label", "action"]
    by: str
    group: str
    source: str
    target: str
    count: int
    n: int


class Price(Record):
    """What a label that only the second label set has took, and from where."""

    before_policy: str
    after_policy: str
    label: str
    by: str
    group: str
    n: int
    captured: int
    from_flagged: int
    flagged_before: int
    relief: Number = Field(description="from_flagged / flagged_before.")
    relief_low: Number
    relief_high: Number
    from_passed: int
    passed_before: int
    over_capture: Number = Field(description="from_passed / passed_before.")
    over_capture_low: Number
    over_capture_high: Number
    from_correct: int | None = Field(description="Of them correctly classified before, if known.")
    support: Support


class Confusion(Record):
    """How many images of a class, in a group, a system took for a label."""

    policy: str
    by: str
    group: str
    y_true: str
    label: str
    right: bool = Field(description="Whether the class means that label.")
    count: int
    n: int = Field(description="Images of the class in the group.")
    share: Number
    low: Number
    high: Number
    support: Support


class Skew(Record):
    """How the groups of the images that resemble a prompt most differ from the desired shares."""

    prompt: str
    by: str
    k: int
    n: int
    desired: Literal["equal", "dataset"]
    max_skew: Number
    max_skew_group: str | None
    chance_max_skew: Number = Field(description="Mean MaxSkew of images in random order.")
    p: Number = Field(description="Share of random orders with as large a MaxSkew.")
    ndkl: Number
    support: Support


class Power(Record):
    """The smallest rise above all other images' flag rate that a group of n images would show."""

    policy: str
    by: str
    group: str
    n: int
    rate: Number
    smallest_difference: Number = Field(description="At a power of 0.8, two-sided 0.05.")
    support: Support


R = TypeVar("R", bound=Record)


def records(kind: type[R], *tables: pd.DataFrame) -> tuple[R, ...]:
    """Returns the rows of tables as records of a kind; NaN is null in any column."""
    return tuple(
        kind.model_validate({name: null_if_undefined(value) for name, value in row.items()})
        for table in tables
        for row in table.to_dict("records")
    )
