"""`audit compare`: what changes for whom from one label set to another."""

from __future__ import annotations

import typer

from audit.commands.inputs import FormatOption, TextOrJson
from audit.commands.opening import open_subject
from audit.commands.output import OutOption, print_audit, refuse_unwritable
from audit.commands.policies import PoliciesArgument, named, read_policies
from audit.commands.shared_options import SubjectOptions, takes_options

EPILOG = """Examples:

    audit compare old.yaml new.yaml --dataset fairface/ --model starter --out report/

    audit compare a.yaml b.yaml c.yaml --dataset fairface/ --by age
"""


@takes_options
def compare(
    policy: PoliciesArgument,
    options: SubjectOptions,
    out: OutOption = None,
    format: FormatOption = TextOrJson.TABLE,
) -> None:
    """Compare label sets on the same images: who enters, who leaves, where they went.

    The first policy is compared with each other.
    """
    if len(policy) < 2:
        raise typer.BadParameter("name two policies or more", param_hint="POLICY")
    policies = read_policies(policy, options.model)
    refuse_unwritable(out)
    from audit.studies.compare import compare_audit

    with open_subject(options, policies, by=options.features) as subject:
        results = compare_audit(subject, named(policies, policy))
    print_audit(results, out, format)
