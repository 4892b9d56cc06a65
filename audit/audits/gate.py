"""A policy checked against limits, and against the policy that it would replace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from audit.audits.audited import Audited, Named, S
from audit.errors import AuditError, LimitsError
from audit.gate.checks import check_limits
from audit.gate.counts import gate_counts, gate_marks, recall_marks
from audit.gate.limits import Limits, refuse_unknown_groups
from audit.gate.report import GateReport, left_out_rows
from audit.gate.runs import GateQuestion, GateRecord, open_record
from audit.gate.spending import Standing
from audit.metrics.rates import harm_metric
from audit.statistics.intervals import LEVEL


def gate_audit(
    subject: Audited[S], named: Named[S], limits: Limits, *, level: float = LEVEL
) -> GateReport:
    """Returns whether the first policy keeps to limits; a second one is its baseline.

    The groups are those that the limits name; `level` is that of the intervals.

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
    header = subject.header(named, harm_metric(predictions))
    unchanged = header.policies[0].sha256 == header.policies[len(predictions) - 1].sha256
    checks = [
        check
        for part in parts
        for check in check_limits(
            gate_counts(part, new, old, limits),
            gate_counts(part, new, old, limits, shared=True),
            limits,
            unchanged=unchanged,
            recall=gate_counts(part, found, found, limits),
            level=level,
        )
    ]
    left_out = tuple(row for part in parts for row in left_out_rows(part))
    truth = predictions[0].truth if limits.need_truth else None
    unclear = truth.unmatched if truth is not None and truth.unknown.any() else {}
    return GateReport(
        header.model_copy(update={"confidence": level}), limits, tuple(checks), left_out, unclear
    )


def recorded_gate_audit(
    subject: Audited[S],
    named: Named[S],
    limits: Limits,
    record: Path,
    *,
    spend: bool,
    figures: bool,
) -> GateReport:
    """Returns what `gate_audit` does, after the run was added to the record in a file.

    Gates of one record take turns. With `spend` the level is spent on all gates on the dataset
    together, and figures are shown only where `figures` says so.

    Raises:
        AuditError: the record cannot be used, or the level was spent so far and is not now.
        LimitsError, DatasetError, PolicyError: as of `gate_audit`; nothing is added.
    """
    with open_record(record) as earlier:
        asked = GateQuestion.of(subject.header(named), limits)
        _refuse_unspent(earlier, asked, knowingly=spend or figures)
        standing = Standing.after(earlier.runs, asked, spend=spend, figures=figures or not spend)
        report = gate_audit(subject, named, limits, level=standing.level)
        report = replace(report, standing=standing)
        earlier.append(report.run_of(asked))
    return report


def _refuse_unspent(earlier: GateRecord, asked: GateQuestion, *, knowingly: bool) -> None:
    """Raises where figures would end the promise of earlier gates unasked."""
    spent = [run for run in earlier.runs if run.spending and run.on_dataset_of(asked)]
    if spent and not knowingly:
        what = (
            "what --spend promised of earlier gates on this dataset ends where figures of it are "
            "shown, as this run would"
        )
        remedy = "Add --spend, or --show-figures to end it knowingly"
        raise AuditError(what, str(earlier.path), remedy)
