"""`audit run`: whom policies flag, by group."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.commands.inputs import FormatOption, TextOrJson
from audit.commands.opening import open_subject
from audit.commands.output import OutOption, print_audit, refuse_unwritable
from audit.commands.policies import PoliciesArgument, named, read_policies
from audit.commands.shared_options import SubjectOptions, takes_options
from audit.commands.skew import Desired, DesiredOption, KOption

EPILOG = """Examples:

    audit run weapons --dataset fairface/ --model starter

    audit run my.yaml --dataset fairface/ --by race --by gender,age --out report/

    audit run my.yaml --dataset people.csv --column image=file --column skin_tone=monk --benign
"""


@takes_options
def run(
    policy: PoliciesArgument,
    options: SubjectOptions,
    out: OutOption = None,
    format: FormatOption = TextOrJson.TABLE,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Also tell whom this prompt finds first (see `audit skew`). Repeatable."),
    ] = None,
    k: KOption = 100,
    desired: DesiredOption = Desired.EQUAL,
) -> None:
    """Report whom each policy flags: rates by group with intervals, gaps, what is not shown."""
    policies = read_policies(policy, options.model)
    refuse_unwritable(out)
    from audit.studies.run import run_audit

    with open_subject(options, policies, by=options.features) as subject:
        results = run_audit(
            subject, named(policies, policy), prompts=prompt or (), k=k, desired=desired.value
        )
    print_audit(results, out, format)
