"""The rows of `results.json` that an ablation adds; like those of `rows`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from audit.results.rows import Number, Record, Support


class Ablation(Record):
    """The shift that one change of the label set makes, on one group."""

    policy: str
    kind: Literal["without", "negative", "with", "synonym", "template", "article"]
    change: str
    by: str
    group: str
    metric: str
    n: int
    before_count: int
    after_count: int
    before: Number
    after: Number
    after_low: Number
    after_high: Number
    entered: int
    left: int
    net: Number
    net_low: Number
    net_high: Number
    p: Number
    p_adjusted: Number = Field(description="Adjusted within its family by Holm.")
    p_report: Number = Field(description="Adjusted over all that the report tests.")
    support: Support
    claim: bool = Field(description="Whether the report claims it.")

    @property
    def label_sets(self) -> tuple[str, str]:
        """The policy, and the change that is made to it."""
        return self.policy, f"{self.kind} {self.change}"


class Carried(Record):
    """How many of a category's hits one label fires alone."""

    policy: str
    category: str
    label: str
    count: int
    n: int = Field(description="Hits of the category.")
    share: Number
    low: Number
    high: Number


class SplitHalf(Record):
    """The best of the searched changes, chosen on one half of the images, measured on the other."""

    policy: str
    change: str
    searched: int
    half: Literal["chosen on", "held out"]
    n: int
    before_count: int
    after_count: int
    entered: int
    left: int
    net: Number
    net_low: Number
    net_high: Number

    @property
    def lowers(self) -> bool:
        """Whether the change lowers the flags on this half."""
        return self.left > self.entered


class Wording(Record):
    """How far a group's flag rate moves with wording alone."""

    policy: str
    kind: Literal["template", "article", "synonym"]
    by: str
    group: str
    n: int
    wordings: int
    lowest: Number
    median: Number
    highest: Number
    kendall_tau: Number = Field(
        description="Mean agreement of the groups' order with that of the policy's own wording."
    )
    support: Support


class WordingGap(Record):
    """How far two groups lie apart in the share flagged, over all wordings of a kind."""

    policy: str
    kind: Literal["template", "article", "synonym"]
    by: str
    comparison: Literal["between_groups", "to_others"]
    group: str
    n: int
    reference: str
    reference_n: int
    wordings: int
    own: Number = Field(description="The gap under the policy's own wording.")
    lowest: Number
    mean: Number
    highest: Number
    low: Number = Field(description="Of the mean, over wordings as well as images.")
    high: Number
    images_low: Number = Field(description="Of the mean, for exactly these wordings.")
    images_high: Number
    of_wordings: Number = Field(description="Share of the mean's variance that is the wordings'.")
    together: int = Field(description="How many such intervals hold together.")
    undefined: str | None = Field(description="Why low and high are undefined, where they are.")
    support: Support


class Threshold(Record):
    """A group's flag rate if every label that flags had this one threshold."""

    policy: str
    threshold: float
    by: str
    group: str
    count: int
    n: int
    rate: Number
    low: Number
    high: Number
    support: Support
