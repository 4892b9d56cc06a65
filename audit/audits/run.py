"""Policies on one subject, each by itself -> `Results`."""

from __future__ import annotations

from collections.abc import Sequence

from audit.audits.assessment import disparities, words
from audit.audits.subject import Named, Subject
from audit.metrics.skew import DesiredShare
from audit.results import summary
from audit.results.results import Results


def run_audit(
    subject: Subject,
    named: Named,
    *,
    prompts: Sequence[str] = (),
    k: int = 100,
    desired: DesiredShare = "equal",
) -> Results:
    """Returns the audit of policies, each by itself; with the retrieval skew of prompts, if any.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    found, _ = subject.assess(named).found()
    findings = summary.run_findings(found["header"], disparities(found))
    skews = [row for prompt in prompts for row in subject.skews(prompt, k=k, desired=desired)]
    return Results(
        kind="run",
        skews=tuple(skews),
        **words(found, findings),
        **found,
    )
