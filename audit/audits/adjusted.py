"""What an audit adjusts of what it counts: standardised rates, pooled cells, a margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import pandas as pd

from audit.audits.assessment import Assessment
from audit.audits.audited import Audited, S
from audit.datasets.groups import CROSS, OVERALL, Groups, crossed_groups
from audit.errors import AuditError
from audit.metrics.equivalences import equivalence_table
from audit.metrics.pooled import pooled_tables
from audit.metrics.predictions import Predictions
from audit.metrics.standardised import standardised_tables
from audit.results.adjusted_rows import CommonStrata, Equivalent, Pooled, PooledGap, Standardised
from audit.results.adjusted_sentences import (
    equivalence_sentence,
    pooled_finding,
    standardised_sentence,
)
from audit.results.finding import Finding
from audit.results.rows import Difference, Shift, records


class Adjusted(TypedDict):
    """The fields of `Results` that adjust what was counted."""

    standardised: tuple[Standardised, ...]
    common_strata: tuple[CommonStrata, ...]
    pooled: tuple[Pooled, ...]
    pooled_gaps: tuple[PooledGap, ...]
    equivalences: tuple[Equivalent, ...]


def adjusted_figures(
    subject: Audited[S],
    predictions: Sequence[Predictions],
    found: Assessment,
    shifts: Sequence[Shift] = (),
    *,
    margin: float | None = None,
) -> Adjusted:
    """Returns the adjusted figures of an audit; those of a margin where one is given, in points.

    Raises:
        AuditError: the margin is not between 0 and 100 points.
    """
    metrics = {row.metric for row in found["differences"]}
    standardised = standardised_tables(predictions, _strata_of_features(subject), metrics)
    pooled = pooled_tables(
        predictions, [part for part in subject.groups if CROSS in part.by], found["header"].harm
    )
    return Adjusted(
        standardised=records(Standardised, standardised.rates),
        common_strata=records(CommonStrata, standardised.strata),
        pooled=records(Pooled, pooled.cells),
        pooled_gaps=records(PooledGap, pooled.gaps),
        equivalences=_equivalences(found["header"].harm, found["differences"], shifts, margin),
    )


def adjusted_findings(found: Assessment, adjusted: Adjusted) -> Iterator[Finding]:
    """Yields what the adjusted figures say beside what is claimed, a sentence of each kind."""
    for text in standardised_sentence(adjusted["standardised"], found["differences"]):
        yield Finding(text, claimed=True)
    yield from pooled_finding(adjusted["pooled_gaps"])
    yield from equivalence_findings(adjusted, found["header"].harm)


def equivalence_findings(adjusted: Adjusted, harm: str) -> Iterator[Finding]:
    """Yields what is shown to lie within a margin, if one was given."""
    for text in equivalence_sentence(adjusted["equivalences"], harm):
        yield Finding(text, claimed=True)


def _strata_of_features(subject: Audited[S]) -> Iterator[tuple[Groups, Groups]]:
    """Yields the groups of each feature by itself, with the strata of all others looked at."""
    looked_at = [name for part in subject.groups[1:] for name in part.by.split(CROSS)]
    features = [subject.dataset.groups([name]) for name in dict.fromkeys(looked_at)]
    for part in subject.without_intersections:
        others = [each for each in features if each.by != part.by]
        if part.by != OVERALL and others:
            yield part, crossed_groups(others)


def _equivalences(
    harm: str, differences: Sequence[Difference], shifts: Sequence[Shift], margin: float | None
) -> tuple[Equivalent, ...]:
    """Returns whether groups, and their shifts, lie within a margin, in the rate of the harm."""
    if margin is None:
        return ()
    refuse_wrong_margin(margin)
    apart = [r for r in differences if r.metric == harm and r.comparison == "to_overall"]
    moved = [row for row in shifts if row.metric == harm and not row.matched]
    table = equivalence_table(_of_single_features(apart), _of_single_features(moved), margin / 100)
    return records(Equivalent, table)


def refuse_wrong_margin(margin: float) -> None:
    """Refuses a margin within which nothing, or everything, would lie.

    Raises:
        AuditError: it is not between 0 and 100 points.
    """
    if not 0 < margin < 100:
        what = f"a margin of {margin:g} points is not between 0 and 100"
        raise AuditError(what, "--margin", "Name one that would not matter to you, such as 5")


def _of_single_features(rows: Sequence[Difference] | Sequence[Shift]) -> pd.DataFrame:
    """Returns rows as a table: without intersections, unless these are all that there is.

    Fewer rows are more power, since all of them are corrected together.
    """
    single = [row for row in rows if CROSS not in row.by]
    some = any(row.by != OVERALL for row in single)
    return pd.DataFrame([row.model_dump() for row in (single if some else rows)])
