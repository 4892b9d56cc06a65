"""`--predictions`: an audit of what systems have said already, in place of policies and images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.options import ReadingOptions
from audit.errors import AuditError
from audit.results.formatting import images
from moderation.commands.output import note, working
from moderation.visible_text import utf8

if TYPE_CHECKING:
    from audit.audits.audited import Named
    from audit.audits.predicted_subject import PredictedSubject
    from audit.predicted.columns import PredictionOptions
    from audit.predicted.systems import System

_PANEL = "Predictions, in place of policies and images"

#: Options that say something of images, of a model, or of a policy's file.
_OF_IMAGES = (
    *("dataset", "model", "store", "adapter", "images", "repair", "device", "dtype"),
    *("runtime", "offline", "frames", "views", "near_duplicates", "prompt", "k", "desired"),
)


@dataclass(frozen=True)
class PredictedOptions:
    """What was predicted, by whom, and where that stands."""

    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[KEY=]FILE",
            help="CSV or Parquet file of what systems said. Repeatable: joined by id.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    decision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]COLUMN",
            help="Column of a system's decisions: allow, review, block, or true and false. "
            "Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    said: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]COLUMN",
            help="Column of the label that a system said. Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME[/LABEL]=]COLUMN@THRESHOLD[,REVIEW]",
            help="Column of a label's scores, and from which score on it is said. One * takes all "
            "columns that fit. Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    flag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CATEGORY/]LABEL[=review|block]",
            help="A label that flags an image, or none; by default those of --score, and none of "
            "--said. Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    implies: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=CLASS|[NAME=]@COLUMN",
            help="The class of y_true that a label implies, or the column where it stands. "
            "Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    truth_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]COLUMN",
            help="Column of y_true, for all systems or for one. Repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    count: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of how many images each row stands for; by default one.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    any_scale: Annotated[
        bool,
        typer.Option(
            "--any-scale",
            help="Take scores that are neither from 0 to 1 nor percentages, such as logits.",
            rich_help_panel=_PANEL,
        ),
    ] = False

    def asked(self, context: typer.Context) -> bool:
        """Returns whether predictions are audited.

        Raises:
            typer.BadParameter: options of both kinds of audit are given.
        """
        typed = [name for name in context.params if _is_typed(context, name)]
        own = [field.name for field in fields(self)]
        if self.predictions:
            files = [each.name for each in context.command.params if each.nargs == -1]
            if wrong := [name for name in typed if name in (*files, *_OF_IMAGES)]:
                what = "it says something of images or of a policy, and predictions have neither"
                raise typer.BadParameter(what, param_hint=_option(context, wrong[0]))
        elif wrong := [name for name in typed if name in own]:
            what = "it says something of predictions: name their file with --predictions"
            raise typer.BadParameter(what, param_hint=_option(context, wrong[0]))
        return bool(self.predictions)

    def opened(
        self, reading: ReadingOptions, by: Sequence[Sequence[str]] | None
    ) -> tuple[PredictedSubject, Named[System]]:
        """Returns the subject of an audit, and its systems by their names.

        Raises:
            AuditError: something is asked for that the files do not have.
            DatasetError: with everything that is wrong with their rows.
        """
        from audit.audits.predicted_subject import open_predictions

        files = [_named_file(text) for text in self.predictions or ()]
        command = utf8(join(["audit", *sys.argv[1:]]))
        with working("Reading the predictions ..."):
            subject, named = open_predictions(files, self._options(reading), by, command=command)
        dataset = subject.dataset
        systems = ", ".join(named.policies)
        note(f"{images(dataset.n)} in {len(dataset):,} rows that differ; systems: {systems}")
        for text in dataset.notes:
            note(text)
        return subject, named

    def _options(self, reading: ReadingOptions) -> PredictionOptions:
        from audit.predicted.columns import PredictionOptions

        given = reading.load_options()
        return PredictionOptions(
            decisions=self.decision or (),
            said=self.said or (),
            scores=self.score or (),
            flags=self.flag or (),
            implies=self.implies or (),
            truth_columns=self.truth_column or (),
            truth=given.truth,
            columns=given.columns,
            count=self.count,
            any_scale=self.any_scale,
            benign=bool(given.benign),
            skip_bad=given.skip_bad,
            as_written=given.as_written,
        )


def chosen_systems(named: Named[System], names: Sequence[str]) -> Named[System]:
    """Returns some of the systems, by what reports call them.

    Raises:
        AuditError: there is none of that name, or one is named twice.
    """
    if unknown := [name for name in names if name not in named.policies]:
        has = ", ".join(named.policies)
        raise AuditError(f"no system is called {unknown[0]}", "--policy", f"There are: {has}")
    if len(set(names)) < len(names):
        raise AuditError(f"{names[0]} is its own baseline", "--baseline", "Name another system")
    return named._replace(policies={name: named.policies[name] for name in names})


def _named_file(text: str) -> Path | tuple[str, Path]:
    """Returns the file of [KEY=]FILE, with its key where it has one."""
    key, equals, path = text.partition("=")
    if not equals or not key or Path(text).exists():
        return Path(text)
    return key.strip(), Path(path)


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _option(context: typer.Context, name: str) -> str:
    """Returns how a parameter is typed."""
    found = next(each for each in context.command.params if each.name == name)
    return found.opts[0] if found.opts and found.opts[0].startswith("-") else name.upper()
