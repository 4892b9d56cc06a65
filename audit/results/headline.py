"""The headline of an audit: its largest claim, what that means, what to do next, and for whom."""

from __future__ import annotations

from collections.abc import Sequence

from audit.datasets.groups import OVERALL
from audit.results.ablation_rows import Ablation
from audit.results.cautions import cautions
from audit.results.finding import Headline, HeadlineKind
from audit.results.headline_sentences import claim_sentence, no_claim_sentence
from audit.results.largest_claim import Claimable, Row, SizedClaim
from audit.results.next_steps import next_steps
from audit.results.practice_sentences import (
    harm_summary,
    meaning_sentences,
    note_sentences,
    practice_sentences,
)
from audit.results.results import Header
from audit.results.rows import Correction, Difference, Power, Rate, Shift


def headline_of(
    header: Header,
    claim: SizedClaim | None,
    tested: Claimable,
    correction: Correction,
    rates: Sequence[Rate],
    power: Sequence[Power],
) -> Headline:
    """Returns the headline of an audit.

    Args:
        header: of the report.
        claim: the largest one, if there is any.
        tested: all rows of which something could be claimed.
        correction: how many were tested.
        rates: of all policies.
        power: which rise each group would have shown.
    """
    row = claim.row if claim else None
    group = (row.by, row.group) if row and row.by != OVERALL else None
    before, after = row.label_sets if isinstance(row, (Shift, Ablation)) else (None, None)
    if claim:
        finding = claim_sentence(claim, header, correction, tested)
    else:
        finding = _finding_without_claim(header, correction, rates)
    return Headline(
        finding=finding,
        claimed=claim is not None,
        kind=_kind(row),
        policies=claim.policies if claim else tuple(policy.name for policy in header.policies),
        by=row.by if row else None,
        group=row.group if row else None,
        metric=row.metric if row else None,
        before=before,
        after=after,
        practice=tuple(practice_sentences(header, rates, group, claim.policies if claim else ())),
        meaning=tuple(meaning_sentences(header)),
        next_steps=tuple(next_steps(header, claim, rates, power)),
        cautions=tuple(cautions(header, rates, correction, claimed=claim is not None)),
        notes=tuple(note_sentences(header.policies)),
    )


def _finding_without_claim(header: Header, correction: Correction, rates: Sequence[Rate]) -> str:
    """Returns that nothing is claimed; of one policy alone, how much it flags before that."""
    nothing = no_claim_sentence(header, correction)
    if len(header.policies) > 1:
        return nothing
    return f"{harm_summary(header.policies[0].name, rates, header)} {nothing}"


def _kind(row: Row | None) -> HeadlineKind:
    if row is None:
        return "none"
    if isinstance(row, Difference):
        return "difference"
    if isinstance(row, Ablation):
        return "change"
    return "matched shift" if row.matched else "shift"
