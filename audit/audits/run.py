"""Policies on one subject, each by itself -> `Results`."""

from __future__ import annotations

from collections.abc import Sequence

from audit.audits.adjusted import adjusted_figures, adjusted_findings
from audit.audits.assessment import disparities, words
from audit.audits.audited import Audited, Named, S
from audit.metrics.skew import DesiredShare
from audit.results import summary
from audit.results.results import Results


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
    subject.refuse_prompts(prompts)
    assessed = subject.assess(named)
    found, _ = assessed.found()
    adjusted = adjusted_figures(subject, assessed.predictions, found, margin=margin)
    findings = summary.run_findings(found["header"], disparities(found))
    skews = [row for each in prompts for row in subject.skews(each, k=k, desired=desired)]
    return Results(
        kind="run",
        skews=tuple(skews),
        **words(found, [*findings, *adjusted_findings(found, adjusted)]),
        **found,
        **adjusted,
    )
