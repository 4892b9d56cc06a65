"""`audit gate`: checks a policy against limits, for a pull request that edits it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.commands.opening import open_policies, open_subject
from audit.commands.options import DatasetOptions
from audit.commands.output import writable_output
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJson, takes_options
from moderation.commands.output import note

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
        Path | None, typer.Option(help="Write the result there too, as Markdown.")
    ] = None,
    format: Annotated[TableOrJson, typer.Option(help="table is Markdown.")] = "table",
    *,
    options: DatasetOptions,
) -> None:
    """Check a policy against limits: pass, fail, or insufficient data.

    Exits with 0 for pass, 1 for fail, 4 for insufficient data.
    """
    from audit.audits.gate import gate_audit
    from audit.gate.limits import load_limits

    held = load_limits(limits)
    paths = [policy] if baseline is None else [policy, baseline]
    if baseline is None and held.regression is not None:
        raise typer.BadParameter("the limit on regression needs one", param_hint="--baseline")
    named = open_policies(paths, options.model)
    with open_subject(options, named.policies.values(), by=held.by) as subject:
        report = gate_audit(subject, named, held)
    text = report.to_markdown()
    print(report.to_json() if format == "json" else text, end="", flush=True)
    if summary is not None:
        with writable_output(summary):
            summary.write_text(text, encoding="utf-8")
        note(f"The result is in {summary}")
    raise typer.Exit(EXIT_CODES[report.status])
