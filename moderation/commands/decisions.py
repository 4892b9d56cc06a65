"""`moderation decisions list|show|export|replay|ledger`: what the decision log holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moderation.commands.inputs import FormatOption, ModelOption, read_image
from moderation.commands.output import Format, note, print_table, say, track, working
from moderation.commands.policy import TextOrJson
from moderation.errors import RequestError
from moderation.settings import Settings, load_settings
from moderation.visible_text import json_text

if TYPE_CHECKING:
    from sqlalchemy import Row

    from moderation.decision_log.database import Database
    from moderation.decision_log.listing import Wanted
    from moderation.decision_log.replay import LoggedDecision, Replay

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Look back at decisions: list, show, export, and decide again.",
)


class ExportFormat(StrEnum):
    """How decisions are exported."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class ActionName(StrEnum):
    """What was decided."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
PolicyOption = Annotated[str | None, typer.Option(metavar="ID", help="Only of this policy.")]
ActionOption = Annotated[ActionName | None, typer.Option(help="Only with this action.")]
SinceOption = Annotated[
    datetime | None, typer.Option(formats=_TIMES, help="Only then or later; UTC.")
]
UntilOption = Annotated[datetime | None, typer.Option(formats=_TIMES, help="Only before; UTC.")]
ImageOption = Annotated[
    str | None, typer.Option(metavar="SHA256", help="Only on this image, by its file's hash.")
]
RequestOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Only those that answered this request.")
]


@app.command(
    "list",
    epilog="Examples:\n\n    moderation decisions list\n\n"
    "    moderation decisions list --policy weapons --action block --since 2026-11-01\n\n"
    "    moderation decisions list --image 9f86d081... --format json",
)
def list_(
    policy: PolicyOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    image: ImageOption = None,
    request: RequestOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    format: FormatOption = Format.TABLE,
) -> None:
    """List decisions, the newest first."""
    from moderation.decision_log.export import write_csv, write_jsonl
    from moderation.decision_log.listing import find_decisions, plain

    wanted = _wanted(policy, action, since, until, image, request)
    with _database(load_settings()) as database:
        rows = list(find_decisions(database, wanted, limit=limit))
    if format is Format.JSONL:
        write_jsonl(rows, sys.stdout)
    elif format is Format.CSV:
        write_csv(rows, sys.stdout)
    elif format is Format.JSON:
        print(json_text([plain(row) for row in rows], indent=2))
    else:
        _print_table(rows)


@app.command(epilog="Example:\n\n    moderation decisions show 0b9c6a1e-...")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a decision or of a request.")],
) -> None:
    """Show all that is known of a decision or a request, as JSON."""
    from moderation.decision_log.listing import find_decision, find_request, plain, unknown

    with _database(load_settings()) as database:
        row = find_decision(database, name)
        found = plain(row) if row is not None else find_request(database, name)
    if found is None:
        raise unknown(name)
    print(json_text(found, indent=2))


@app.command(
    epilog="Examples:\n\n    moderation decisions export --since 2026-11-01 > november.jsonl\n\n"
    "    moderation decisions export --as parquet --output decisions.parquet"
)
def export(
    policy: PolicyOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    image: ImageOption = None,
    request: RequestOption = None,
    form: Annotated[
        ExportFormat,
        typer.Option("--as", envvar="MODERATION_DECISIONS_EXPORT_AS", help="How to write."),
    ] = ExportFormat.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; else standard output.")
    ] = None,
) -> None:
    """Write decisions, the newest first, one after another, however many there are."""
    from moderation.decision_log.export import (
        replacing,
        text_file,
        write_csv,
        write_jsonl,
        write_parquet,
    )
    from moderation.decision_log.listing import count_decisions, find_decisions

    if form is ExportFormat.PARQUET and output is None:
        raise RequestError("Parquet needs a file", "--as", "Name one with --output")
    wanted = _wanted(policy, action, since, until, image, request)
    with _database(load_settings()) as database:
        total = count_decisions(database, wanted)
        rows = track(find_decisions(database, wanted), total, "Exporting")
        if form is ExportFormat.PARQUET and output is not None:
            with replacing(output) as file:
                write_parquet(rows, file)
        else:
            with text_file(output) as text:
                (write_csv if form is ExportFormat.CSV else write_jsonl)(rows, text)
    note(f"{total} exported")


@app.command(
    epilog="Examples:\n\n    moderation decisions replay 0b9c6a1e-...\n\n"
    "    moderation decisions replay --all --policy weapons\n\n"
    "    moderation decisions replay 0b9c6a1e-... --image photo.jpg"
)
def replay(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of decisions, or of requests.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All, by the filters.")] = False,
    policy: PolicyOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The image: the model looks at it again.")
    ] = None,
    model: ModelOption = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="How far a score or similarity may be off.")
    ] = 1e-6,
) -> None:
    """Decide again and tell what differs; from what the log holds, without the image, by default.

    Exits with 1 where something differs.
    """
    from moderation.decision_log.listing import count_decisions, find_decisions, find_named
    from moderation.decision_log.replay import read_decided
    from moderation.decision_log.replay import replay as decide_again

    wanted = _wanted(policy, action, since, until, None, None)
    filtered = any((policy, action, since, until))
    if bool(names) == all or (filtered and not all) or (image and len(names or ()) != 1):
        remedy = "Name decisions, or give --all with filters; with --image name one decision"
        raise RequestError("it is not clear which decisions are meant", "replay", remedy)
    settings = load_settings()
    with _database(settings) as database:
        total = count_decisions(database, wanted) if all else len(names or ())
        rows = find_decisions(database, wanted) if all else find_named(database, names or [])
        known = read_decided(database, track(rows, total, "Replaying"))
        if image is None:
            results = (decide_again(decided, tolerance=tolerance) for decided in known)
        else:
            results = (_with_image(decided, image, settings, model, tolerance) for decided in known)
        _tell(results)


@app.command(epilog="Example:\n\n    moderation decisions ledger --format json")
def ledger(
    format: Annotated[TextOrJson, typer.Option(help="How to print.")] = TextOrJson.TABLE,
) -> None:
    """Count requests by answer, decisions and webhooks."""
    from moderation.decision_log.listing import ledger as count

    with _database(load_settings()) as database:
        counts = count(database)
    if format is TextOrJson.JSON:
        print(json.dumps(counts, indent=2))
    else:
        rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items()]
        print_table(("what", "how many"), rows)


def _wanted(
    policy: str | None,
    action: ActionName | None,
    since: datetime | None,
    until: datetime | None,
    image: str | None,
    request: str | None,
) -> Wanted:
    from moderation.decision_log.listing import Wanted

    return Wanted(policy, action and action.value, _utc(since), _utc(until), image, request)


def _utc(time: datetime | None) -> datetime | None:
    """Returns a time with its zone; one that names none is in UTC."""
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    """Yields the database of the decision log; a host's commands need nothing of its imports."""
    from moderation.decision_log.opening import open_log

    with open_log(settings, make=False) as log:
        yield log.database


def _print_table(rows: list[Row[Any]]) -> None:
    shown = [
        (
            row.id,
            f"{row.decided_at:%Y-%m-%d %H:%M}",
            row.action,
            f"{row.policy_id} {row.policy_version}",
            row.model_id,
            f"{row.image_sha256[:8]}...",
        )
        for row in rows
    ]
    print_table(("id", "UTC", "action", "policy", "model", "image"), shown)
    note(f"{len(rows)} shown" if rows else "no decision is like that")


def _with_image(
    decided: LoggedDecision, image: Path, settings: Settings, model: str | None, tolerance: float
) -> Replay:
    """Decides on the image itself, with the stored policy."""
    from moderation.decision_log.replay import replay_image
    from moderation.scoring.loading import load_pipeline

    content = read_image(image, settings.max_image_bytes)
    policy = decided.policy()
    as_then = settings.model_copy(update={"frames": decided.frames})
    with working("Loading the model ..."):
        loaded = load_pipeline(as_then, {policy.id: policy}, override_model=model)
    with loaded as pipeline:
        return replay_image(decided, content, pipeline, tolerance=tolerance)


def _tell(results: Iterable[Replay]) -> None:
    """Prints what differs as it is found; exits with 1 where anything does."""
    total, differ, furthest = 0, 0, 0.0
    for result in results:
        total += 1
        furthest = max(furthest, result.furthest)
        if result.differences:
            differ += 1
            say(f"{result.id}: {'; '.join(result.differences)}")
    told = f"{differ} differ" if differ else "all as they were"
    note(f"{total} decided again: {told}; the furthest number is off by {furthest:.3g}")
    if differ:
        raise typer.Exit(1)
