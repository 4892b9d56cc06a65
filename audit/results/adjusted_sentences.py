"""Adjusted figures in words: at most a sentence of each kind, made from the rows it tells of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.datasets.groups import CROSS, OVERALL
from audit.plurals import agreeing
from audit.results.adjusted_rows import Equivalent, PooledGap, Standardised
from audit.results.finding import Finding
from audit.results.formatting import images, percent, points, signed_points
from audit.results.gap_sentences import done_to
from audit.results.rows import Difference

#: Up to this many groups within a margin are named; of more, only the number is said.
_NAMED = 6


def standardised_sentence(
    rows: Sequence[Standardised], differences: Sequence[Difference]
) -> Iterator[str]:
    """Yields the claim that standardising changes most, as it is and standardised, if any is."""
    claimed = {
        (row.policy, row.by, row.metric, row.group)
        for row in differences
        if row.claim and row.comparison == "to_overall"
    }
    known = [
        row
        for row in rows
        if (row.policy, row.by, row.metric, row.group) in claimed and row.support != "suppressed"
    ]
    if known:
        yield _standardised_text(max(known, key=_standardised_change))


def _standardised_change(row: Standardised) -> tuple[bool, float]:
    """Returns a key by which standardising changes most what a claim means, then its size."""
    return _may_be_nothing(row), abs((row.difference or 0.0) - (row.crude_difference or 0.0))


def _may_be_nothing(row: Standardised) -> bool:
    return (row.difference_low or 0.0) <= 0 <= (row.difference_high or 0.0)


def _standardised_text(row: Standardised) -> str:
    others = row.standardised_for.replace(CROSS, " and ")
    explained = "may explain it" if _may_be_nothing(row) else "alone cannot explain it"
    return (
        f"With one mix of {others} in all groups, {percent(row.rate)} of {row.by} {row.group} "
        f"would be {done_to(row.metric)} under {row.policy} against {percent(row.rest)} of all "
        f"others: {signed_points(row.difference)} points [{signed_points(row.difference_low)} to "
        f"{signed_points(row.difference_high)}], and as counted "
        f"{signed_points(row.crude_difference)} points; so {others} {explained}."
    )


def pooled_finding(gaps: Sequence[PooledGap]) -> Iterator[Finding]:
    """Yields the intersection that pooling draws together most; unknown if it may be one rate."""
    if gaps:
        top = max(gaps, key=lambda gap: (gap.raw_difference or 0.0) - (gap.difference or 0.0))
        shown = bool(top.difference_low)
        text = (
            f"By {top.by} under {top.policy}, the shares {done_to(top.metric)} of {top.cells:,} "
            f"groups lie {points(top.raw_difference)} points apart as counted, but the smallest "
            f"group has {images(top.smallest_n)}. Estimated together, so that small groups borrow "
            f"from the others, they lie {points(top.difference)} points apart "
            f"[{points(top.difference_low)} to {points(top.difference_high)}]"
            f"{'' if shown else ', so all may have one rate'}."
        )
        yield Finding(text, claimed=shown)


def equivalence_sentence(rows: Sequence[Equivalent], harm: str) -> Iterator[str]:
    """Yields how many differences are shown to be within the margin, if one was given."""
    if not rows:
        return
    within = [row for row in rows if "within" in row.answer]
    differ = sum(row.answer.startswith("differs") for row in rows)
    neither = sum(row.answer == "neither" for row in rows)
    named = ", ".join(map(_equivalent_name, within[:_NAMED]))
    named += f" and {len(within) - _NAMED:,} more" * (len(within) > _NAMED)
    both = sum(row.answer == "differs within" for row in rows)
    margin = f"{100 * (rows[0].margin or 0.0):g} points"
    yield (
        f"Within {margin} in the share {done_to(harm)}, by Holm over all {len(rows):,} that "
        f"{agreeing(len(rows), 'is', 'are')} held to it: {len(within):,}"
        f"{f' ({named})' * bool(within)}; shown to differ: {differ:,}"
        f"{f', of them {both:,} by less than that' * bool(both)}; neither is shown of {neither:,}."
    )


def _equivalent_name(row: Equivalent) -> str:
    group = "all images" if row.by == OVERALL else f"{row.by} {row.group}"
    where = f"the shift of {group} to" if row.kind == "shift" else f"{group} under"
    return f"{where} {row.policy}"
