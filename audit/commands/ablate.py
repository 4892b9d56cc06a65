"""`audit ablate`: which label moves which group, and how far."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from audit.commands.audit_options import AuditOptions
from audit.commands.opening import open_policies, open_subject
from audit.commands.options import OutOption, PoliciesArgument, option_pair
from audit.commands.output import print_audit, refuse_unwritable_output
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options

if TYPE_CHECKING:
    from audit.audits.ablate import Study
    from audit.metrics.variants import Synonym
    from moderation.policy import Label, Policy

EPILOG = examples(
    "audit ablate my.yaml --dataset fairface/ --model starter --out report/",
    'audit ablate my.yaml -d fairface/ --add "child=a child" --add "face=a face; a portrait"',
    'audit ablate my.yaml -d fairface/ --synonym "criminal=a felon" --template "a picture of {}."',
)


@dataclass(frozen=True)
class ChangeOptions:
    """What to try on a label set, beside leaving out each label."""

    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=PROMPT", help="Context label to try; more prompts after ;. Repeatable."
        ),
    ] = None
    synonym: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=PROMPT", help="Other words to try for a label. Repeatable."),
    ] = None
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="Template to try, with {} where the prompt belongs; by default nine. Repeatable."
        ),
    ] = None
    threshold: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0, max=1.0, help="Threshold of the sweep; by default fifteen. Repeatable."
        ),
    ] = None

    def study(self, policies: Collection[Policy]) -> Study:
        """Returns the study that an ablation makes of them.

        Raises:
            typer.BadParameter: one is not of its form, or names a label that no policy has.
        """
        from audit.audits.ablate import Study
        from audit.metrics.thresholds import THRESHOLDS
        from audit.metrics.variants import TEMPLATES

        for text in self.template or ():
            if text.count("{}") != 1:
                raise typer.BadParameter(f"{text} needs one {{}}", param_hint="--template")
        return Study(
            candidates=[_ablation_label(text) for text in self.add or ()],
            synonyms=[_ablation_synonym(text, policies) for text in self.synonym or ()],
            templates=tuple(self.template or TEMPLATES),
            thresholds=tuple(sorted(set(self.threshold or THRESHOLDS))),
        )


@takes_options
def ablate(
    policy: PoliciesArgument,
    changes: ChangeOptions,
    seed: Annotated[
        int, typer.Option(help="Of the halves that --add and --synonym are tried on.")
    ] = 0,
    out: OutOption = None,
    format: TableOrJsonOption = "table",
    *,
    options: AuditOptions,
) -> None:
    """Change a label set one thing at a time: leave out, add, reword; and sweep thresholds.

    Changes from --add and --synonym are chosen on half of the images and measured on the other.
    """
    named = open_policies(policy, options.model)
    refuse_unwritable_output(out)
    from audit.audits.ablate import ablate_audit

    policies, by = named.policies.values(), options.sensitive_features
    study = changes.study(policies)
    cosine = options.near_duplicates
    with open_subject(options, policies, by=by, seed=seed, near_duplicates=cosine) as subject:
        results = ablate_audit(subject, named, study, margin=options.margin)
    print_audit(results, out, format)


def _ablation_prompts(text: str, option: str) -> tuple[str, list[str]]:
    """Returns the id and the prompts of ID=PROMPT;PROMPT."""
    name, words = option_pair(text, "ID=PROMPT", option)
    prompts = [prompt.strip() for prompt in words.split(";") if prompt.strip()]
    if not prompts:
        raise typer.BadParameter(f"{text} is not of the form ID=PROMPT", param_hint=option)
    return name, prompts


def _ablation_label(text: str) -> Label:
    from moderation.policy import Label

    name, prompts = _ablation_prompts(text, "--add")
    try:
        return Label(id=name, prompts=tuple(prompts))
    except ValidationError as error:
        raise typer.BadParameter(
            f"{name} is not a label id: lower-case letters, digits, hyphens", param_hint="--add"
        ) from error


def _ablation_synonym(text: str, policies: Collection[Policy]) -> Synonym:
    from audit.metrics.variants import Synonym

    name, prompts = _ablation_prompts(text, "--synonym")
    if not any(name == label.id for policy in policies for label in policy.labels):
        raise typer.BadParameter(f"no policy has a label {name}", param_hint="--synonym")
    if len(prompts) > 1:
        raise typer.BadParameter("write --synonym once for each wording", param_hint="--synonym")
    return Synonym(name, prompts[0])
