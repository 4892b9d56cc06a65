"""`audit ablate`: which label moves which group, and how far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from audit.commands.opening import open_subject, read_policies
from audit.commands.options import OutOption, PoliciesArgument, SubjectOptions, pair
from audit.commands.output import print_audit, refuse_unwritable
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options

if TYPE_CHECKING:
    from audit.metrics.variants import Synonym
    from moderation.policy import Label, Policy

EPILOG = examples(
    "audit ablate my.yaml --dataset fairface/ --model starter --out report/",
    'audit ablate my.yaml -d fairface/ --add "child=a child" --add "face=a face; a portrait"',
    'audit ablate my.yaml -d fairface/ --synonym "criminal=a felon" --template "a picture of {}."',
)


@takes_options
def ablate(
    policy: PoliciesArgument,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=PROMPT", help="Context label to try; more prompts after ;. Repeatable."
        ),
    ] = None,
    synonym: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=PROMPT", help="Other words to try for a label. Repeatable."),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="Template to try, with {} where the prompt belongs; by default nine. Repeatable."
        ),
    ] = None,
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="Threshold of the sweep; by default fifteen. Repeatable."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the halves that --add and --synonym are tried on.")
    ] = 0,
    out: OutOption = None,
    format: TableOrJsonOption = "table",
    *,
    options: SubjectOptions,
) -> None:
    """Change a label set one thing at a time: leave out, add, reword; and sweep thresholds.

    Changes from --add and --synonym are chosen on half of the images and measured on the other.
    """
    named = read_policies(policy, options.model)
    refuse_unwritable(out)
    from audit.metrics.thresholds import THRESHOLDS
    from audit.metrics.variants import TEMPLATES
    from audit.studies.ablate import Study, ablate_audit

    for text in template or ():
        if text.count("{}") != 1:
            raise typer.BadParameter(f"{text} needs one {{}}", param_hint="--template")
    study = Study(
        candidates=[_label(text) for text in add or ()],
        synonyms=[_synonym(text, named.policies.values()) for text in synonym or ()],
        templates=tuple(template or TEMPLATES),
        thresholds=tuple(sorted(set(threshold or THRESHOLDS))),
    )
    policies, by = named.policies.values(), options.sensitive_features
    with open_subject(options, policies, by=by, seed=seed) as subject:
        results = ablate_audit(subject, named, study)
    print_audit(results, out, format)


def _prompts(text: str, option: str) -> tuple[str, list[str]]:
    """Returns the id and the prompts of ID=PROMPT;PROMPT."""
    name, words = pair(text, "ID=PROMPT", option)
    prompts = [prompt.strip() for prompt in words.split(";") if prompt.strip()]
    if not prompts:
        raise typer.BadParameter(f"{text} is not of the form ID=PROMPT", param_hint=option)
    return name, prompts


def _label(text: str) -> Label:
    from moderation.policy import Label

    name, prompts = _prompts(text, "--add")
    try:
        return Label(id=name, prompts=tuple(prompts))
    except ValidationError as error:
        raise typer.BadParameter(
            f"{name} is not a label id: lower-case letters, digits, hyphens", param_hint="--add"
        ) from error


def _synonym(text: str, policies: Iterable[Policy]) -> Synonym:
    from audit.metrics.variants import Synonym

    name, prompts = _prompts(text, "--synonym")
    if not any(name == label.id for policy in policies for label in policy.labels):
        raise typer.BadParameter(f"no policy has a label {name}", param_hint="--synonym")
    if len(prompts) > 1:
        raise typer.BadParameter("write --synonym once for each wording", param_hint="--synonym")
    return Synonym(name, prompts[0])
