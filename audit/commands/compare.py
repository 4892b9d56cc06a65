"""`audit compare`: what changes for whom from one label set to another."""

from __future__ import annotations

import typer

from audit.commands.opening import open_policies, open_subject
from audit.commands.options import MarginOption, OutOption, PoliciesArgument, SubjectOptions
from audit.commands.output import print_audit, refuse_unwritable_output
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options

EPILOG = examples(
    "audit compare old.yaml new.yaml --dataset fairface/ --model starter --out report/",
    "audit compare a.yaml b.yaml c.yaml --dataset fairface/ --by age",
)


@takes_options
def compare(
    policy: PoliciesArgument,
    out: OutOption = None,
    margin: MarginOption = None,
    format: TableOrJsonOption = "table",
    *,
    options: SubjectOptions,
) -> None:
    """Compare label sets on the same images: who enters, who leaves, where they went.

    The first policy is compared with each other.
    """
    if len(policy) < 2:
        raise typer.BadParameter("name two policies or more", param_hint="POLICY")
    named = open_policies(policy, options.model)
    refuse_unwritable_output(out)
    from audit.audits.compare import compare_audit

    with open_subject(options, named.policies.values(), by=options.sensitive_features) as subject:
        results = compare_audit(subject, named, margin=margin)
    print_audit(results, out, format)
