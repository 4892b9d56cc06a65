"""`audit run`: whom policies flag, by group."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.commands.audit_options import AuditOptions
from audit.commands.opening import open_policies, open_subject
from audit.commands.options import (
    DesiredOption,
    KOption,
    OutOption,
    SomePoliciesArgument,
)
from audit.commands.output import print_audit, refuse_unwritable_output
from audit.commands.predictions import PredictedOptions
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options

EPILOG = examples(
    "audit run weapons --dataset fairface/ --model starter",
    "audit run my.yaml --dataset fairface/ --by race --by gender,age --out report/",
    "audit run my.yaml --dataset people.csv --column image=file --column skin_tone=monk --benign",
    "audit run --predictions october.parquet --decision action --by gender --by age --out report/",
)


@takes_options
def run(
    context: typer.Context,
    policy: SomePoliciesArgument = None,
    out: OutOption = None,
    format: TableOrJsonOption = "table",
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Also say whom this prompt finds first (see `audit skew`). Repeatable."),
    ] = None,
    k: KOption = 100,
    desired: DesiredOption = "equal",
    *,
    predicted: PredictedOptions,
    options: AuditOptions,
) -> None:
    """Report whom each policy flags: rates by group with intervals, gaps, what is not shown.

    With --predictions it is whom other systems flagged, or got wrong; see docs/predictions.md.
    """
    from audit.audits.run import run_audit

    by, cosine = options.sensitive_features, options.near_duplicates
    if predicted.asked(context):
        refuse_unwritable_output(out)
        print_audit(
            run_audit(*predicted.opened(options.reading, by), margin=options.margin), out, format
        )
        return
    if not policy:
        raise typer.BadParameter("name one or more, or --predictions", param_hint="POLICY")
    named = open_policies(policy, options.model)
    refuse_unwritable_output(out)
    policies = named.policies.values()
    with open_subject(options, policies, by=by, near_duplicates=cosine) as subject:
        results = run_audit(
            subject, named, prompts=prompt or (), k=k, desired=desired, margin=options.margin
        )
    print_audit(results, out, format)
