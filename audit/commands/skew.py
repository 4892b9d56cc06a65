"""`audit skew`: whom a prompt finds first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import open_subject
from audit.commands.options import DesiredOption, KOption, SubjectOptions
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options
from moderation.commands.output import note, print_json, print_table

if TYPE_CHECKING:
    from audit.results.rows import Skew

EPILOG = examples(
    'audit skew "a photo of a criminal" --dataset fairface/ --model starter',
    'audit skew "a photo of a doctor" "a photo of a nurse" -d fairface/ --k 1000 --desired dataset',
)


@takes_options
def skew(
    prompt: Annotated[list[str], typer.Argument(metavar="PROMPT", help="Texts to search with.")],
    k: KOption = 100,
    desired: DesiredOption = "equal",
    format: TableOrJsonOption = "table",
    *,
    options: SubjectOptions,
) -> None:
    """Show whom a prompt finds first: MaxSkew@k and NDKL over a dataset, by group."""
    if not all(text.strip() for text in prompt):
        raise typer.BadParameter("it is empty", param_hint="PROMPT")
    from audit.results.left_out import left_out_finding

    with open_subject(options, [], by=options.sensitive_features) as subject:
        subject.refuse_prompts(prompt)
        for sentence in left_out_finding(subject.dataset_record()):
            note(sentence)
        rows = [row for text in prompt for row in subject.skews(text, k=k, desired=desired)]
    if format == "json":
        print_json([row.model_dump(mode="json") for row in rows])
        return
    columns = ("prompt", "by", "first", "MaxSkew", "of group", "by chance", "p", "NDKL")
    print_table(columns, map(_skew_cells, rows))


def _skew_cells(row: Skew) -> tuple[str, ...]:
    return (
        row.prompt,
        row.by,
        f"{row.k} of {row.n}",
        f"{row.max_skew:.3f}",
        row.max_skew_group or "",
        f"{row.chance_max_skew:.3f}",
        f"{row.p:.4f}",
        f"{row.ndkl:.3f}",
    )
