"""`audit compare`: what changes for whom from one label set to another."""

from __future__ import annotations

import typer

from audit.commands.audit_options import AuditOptions
from audit.commands.opening import open_policies, open_subject
from audit.commands.options import OutOption, SomePoliciesArgument
from audit.commands.output import print_audit, refuse_unwritable_output
from audit.commands.predictions import PredictedOptions
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options

EPILOG = examples(
    "audit compare old.yaml new.yaml --dataset fairface/ --model starter --out report/",
    "audit compare a.yaml b.yaml c.yaml --dataset fairface/ --by age",
    "audit compare --predictions said.csv --said old=label_1 --said new=label_2 --flag weapon",
)


@takes_options
def compare(
    context: typer.Context,
    policy: SomePoliciesArgument = None,
    out: OutOption = None,
    format: TableOrJsonOption = "table",
    *,
    predicted: PredictedOptions,
    options: AuditOptions,
) -> None:
    """Compare label sets on the same images: who enters, who leaves, where they went.

    The first policy is compared with each other. With --predictions it is the first of the systems
    that are named: of decisions, then of labels, then of scores.
    """
    from audit.audits.compare import compare_audit

    by, cosine = options.sensitive_features, options.near_duplicates
    if predicted.asked(context):
        refuse_unwritable_output(out)
        images, systems = predicted.opened(options.reading, by)
        if len(systems.policies) < 2:
            raise typer.BadParameter("name two systems or more", param_hint="--said")
        print_audit(compare_audit(images, systems, margin=options.margin), out, format)
        return
    if policy is None or len(policy) < 2:
        raise typer.BadParameter("name two policies or more", param_hint="POLICY")
    named = open_policies(policy, options.model)
    refuse_unwritable_output(out)
    policies = named.policies.values()
    with open_subject(options, policies, by=by, near_duplicates=cosine) as subject:
        results = compare_audit(subject, named, margin=options.margin)
    print_audit(results, out, format)
