"""`moderation policy diff`: what an edit of a policy changes, in words and on pictures."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from audit.commands.flips import FlipOptions, OpenPictures
from moderation.commands.command_line import examples
from moderation.commands.options import TIMES, NoStoreOption, takes_options, utc_time
from moderation.commands.output import note, print_json, say
from moderation.commands.policy.diff_output import ComparedPolicies, markdown_words
from moderation.commands.policy.flips_output import (
    flips_json,
    flips_sentence,
    markdown_flips,
    print_flips,
)
from moderation.commands.policy.logged import logged_flips, reconsidered_log
from moderation.commands.policy.saved_file import each_save
from moderation.errors import PolicyError, RequestError
from moderation.policy import find_policy
from moderation.policy.revision import load_policy_or_revision
from moderation.settings import load_settings
from moderation.visible_text import shown_name

if TYPE_CHECKING:
    from audit.flips.flips import Flips

EPILOG = examples(
    "moderation policy diff old.yaml new.yaml",
    "moderation policy diff HEAD:policies/weapons.yaml policies/weapons.yaml",
    "moderation policy diff HEAD: my.yaml --format markdown",
    "moderation policy diff HEAD: my.yaml --on pictures/ --model starter",
    "moderation policy diff HEAD: my.yaml --on pictures/ --watch",
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
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --on or --log: a page that needs no other file."),
    ] = None,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Show the flipped pictures on the page, small.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="With --on: again each time that NEW is saved.")
    ] = False,
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
    if html is not None and not log and options.dataset is None:
        raise typer.BadParameter("it needs --on or --log", param_hint="--html")
    if thumbnails and (html is None or log):
        raise typer.BadParameter("it needs --html and --on", param_hint="--thumbnails")
    if watch and (options.dataset is None or format != "table" or not find_policy(new).is_file()):
        told = "it needs --on, a file as NEW, and prints a table"
        raise typer.BadParameter(told, param_hint="--watch")
    settings = load_settings()
    compared = _compared(old, new, options.model or settings.model)
    flips, small = None, dict[str, str]()
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
        with (
            _store_of(options, no_store=no_store) as kept,
            OpenPictures(kept, settings.model) as pictures,
        ):
            if watch:
                _watch(old, new, pictures, options.model or settings.model)
            flips = pictures.flips(compared.old, compared.new, compared.former_ids)
            if thumbnails:
                from audit.report.flips_page import shown_flips

                small = pictures.thumbnails(shown_flips(flips))
    if html is not None and flips is not None:
        _write_page(html, compared, flips, small)
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


def _write_page(
    file: Path, compared: ComparedPolicies, flips: Flips, thumbnails: Mapping[str, str]
) -> None:
    from audit.report.flips_page import FlipsPage, write_flips_page

    finding = flips_sentence(flips)
    page = FlipsPage(compared.title, finding, compared.sentences, flips, thumbnails)
    try:
        write_flips_page(page, file)
    except OSError as error:
        what = f"the page cannot be written: {error.strerror}"
        raise RequestError(what, str(file), "Name a file in a folder that is there") from error
    note(f"Open {shown_name(str(file))}")


def _watch(old: str, new: str, pictures: OpenPictures, model: str) -> None:
    """Prints what differs each time that the new policy is saved, until Ctrl-C."""
    for _ in each_save(find_policy(new)):
        start = time.perf_counter()
        if sys.stdout.isatty():
            Console().clear()
        try:
            compared = _compared(old, new, model)
            flips = pictures.flips(compared.old, compared.new, compared.former_ids)
        except PolicyError as error:
            say(error)
        else:
            _print_difference(compared, flips, "table")
        seconds = time.perf_counter() - start
        pictures.load_models()
        note(f"{seconds:.2f} s. Waiting until {shown_name(new)} is saved again; Ctrl-C ends")


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
