"""`moderation policy diff`: what an edit of a policy changes, in words and on pictures."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from moderation.commands.command_line import examples
from moderation.commands.options import TIMES, ModelOption, NoStoreOption, StoreOption, utc_time
from moderation.commands.output import print_json, say
from moderation.commands.policy.diff_output import ComparedPolicies, markdown_words
from moderation.commands.policy.flips_output import flips_json, markdown_flips, print_flips
from moderation.commands.policy.logged import logged_flips, reconsidered_log
from moderation.policy import find_policy
from moderation.policy.revision import load_policy_or_revision
from moderation.settings import load_settings

if TYPE_CHECKING:
    from audit.flips.flips import Flips

EPILOG = examples(
    "moderation policy diff old.yaml new.yaml",
    "moderation policy diff HEAD:policies/weapons.yaml policies/weapons.yaml",
    "moderation policy diff HEAD: my.yaml --format markdown",
    "moderation policy diff HEAD: my.yaml --log --since 2026-11-01",
)

DiffFormat = Literal["table", "json", "markdown"]
FailOn = Literal["difference", "flip", "stricter", "milder"]
_OF_FLIPS = ("flip", "stricter", "milder")


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
    log: Annotated[
        bool,
        typer.Option("--log", help="Decide again on the images of the decision log."),
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(formats=TIMES, help="With --log: only then or later; UTC.")
    ] = None,
    format: Annotated[DiffFormat, typer.Option(help="How to print.")] = "table",
    model: ModelOption = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 where anything differs in words, or an image gets another action, a "
            "stricter one, or a milder one."
        ),
    ] = None,
) -> None:
    """Say what an edit of a policy changes: in words, and with --log on what was decided.

    Exits with 1 by --fail-on.
    """
    if fail_on in _OF_FLIPS and not log:
        raise typer.BadParameter(f"{fail_on} needs --log", param_hint="--fail-on")
    if since and not log:
        raise typer.BadParameter("it is for --log", param_hint="--since")
    settings = load_settings()
    compared = _compared(old, new, model or settings.model)
    flips = None
    if log:
        found = reconsidered_log(
            compared.old,
            compared.new,
            settings,
            model=model,
            store=store,
            no_store=no_store,
            since=utc_time(since),
        )
        flips = logged_flips(found, compared.old, compared.former_ids)
    _print_difference(compared, flips, format)
    if fail_on and _fails(compared, flips, fail_on):
        raise typer.Exit(1)


def _compared(old: str, new: str, model: str) -> ComparedPolicies:
    """Returns both policies with what differs; `model` as in `parse_policy`."""
    before = load_policy_or_revision(old, find_policy(new), model=model)
    after = load_policy_or_revision(new, find_policy(old), model=model)
    return ComparedPolicies.of(before, after, old, new)


def _print_difference(compared: ComparedPolicies, flips: Flips | None, form: DiffFormat) -> None:
    if form == "json":
        print_json({**compared.to_json(), "flips": flips and flips_json(flips)})
    elif form == "markdown":
        for line in (*markdown_words(compared), *(markdown_flips(flips) if flips else ())):
            say(line)
    else:
        say(compared.title)
        for sentence in compared.sentences:
            say(sentence)
        if flips:
            print_flips(flips)


def _fails(compared: ComparedPolicies, flips: Flips | None, on: FailOn) -> bool:
    flipped = flips.flips if flips else ()
    return {
        "difference": bool(compared.changes),
        "flip": bool(flipped),
        "stricter": any(flip.is_stricter for flip in flipped),
        "milder": any(not flip.is_stricter for flip in flipped),
    }[on]
