"""`moderation policy diff`: what an edit of a policy changes, in words and on pictures."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.commands.flips import FlipOptions, FlipPictures
from moderation.commands.command_line import examples
from moderation.commands.options import TIMES, takes_options, utc_time
from moderation.commands.policy.diff_output import ComparedPolicies
from moderation.commands.policy.drawing import DiffFormat, Drawing
from moderation.commands.policy.logged import logged_flips, reconsidered_log
from moderation.commands.policy.watching import saves, watch_edits
from moderation.policy import find_policy
from moderation.policy.revision import load_policy_or_revision, named_revision
from moderation.settings import Settings, load_settings

if TYPE_CHECKING:
    from audit.flips.flips import Flips

EPILOG = examples(
    "moderation policy diff old.yaml new.yaml",
    "moderation policy diff HEAD:policies/weapons.yaml policies/weapons.yaml",
    "moderation policy diff HEAD: my.yaml --format markdown",
    "moderation policy diff HEAD: my.yaml --on pictures/ --model starter",
    "moderation policy diff HEAD: my.yaml --on pictures/ --html flips.html --thumbnails",
    "moderation policy diff HEAD: my.yaml --on pictures/ --watch",
    "moderation policy diff HEAD: my.yaml --log --since 2026-11-01",
)

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
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --on or --log: write a page of flips that stands alone."
        ),
    ] = None,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Show the flipped pictures on the page, small.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="With --on: draw again when NEW is saved, until Ctrl-C."),
    ] = False,
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
    _refuse_idle_options(options, log=log, html=html, thumbnails=thumbnails, watch=watch)
    settings = load_settings()
    model = options.model or settings.model
    if watch and named_revision(new):
        raise typer.BadParameter("NEW is a git revision, which nobody saves", param_hint="--watch")
    edited = find_policy(new)
    saved = saves(edited)  # what is saved while pictures are embedded is drawn as well
    compared = _compared(old, new, model)
    drawing = Drawing(format, html)
    if log:
        flips = _flips_of_log(compared, settings, options, since)
        drawing.draw(compared, flips)
    elif options.dataset is None:
        flips = None
        drawing.draw(compared, None)
    else:
        with FlipPictures(options, settings.model) as pictures:
            drawing = Drawing(format, html, pictures.thumbnails if thumbnails else None)
            flips = _draw_on(pictures, compared, drawing)
            if watch:
                pictures.load_models()
                watch_edits(
                    edited, saved, lambda: _draw_on(pictures, _compared(old, new, model), drawing)
                )
    if fail_on and _fails(compared, flips, fail_on):
        raise typer.Exit(1)


def _draw_on(pictures: FlipPictures, compared: ComparedPolicies, drawing: Drawing) -> Flips:
    """Draws what an edit changes on pictures, and returns it."""
    flips = pictures.flips(compared.old, compared.new, compared.former_ids)
    drawing.draw(compared, flips)
    return flips


def _flips_of_log(
    compared: ComparedPolicies,
    settings: Settings,
    options: FlipOptions,
    since: datetime | None,
) -> Flips:
    found = reconsidered_log(
        compared.old,
        compared.new,
        settings,
        model=options.model,
        store=options.store,
        no_store=options.no_store,
        since=utc_time(since),
    )
    return logged_flips(found, compared.old, compared.former_ids)


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


def _refuse_idle_options(
    options: FlipOptions, *, log: bool, html: Path | None, thumbnails: bool, watch: bool
) -> None:
    """Refuses options that would do nothing."""
    on = options.dataset is not None
    if html is not None and not (log or on):
        raise typer.BadParameter("the page is of pictures: name --on or --log", param_hint="--html")
    if thumbnails and (html is None or not on):
        raise typer.BadParameter("they are for --on and --html", param_hint="--thumbnails")
    if watch and not on:
        raise typer.BadParameter("it is for --on", param_hint="--watch")


def _compared(old: str, new: str, model: str) -> ComparedPolicies:
    """Returns both policies with what differs; `model` as in `parse_policy`."""
    before = load_policy_or_revision(old, find_policy(new), model=model)
    after = load_policy_or_revision(new, find_policy(old), model=model)
    return ComparedPolicies.of(before, after, old, new)


def _fails(compared: ComparedPolicies, flips: Flips | None, on: FailOn) -> bool:
    flipped = flips.flips if flips else ()
    return {
        "difference": bool(compared.changes),
        "flip": bool(flipped),
        "stricter": any(flip.is_stricter for flip in flipped),
        "milder": any(not flip.is_stricter for flip in flipped),
    }[on]
