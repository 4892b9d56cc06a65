"""`audit gate`: checks a policy against limits, for a pull request that edits it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import open_subject, read_policies
from audit.commands.options import DatasetOptions
from audit.commands.output import writing
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJson, takes_options
from moderation.commands.output import note

if TYPE_CHECKING:
    from audit.gate.limits import Limits
    from audit.gate.report import GateReport
    from audit.studies.run import Named
    from audit.studies.subject import Subject

#: Exit codes by status: neither of the last two may be merged, for different reasons.
EXIT_CODES = {"pass": 0, "fail": 1, "insufficient data": 4}

EPILOG = examples(
    "audit gate --policy new.yaml --baseline old.yaml --limits limits.yaml -d fairface/",
    "audit gate --policy my.yaml --limits limits.yaml -d fairface/ --summary comment.md",
)


@takes_options
def gate(
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="The new policy: a file, or a shipped name.")
    ],
    limits: Annotated[Path, typer.Option(help="File of limits: see docs/audit.md.")],
    baseline: Annotated[
        str | None, typer.Option(help="The policy that it would replace, for the regression limit.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Write the answer there too, as Markdown.")
    ] = None,
    format: Annotated[TableOrJson, typer.Option(help="table is Markdown.")] = "table",
    *,
    options: DatasetOptions,
) -> None:
    """Check a policy against limits: pass, fail, or insufficient data.

    Exits with 0 for pass, 1 for fail, 4 for insufficient data.
    """
    from audit.gate.limits import load_limits
    from audit.gate.report import to_json, to_markdown

    held = load_limits(limits)
    paths = [policy] if baseline is None else [policy, baseline]
    if baseline is None and held.regression is not None:
        raise typer.BadParameter("the limit on regression needs one", param_hint="--baseline")
    named = read_policies(paths, options.model)
    with open_subject(options, named.policies.values(), by=held.by) as subject:
        report = _hold(subject, named, held)
    text = to_markdown(report)
    print(to_json(report) if format == "json" else text, end="", flush=True)
    if summary is not None:
        with writing(summary):
            summary.write_text(text, encoding="utf-8")
        note(f"The answer is in {summary}")
    raise typer.Exit(EXIT_CODES[report.answer])


def _hold(subject: Subject, named: Named, limits: Limits) -> GateReport:
    from audit.gate.checks import check_limits
    from audit.gate.figures import group_counts, marks_of, shared_counts
    from audit.gate.limits import refuse_unknown_groups
    from audit.gate.report import GateReport
    from audit.metrics.truth import truth_of

    predictions = subject.predict(named.policies)
    marks = [marks_of(each, limits.metric, truth_of(subject.dataset, each)) for each in predictions]
    unchanged = len({policy.sha256 for policy in named.policies.values()}) == 1
    parts = [subject.dataset.groups(by) for by in limits.by]
    refuse_unknown_groups(limits, parts)
    checks = [
        check
        for part in parts
        for check in check_limits(
            group_counts(part, marks[0], marks[-1], limits),
            shared_counts(part, marks[0], marks[-1], limits),
            limits,
            unchanged=unchanged,
        )
    ]
    return GateReport(subject.header(named.policies, named.paths), limits, tuple(checks))
