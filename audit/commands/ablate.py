"""`audit ablate`: which label moves which group how far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from audit.commands.inputs import FormatOption, TextOrJson
from audit.commands.opening import open_subject
from audit.commands.output import OutOption, print_audit, refuse_unwritable
from audit.commands.policies import PoliciesArgument, named, read_policies
from audit.commands.shared_options import SubjectOptions, takes_options

if TYPE_CHECKING:
    from audit.metrics.variants import Synonym
    from moderation.policy import Label, Policy

EPILOG = """Examples:

    audit ablate my.yaml --dataset fairface/ --model starter --out report/

    audit ablate my.yaml -d fairface/ --add "child=a child" --add "face=a face; a portrait"

    audit ablate my.yaml -d fairface/ --synonym "criminal=a felon" --template "a picture of {}."
"""

AddOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=PROMPT", help="Context label to try; more prompts after ;. Repeatable."
    ),
]
SynonymOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=PROMPT", help="Other words to try for a label. Repeatable."),
]
TemplateOption = Annotated[
    list[str] | None,
    typer.Option(help="Template to try, with {} where the prompt belongs. Else nine. Repeatable."),
]
ThresholdOption = Annotated[
    list[float] | None,
    typer.Option(min=0.0, max=1.0, help="Threshold of the sweep. Else fifteen. Repeatable."),
]


@takes_options
def ablate(
    policy: PoliciesArgument,
    options: SubjectOptions,
    add: AddOption = None,
    synonym: SynonymOption = None,
    template: TemplateOption = None,
    threshold: ThresholdOption = None,
    seed: Annotated[
        int, typer.Option(help="Of the halves that --add and --synonym are tried on.")
    ] = 0,
    out: OutOption = None,
    format: FormatOption = TextOrJson.TABLE,
) -> None:
    """Change a label set one thing at a time: leave out, add, reword; and sweep thresholds.

    What is searched (--add, --synonym) is chosen on half of the images and measured on the other.
    """
    policies = read_policies(policy, options.model)
    refuse_unwritable(out)
    from audit.metrics.thresholds import THRESHOLDS
    from audit.metrics.variants import TEMPLATES
    from audit.studies.ablate import Study, ablate_audit

    _refuse_unplaced(template or ())
    study = Study(
        candidates=[_label(text) for text in add or ()],
        synonyms=[_synonym(text, policies) for text in synonym or ()],
        templates=tuple(template or TEMPLATES),
        thresholds=tuple(sorted(set(threshold or THRESHOLDS))),
    )
    with open_subject(options, policies, by=options.features, seed=seed) as subject:
        results = ablate_audit(subject, named(policies, policy), study)
    print_audit(results, out, format)


def _pair(text: str, option: str) -> tuple[str, list[str]]:
    name, _, words = text.partition("=")
    prompts = [prompt.strip() for prompt in words.split(";") if prompt.strip()]
    if not name.strip() or not prompts:
        raise typer.BadParameter(f"{text} is not of the form ID=PROMPT", param_hint=option)
    return name.strip(), prompts


def _label(text: str) -> Label:
    from moderation.policy import Label

    name, prompts = _pair(text, "--add")
    try:
        return Label(id=name, prompts=tuple(prompts))
    except ValidationError as error:
        raise typer.BadParameter(
            f"{name} is no label id: lower-case letters, digits, hyphens", param_hint="--add"
        ) from error


def _synonym(text: str, policies: Iterable[Policy]) -> Synonym:
    from audit.metrics.variants import Synonym

    name, prompts = _pair(text, "--synonym")
    if not any(name == label.id for policy in policies for label in policy.labels):
        raise typer.BadParameter(f"no policy has a label {name}", param_hint="--synonym")
    if len(prompts) > 1:
        raise typer.BadParameter("write --synonym once for each wording", param_hint="--synonym")
    return Synonym(name, prompts[0])


def _refuse_unplaced(templates: Iterable[str]) -> None:
    for template in templates:
        if template.count("{}") != 1:
            raise typer.BadParameter(f"{template} needs one {{}}", param_hint="--template")
