"""A policy checked against limits, and against the policy that it would replace."""

from __future__ import annotations

from audit.audits.subject import Named, Subject
from audit.errors import LimitsError
from audit.gate.checks import check_limits
from audit.gate.counts import gate_counts, gate_marks, recall_marks
from audit.gate.limits import Limits, refuse_unknown_groups
from audit.gate.report import GateReport, left_out_rows


def gate_audit(subject: Subject, named: Named, limits: Limits) -> GateReport:
    """Returns whether the first policy keeps to limits; a second one is its baseline.

    The groups are those that the limits name.

    Raises:
        LimitsError: the limits do not fit the policies or the dataset.
        DatasetError: the dataset lacks a sensitive feature that the limits name.
        PolicyError: a policy does not fit the model.
    """
    if limits.regression is not None and len(named.policies) < 2:
        what = "the limit on regression needs a baseline"
        raise LimitsError(what, "regression", "Name the new policy, then the one that it replaces")
    parts = subject.dataset.partitions(limits.by)[1:]
    refuse_unknown_groups(limits, parts)
    predictions = subject.predict(named.policies)
    ends = predictions[0], predictions[-1]
    new, old = (gate_marks(each, limits.metric) for each in ends)
    found = recall_marks(predictions[0])
    unchanged = ends[0].policy.sha256 == ends[1].policy.sha256
    checks = [
        check
        for part in parts
        for check in check_limits(
            gate_counts(part, new, old, limits),
            gate_counts(part, new, old, limits, shared=True),
            limits,
            unchanged=unchanged,
            recall=gate_counts(part, found, found, limits),
        )
    ]
    left_out = tuple(row for part in parts for row in left_out_rows(part))
    truth = predictions[0].truth if limits.need_truth else None
    unclear = truth.unmatched if truth is not None and truth.unknown.any() else {}
    return GateReport(subject.header(named), limits, tuple(checks), left_out, unclear)
