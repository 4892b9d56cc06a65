"""`moderation policy lint`: what is wrong with policy files, each with its place."""

from __future__ import annotations

from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import TableOrJsonOption
from moderation.commands.output import note, print_problems
from moderation.commands.policy.reading import read_policies
from moderation.settings import load_settings

EPILOG = examples(
    "moderation policy lint policies/",
    "moderation policy lint my.yaml --format json",
    "cat my.yaml | moderation policy lint -",
)


def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY", help="Policy files, folders, or shipped names; - reads stdin."
        ),
    ],
    format: TableOrJsonOption = "table",
    model: Annotated[
        str | None,
        typer.Option(help="Model whose prompt length counts; by default MODERATION_MODEL."),
    ] = None,
) -> None:
    """Check policy files: every problem at once, each with its place and what to do.

    Exits with 1 where there is one.
    """
    policies, problems = read_policies(files, model or load_settings().model)
    for policy in policies:
        labels = f"{len(policy.labels)} label{'s' * (len(policy.labels) != 1)}"
        unfitted = policy.unfitted_by_name(policy.model or model or load_settings().model)
        said = f"; {unfitted}" if unfitted else ""
        note(f"{policy.id}: valid, version {policy.version}, {labels}{said}")
    print_problems(problems, format)
    if problems:
        raise typer.Exit(1)
