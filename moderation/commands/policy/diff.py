"""`moderation policy diff`: what an edit of a policy changes, in words and on pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.commands.flips import FlipOptions, flips_on
from moderation.commands.command_line import examples
from moderation.commands.options import TIMES, NoStoreOption, takes_options, utc_time
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
    "moderation policy diff HEAD: my.yaml --on pictures/ --model starter",
    "moderation policy diff HEAD: my.yaml --log --since 2026-11-01",
)

DiffFormat = Literal["table", "json", "markdown"]
FailOn = Literal["difference", "flip", "stricter", "milder"]
_OF_FLIPS = ("flip", "stricter", "milder")


@takes_options
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
    no_store: NoStoreOption = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 where anything differs in words, or an image gets another action, a "
            "stricter one, or a milder one."
        ),
    ] = None,
    *,
    options: FlipOptions,
) -> None:
    """Say what an edit of a policy changes: in words, on pictures, or on what was decided.

    Exits with 1 by --fail-on.
    """
    _refuse_contradictions(options, log=log, since=since, fail_on=fail_on)
    settings = load_settings()
    compared = _compared(old, new, options.model or settings.model)
    flips = None
    if log:
        found = reconsidered_log(
            compared.old,
            compared.new,
            settings,
            model=options.model,
            store=options.store,
            no_store=no_store,
            since=utc_time(since),
        )
        flips = logged_flips(found, compared.old, compared.former_ids)
    elif options.dataset is not None:
        with _store_of(options, no_store=no_store) as kept:
            flips = flips_on(compared.old, compared.new, kept, settings.model, compared.former_ids)
    _print_difference(compared, flips, format)
    if fail_on and _fails(compared, flips, fail_on):
        raise typer.Exit(1)


def _refuse_contradictions(
    options: FlipOptions, *, log: bool, since: datetime | None, fail_on: FailOn | None
) -> None:
    on = options.dataset is not None
    if log and on:
        raise typer.BadParameter("name one of the two", param_hint="--on, --log")
    if fail_on in _OF_FLIPS and not (log or on):
        raise typer.BadParameter(f"{fail_on} needs --on or --log", param_hint="--fail-on")
    if since and not log:
        raise typer.BadParameter("it is for --log", param_hint="--since")
    if options.by and not on:
        raise typer.BadParameter("it is for --on", param_hint="--by")


@contextmanager
def _store_of(options: FlipOptions, *, no_store: bool) -> Iterator[FlipOptions]:
    """Yields the options with a store that is gone afterwards, where none is to be kept."""
    if not no_store:
        yield options
        return
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        yield replace(options, store=Path(folder))


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
