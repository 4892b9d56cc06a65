"""`moderation policy diff`: what an edit of a policy changes, in words and on pictures."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from moderation.commands.command_line import examples
from moderation.commands.output import print_json, say
from moderation.commands.policy.diff_output import ComparedPolicies, markdown_words
from moderation.policy import find_policy
from moderation.policy.revision import load_policy_or_revision
from moderation.settings import load_settings

EPILOG = examples(
    "moderation policy diff old.yaml new.yaml",
    "moderation policy diff HEAD:policies/weapons.yaml policies/weapons.yaml",
    "moderation policy diff HEAD: my.yaml --format markdown",
)

DiffFormat = Literal["table", "json", "markdown"]


def diff(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            help="Policy file, shipped name, or git revision: main:policies/my.yaml; HEAD: alone "
            "is NEW at HEAD.",
        ),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, of the edited one.")],
    format: Annotated[DiffFormat, typer.Option(help="How to print.")] = "table",
    model: Annotated[
        str | None,
        typer.Option(help="Model whose prompt length counts; by default MODERATION_MODEL."),
    ] = None,
) -> None:
    """Say what an edit of a policy changes in words, whatever the layout of the files."""
    compared = _compared(old, new, model or load_settings().model)
    if format == "json":
        print_json(compared.to_json())
    elif format == "markdown":
        for line in markdown_words(compared):
            say(line)
    else:
        say(compared.title)
        for sentence in compared.sentences:
            say(sentence)


def _compared(old: str, new: str, model: str) -> ComparedPolicies:
    """Returns both policies with what differs; `model` as in `parse_policy`."""
    before = load_policy_or_revision(old, find_policy(new), model=model)
    after = load_policy_or_revision(new, find_policy(old), model=model)
    return ComparedPolicies.of(before, after, old, new)
