"""Policies on one subject, each by itself -> `Results`."""

from __future__ import annotations

from collections.abc import Sequence

from audit.audits.adjusted import adjusted_figures, adjusted_findings
from audit.audits.assessment import disparities, words
from audit.audits.audited import Audited, Named, S
from audit.audits.recorded_prompts import refuse_unrecorded_searches
from audit.audits.subject import Subject
from audit.metrics.skew import DesiredShare
from audit.results import summary
from audit.results.results import Results
from audit.results.rows import Skew


def run_audit(
    subject: Audited[S],
    named: Named[S],
    *,
    prompts: Sequence[str] = (),
    k: int = 100,
    desired: DesiredShare = "equal",
    margin: float | None = None,
) -> Results:
    """Returns the audit of policies, each by itself; with the retrieval skew of prompts, if any.

    With a margin, in percentage points, it says which groups are shown to lie within it.

    Raises:
        AuditError: the margin is not between 0 and 100 points, or a prompt is not recorded.
        PolicyError: a policy does not fit the model.
    """
    if isinstance(subject, Subject):
        refuse_unrecorded_searches(prompts, subject.encoder)
    assessed = subject.assess(named)
    found, _ = assessed.found()
    adjusted = adjusted_figures(subject, assessed.predictions, found, margin=margin)
    findings = summary.run_findings(found["header"], disparities(found))
    skews: list[Skew] = []
    if prompts and not isinstance(subject, Subject):
        raise ValueError("prompts are compared with images, and this audit has none")
    if isinstance(subject, Subject):
        skews += (row for each in prompts for row in subject.skews(each, k=k, desired=desired))
    return Results(
        kind="run",
        skews=tuple(skews),
        **words(found, [*findings, *adjusted_findings(found, adjusted)]),
        **found,
        **adjusted,
    )
