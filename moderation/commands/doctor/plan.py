"""`moderation doctor --plan`: how many workers a load needs, printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.doctor.capacity import (
    MEASURED_WORKERS,
    Load,
    Plan,
    WorkerKind,
    WorkerPlan,
    parse_rate,
    plan,
    read_measured,
)
from moderation.commands.options import TableOrJson
from moderation.commands.output import note, print_json, print_table
from moderation.errors import RequestError
from moderation.settings import Settings


@dataclass(frozen=True)
class PlanOptions:
    """The options of `moderation doctor` for a plan, `--plan` itself among them."""

    plan: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Say what 10e6/day, 3000/min or 250/s need instead."),
    ] = None
    peak: Annotated[
        float, typer.Option(min=1, help="With --plan: the peak as a multiple of the average.")
    ] = 3.0
    utilisation: Annotated[
        float, typer.Option(min=0.01, max=1, help="With --plan: share of a worker's speed to use.")
    ] = 0.7
    images_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="With --plan: what one worker of yours does.")
    ] = None
    measured: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --plan: JSON of benchmarks/throughput.py."),
    ] = None

    def made(self, rate: str, settings: Settings) -> Plan:
        """Returns the plan for a rate such as 10e6/day, with the settings that bear on it.

        Raises:
            RequestError: it is not a rate, or the options do not fit together.
        """
        load = Load(
            images_per_second=parse_rate(rate),
            peak_factor=self.peak,
            utilisation=self.utilisation,
            concurrency=settings.concurrency,
            result_seconds=settings.result_expires_seconds,
        )
        return plan(load, self._kinds())

    def _kinds(self) -> tuple[WorkerKind, ...]:
        """Returns the workers to plan with: the caller's own, or those that we measured."""
        if self.images_per_second and self.measured:
            remedy = "Give --images-per-second or --measured"
            raise RequestError("there are two figures for one worker", "--plan", remedy)
        if self.measured:
            return (read_measured(self.measured),)
        if self.images_per_second:
            [*_, last] = MEASURED_WORKERS
            setup = "speed as given; memory as measured: " + last.setup
            return (WorkerKind("your own", setup, self.images_per_second, last.memory_mb),)
        return MEASURED_WORKERS


def refuse_options_without_plan(ctx: typer.Context) -> None:
    """Raises RequestError where an option was typed that means nothing without --plan."""
    for name in ("peak", "utilisation", "images_per_second", "measured"):
        source = ctx.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise RequestError(f"{option} needs --plan", "moderation doctor", "Add --plan 10e6/day")


def print_plan(made: Plan, form: TableOrJson) -> None:
    """Prints a plan with all that it assumes."""
    if form == "json":
        print_json(_document(made))
        return
    print_table(("load", "", "assumed"), _load_rows(made.load))
    print()
    columns = ("worker", "images/s", "workers", "memory", "in hand", "an hour's peak drains in")
    print_table(columns, map(_worker_row, made.workers))
    print()
    print_table(("Redis at the peak", "", "measured"), _redis_rows(made))
    for row in made.workers:
        note(f"{row.kind.name}: {row.kind.setup}")
    note(f"Redis: {made.redis.cost.setup}")


def _load_rows(load: Load) -> list[tuple[str, str, str]]:
    return [
        ("average", f"{load.images_per_second:,.1f} images/s", ""),
        ("peak", f"{load.peak:,.1f} images/s", f"{load.peak_factor:g} times the average: --peak"),
        ("utilisation", f"{load.utilisation:.0%}", "waiting grows near 100%: --utilisation"),
    ]


def _worker_row(row: WorkerPlan) -> tuple[str, ...]:
    return (
        row.kind.name,
        f"{row.kind.images_per_second:g}",
        f"{row.workers:,}",
        f"{row.memory_mb / 1000:,.1f} GB",
        f"{row.requests_in_hand:,}",
        _duration(row.drain_seconds),
    )


def _redis_rows(made: Plan) -> list[tuple[str, str, str]]:
    redis, cost = made.redis, made.redis.cost
    return [
        ("commands", f"{redis.commands_per_second:,.0f}/s", f"{cost.commands:.1f} a request"),
        (
            "busy",
            f"{redis.busy_cores:.2f} cores",
            f"{cost.core_seconds * 1e6:.0f} µs a request; one Redis has one core",
        ),
        (
            "results",
            f"{redis.result_mb / 1000:,.2f} GB",
            f"{cost.result_bytes:,.0f} bytes a request, kept for {made.load.result_seconds:,} s",
        ),
        (
            "an hour's backlog",
            f"{redis.backlog_mb / 1000:,.2f} GB",
            f"{cost.waiting_bytes:,.0f} bytes a request that names a path or URL",
        ),
    ]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds / 60:,.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:,.1f} h"


def _document(made: Plan) -> dict[str, object]:
    """Returns a plan for JSON, records within records."""
    return {
        "load": {**made.load._asdict(), "peak_images_per_second": made.load.peak},
        "workers": [{**row._asdict(), "kind": row.kind._asdict()} for row in made.workers],
        "redis": {**made.redis._asdict(), "cost": made.redis.cost._asdict()},
    }
