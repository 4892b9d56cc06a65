"""`moderation decisions list|show|export|replay|ledger`: what the decision log holds."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from moderation.commands.command_line import command_group, examples
from moderation.commands.image_paths import read_image
from moderation.commands.options import (
    TIMES,
    ModelOption,
    RowFormatOption,
    TableOrJsonOption,
    takes_options,
    utc_time,
)
from moderation.commands.output import note, print_json, print_table, say, track, working
from moderation.errors import RequestError
from moderation.messages import Action
from moderation.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Row

    from moderation.decision_log.decisions import WantedDecisions
    from moderation.decision_log.replay import DecisionToReplay, Replay

app = command_group("Look back at decisions: list, show, export, and decide again.")


ExportFormat = Literal["jsonl", "csv", "parquet"]


@dataclass(frozen=True)
class DecisionFilters:
    """Which decisions a command looks at."""

    policy: Annotated[str | None, typer.Option(metavar="ID", help="Only of this policy.")] = None
    action: Annotated[Action | None, typer.Option(help="Only with this action.")] = None
    since: Annotated[
        datetime | None, typer.Option(formats=TIMES, help="Only then or later; UTC.")
    ] = None
    until: Annotated[datetime | None, typer.Option(formats=TIMES, help="Only before; UTC.")] = None

    def wanted(self) -> WantedDecisions:
        """Returns what to ask the decision log for."""
        from moderation.decision_log.decisions import WantedDecisions

        return WantedDecisions(self.policy, self.action, utc_time(self.since), utc_time(self.until))


@dataclass(frozen=True)
class AllDecisionFilters(DecisionFilters):
    """The same, with the filters by image and request."""

    image: Annotated[
        str | None, typer.Option(metavar="SHA256", help="Only on this image, by its file's hash.")
    ] = None
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those that answered this request.")
    ] = None

    def wanted(self) -> WantedDecisions:
        """Returns what to ask the decision log for."""
        return replace(super().wanted(), image=self.image, request=self.request)


@app.command(
    "list",
    epilog=examples(
        "moderation decisions list",
        "moderation decisions list --policy weapons --action block --since 2026-11-01",
        "moderation decisions list --image 9f86d081... --format json",
    ),
)
@takes_options
def list_(
    filters: AllDecisionFilters,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many at most, the newest first.")
    ] = 50,
    format: RowFormatOption = "table",
) -> None:
    """List decisions, the newest first."""
    from moderation.decision_log.decisions import find_decisions
    from moderation.decision_log.export import write_csv, write_jsonl
    from moderation.decision_log.log import open_log

    wanted = filters.wanted()
    with open_log(load_settings(), make=False) as log:
        rows = list(find_decisions(log.database, wanted, limit=limit))
    if format == "jsonl":
        write_jsonl(rows, sys.stdout)
    elif format == "csv":
        write_csv(rows, sys.stdout)
    elif format == "json":
        print_json([row._asdict() for row in rows])
    else:
        _print_decision_table(rows)


@app.command(epilog=examples("moderation decisions show 0b9c6a1e-..."))
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a decision or of a request.")],
) -> None:
    """Show all that is known of a decision or a request, as JSON."""
    from moderation.decision_log.decisions import describe_decision
    from moderation.decision_log.log import open_log

    with open_log(load_settings(), make=False) as log:
        print_json(describe_decision(log.database, name))


@app.command(
    epilog=examples(
        "moderation decisions export --since 2026-11-01 > november.jsonl",
        "moderation decisions export --as parquet --output decisions.parquet",
    )
)
@takes_options
def export(
    filters: AllDecisionFilters,
    form: Annotated[
        ExportFormat,
        typer.Option("--as", envvar="MODERATION_DECISIONS_EXPORT_AS", help="How to write."),
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; otherwise standard output."),
    ] = None,
) -> None:
    """Write decisions, the newest first, however many there are."""
    from moderation.decision_log.decisions import count_decisions, find_decisions
    from moderation.decision_log.export import (
        export_file,
        export_text_file,
        write_csv,
        write_jsonl,
        write_parquet,
    )
    from moderation.decision_log.log import open_log

    if form == "parquet" and output is None:
        raise RequestError("Parquet needs a file", "--as", "Name one with --output")
    wanted = filters.wanted()
    with open_log(load_settings(), make=False) as log:
        total = count_decisions(log.database, wanted)
        rows = track(find_decisions(log.database, wanted), total, "Exporting")
        if form == "parquet" and output is not None:
            with export_file(output) as file:
                write_parquet(rows, file)
        else:
            with export_text_file(output) as text:
                (write_csv if form == "csv" else write_jsonl)(rows, text)
    note(f"{total} exported")


@app.command(
    epilog=examples(
        "moderation decisions replay 0b9c6a1e-...",
        "moderation decisions replay --all --policy weapons",
        "moderation decisions replay 0b9c6a1e-... --image photo.jpg",
    )
)
@takes_options
def replay(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of decisions, or of requests.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that pass the filters.")] = False,
    *,
    filters: DecisionFilters,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The image, for the model to look at again.")
    ] = None,
    model: ModelOption = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="How far off a score or similarity may be.")
    ] = 1e-6,
) -> None:
    """Decide again from what the log holds, and show what differs; --image looks at the image too.

    Exits with 1 where something differs.
    """
    from moderation.decision_log.decisions import (
        count_decisions,
        find_decisions,
        find_named_decisions,
    )
    from moderation.decision_log.log import open_log
    from moderation.decision_log.replay import decisions_to_replay
    from moderation.decision_log.replay import replay as decide_again

    filtered = filters != DecisionFilters()
    if bool(names) == all or (filtered and not all) or (image and len(names or ()) != 1):
        remedy = "Name decisions, or give --all with filters; with --image name one decision"
        raise RequestError("it is not clear which decisions are meant", "replay", remedy)
    settings, wanted = load_settings(), filters.wanted()
    with open_log(settings, make=False) as log:
        database = log.database
        total = count_decisions(database, wanted) if all else len(names or ())
        rows = (
            find_decisions(database, wanted) if all else find_named_decisions(database, names or [])
        )
        known = decisions_to_replay(database, track(rows, total, "Replaying"))
        if image is None:
            results = (decide_again(decided, tolerance=tolerance) for decided in known)
        else:
            results = (
                _replay_with_image(decided, image, settings, model, tolerance) for decided in known
            )
        _print_replay_differences(results)


@app.command(epilog=examples("moderation decisions ledger --format json"))
def ledger(format: TableOrJsonOption = "table") -> None:
    """Count requests by answer, decisions and webhooks."""
    from moderation.decision_log.ledger import count_ledger
    from moderation.decision_log.log import open_log

    with open_log(load_settings(), make=False) as log:
        counts = count_ledger(log.database)
    if format == "json":
        print_json(counts)
    else:
        rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items()]
        print_table(("what", "how many"), rows)


def _print_decision_table(rows: list[Row[Any]]) -> None:
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
    note(f"{len(rows)} shown" if rows else "there is no such decision")


def _replay_with_image(
    decided: DecisionToReplay, image: Path, settings: Settings, model: str | None, tolerance: float
) -> Replay:
    """Returns the replay that --image asks for: of the image, by the model and stored policy."""
    from moderation.decision_log.replay import replay_image
    from moderation.scoring.pipeline_loading import load_pipeline

    content = read_image(image, settings.max_image_bytes)
    policy = decided.policy()
    as_then = settings.model_copy(update=decided.conditions.settings)
    with working("Loading the model ..."):
        loaded = load_pipeline(
            as_then,
            {policy.id: policy},
            override_model=model,
            form=decided.conditions.rendition,  # for it a large file is decoded larger
        )
    with loaded as pipeline:
        return replay_image(decided, content, pipeline, tolerance=tolerance)


def _print_replay_differences(results: Iterable[Replay]) -> None:
    """Prints each difference as it is found; exits with 1 where there is one."""
    total, differ, furthest = 0, 0, 0.0
    for result in results:
        total += 1
        furthest = max(furthest, result.furthest)
        if result.differences:
            differ += 1
            say(f"{result.id}: {'; '.join(result.differences)}")
    shown = f"{differ} differ" if differ else "all as they were"
    note(f"{total} decided again: {shown}; the furthest number is off by {furthest:.3g}")
    if differ:
        raise typer.Exit(1)
