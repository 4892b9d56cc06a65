"""`moderation evaluate`: how well policies find what one's own labelled pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.commands.evaluation import (
    EvaluationOptions,
    open_evaluated_policies,
    open_labelled,
    said_by_systems,
)
from audit.commands.evaluation_output import print_evaluation, write_evaluation_files
from audit.commands.opening import names_recording
from audit.commands.output import refuse_unwritable_output
from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption, takes_options
from moderation.commands.output import note

EPILOG = examples(
    "moderation evaluate pictures/ -p weapons --model starter",
    "moderation evaluate labels.csv -p old.yaml -p new.yaml --model starter --out evaluation/",
    "moderation evaluate pictures/ -p weapons --truth revolver=handgun --truth '*=pass'",
)


@takes_options
def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="A folder for each label and one called pass; or a table with labels.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", "-p", help="Policy file, or name of a shipped one. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for evaluation.html and evaluation.json."),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails", help="Show the wrong pictures on the page, small."),
    ] = False,
    format: TableOrJsonOption = "table",
    *,
    options: EvaluationOptions,
) -> None:
    """Say how well policies find what your own labelled pictures show, with intervals.

    Precision, recall, F1, false flags, average precision and ROC area of each label, category and
    action; and the pictures that are wrong.
    """
    from audit.evaluation import evaluate as evaluated

    if not policy:
        raise typer.BadParameter("name one or more", param_hint="--policy")
    if thumbnails and out is None:
        raise typer.BadParameter("they are on the page: name a folder for it with --out")
    if thumbnails and options.dataset is not None and names_recording(options):
        raise typer.BadParameter("no picture is recorded", param_hint="--thumbnails")
    named = open_evaluated_policies(policy, options)
    refuse_unwritable_output(out)
    labelled = open_labelled(folder, options, named)
    labelled, systems = said_by_systems(labelled, options, named)
    notes = labelled.dataset.notes
    for text in notes:
        note(text)
    found = evaluated(labelled.images, systems, notes=notes)
    if out is not None:
        write_evaluation_files(found, out, labelled.dataset if thumbnails else None)
    if format == "json":
        print(found.to_json(), end="")
    else:
        print_evaluation(found)
