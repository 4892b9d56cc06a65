"""`audit compare`: what changes for whom from one label set to another."""

from __future__ import annotations

import typer

from audit.commands.audit_options import AuditOptions
from audit.commands.opening import open_policies, open_subject
from audit.commands.options import OutOption, PoliciesArgument
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
    format: TableOrJsonOption = "table",
    *,
    options: AuditOptions,
) -> None:
    """Compare label sets on the same images: who enters, who leaves, where they went.

    The first policy is compared with each other.
    """
    if len(policy) < 2:
        raise typer.BadParameter("name two policies or more", param_hint="POLICY")
    named = open_policies(policy, options.model)
    refuse_unwritable_output(out)
    from audit.audits.compare import compare_audit

    by, cosine = options.sensitive_features, options.near_duplicates
    policies = named.policies.values()
    with open_subject(options, policies, by=by, near_duplicates=cosine) as subject:
        results = compare_audit(subject, named, margin=options.margin)
    print_audit(results, out, format)
