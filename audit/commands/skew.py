"""`audit skew`: whom a prompt finds first."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from audit.commands.inputs import FormatOption, TextOrJson
from audit.commands.opening import open_subject
from audit.commands.shared_options import SubjectOptions, takes_options
from moderation.commands.output import print_table

EPILOG = """Examples:

    audit skew "a photo of a criminal" --dataset fairface/ --model starter

    audit skew "a photo of a doctor" "a photo of a nurse" -d fairface/ --k 1000 --desired dataset
"""


class Desired(StrEnum):
    """The share that each group should have among the first k images."""

    EQUAL = "equal"
    DATASET = "dataset"


KOption = Annotated[int, typer.Option(min=1, help="How many images come first.")]
DesiredOption = Annotated[
    Desired,
    typer.Option(help="Share that each group should have: equal, or that of the dataset."),
]


@takes_options
def skew(
    prompt: Annotated[list[str], typer.Argument(metavar="PROMPT", help="Texts to search with.")],
    options: SubjectOptions,
    k: KOption = 100,
    desired: DesiredOption = Desired.EQUAL,
    format: FormatOption = TextOrJson.TABLE,
) -> None:
    """Tell whom a prompt finds first: MaxSkew@k and NDKL over a dataset, by group."""
    from audit.studies.run import prompt_skews

    if not all(text.strip() for text in prompt):
        raise typer.BadParameter("it is empty", param_hint="PROMPT")
    with open_subject(options, [], by=options.features) as subject:
        rows = [
            row
            for text in prompt
            for row in prompt_skews(subject, text, k=k, desired=desired.value)
        ]
    if format is TextOrJson.JSON:
        print(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    columns = ("prompt", "by", "first", "MaxSkew", "of group", "by chance", "p", "NDKL")
    cells = [
        (
            row.prompt,
            row.by,
            f"{row.k} of {row.n}",
            f"{row.max_skew:.3f}",
            row.max_skew_group or "",
            f"{row.chance_max_skew:.3f}",
            f"{row.p:.4f}",
            f"{row.ndkl:.3f}",
        )
        for row in rows
    ]
    print_table(columns, cells)
