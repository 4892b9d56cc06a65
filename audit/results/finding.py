"""A finding in words, and whether the report claims it; and the headline, the first of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from audit.results.rows import Difference, Record, Shift

#: What stands behind a sentence that claims nothing.
CORRECTED = "corrected over all that this report tests"


#: What the largest claim is of; a change is one that an ablation makes.
HeadlineKind = Literal["difference", "shift", "matched shift", "change", "none"]


class Headline(Record):
    """What matters most of an audit: its largest claim, and what that means for whom."""

    finding: str = Field(description="The largest claim in words, or that there is none.")
    claimed: bool
    kind: HeadlineKind
    policies: tuple[str, ...] = Field(description="Policies of which it is said.")
    by: str | None
    group: str | None
    metric: str | None
    before: str | None = Field(description="The label set from which it changes.")
    after: str | None = Field(description="That to which it changes; of an ablation, the change.")
    practice: tuple[str, ...] = Field(description="Of 10,000 images, how many each policy stops.")
    meaning: tuple[str, ...] = Field(description="What flagged means under each policy.")
    next_steps: tuple[str, ...] = Field(description="What to do next, and for whom.")
    cautions: tuple[str, ...] = Field(description="What makes the figures less than they look.")
    notes: tuple[str, ...] = Field(description="What the file of each policy says of itself.")


class Finding(NamedTuple):
    """A sentence of the summary, made from the claim that it makes.

    Attributes:
        text: the sentence.
        claimed: whether the report claims it.
        rows: those that it is made from, where another sentence can say the same.
    """

    text: str
    claimed: bool
    rows: tuple[Record, ...] = ()


def certainty(row: Difference | Shift) -> tuple[float, float, float]:
    """Returns a key that sorts claimed rows, the most certain first."""
    apart = row.difference if isinstance(row, Difference) else row.net
    p_report, p = (1.0 if p is None else p for p in (row.p_report, row.p))
    return p_report, p, -abs(apart or 0.0)


def strongest_of(count: int) -> str:
    """Returns what a sentence adds where it names one of several claims."""
    return f" (the strongest of {count:,} such claims)" if count > 1 else ""
