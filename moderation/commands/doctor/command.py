"""`moderation doctor`: what in this machine's set-up stops or loses work; what a load needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from moderation.commands.command_line import examples
from moderation.commands.doctor.decision_log import check_decision_log, check_log_rights
from moderation.commands.doctor.diagnosis import Diagnosis, named, print_diagnoses
from moderation.commands.doctor.plan import (
    MEASURED_WORKERS,
    SIMULATED_WORKERS,
    Load,
    Plan,
    WorkerKind,
    parse_rate,
    plan,
    print_plan,
    read_measured,
)
from moderation.commands.doctor.setup import Setup, check_setup_variables, read_setup
from moderation.commands.doctor.worker import (
    check_callbacks,
    check_doors,
    check_image_access,
    check_models,
    check_policies,
    check_renditions,
    check_timeouts,
)
from moderation.commands.options import TableOrJsonOption, takes_options
from moderation.errors import RequestError
from moderation.settings import Settings, load_settings

EPILOG = examples(
    "moderation doctor",
    "MODERATION_BROKER_URL=redis://queue:6379/0 moderation doctor --format json",
    "moderation doctor --plan 10e6/day",
    "moderation doctor --plan 250/s --peak 1 --images-per-second 90",
)


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

    def plan_for(self, rate: str, settings: Settings) -> Plan:
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
        return plan(load, self._worker_kinds())

    def _worker_kinds(self) -> tuple[WorkerKind, ...]:
        """Returns the workers to plan with: the caller's own, or those that we know of."""
        if self.images_per_second and self.measured:
            remedy = "Give --images-per-second or --measured"
            raise RequestError("there are two figures for one worker", "--plan", remedy)
        if self.measured:
            return (read_measured(self.measured),)
        if self.images_per_second:
            [*_, last] = MEASURED_WORKERS
            setup = "speed as given; memory as measured: " + last.setup
            return (WorkerKind("your own", setup, self.images_per_second, last.memory_mb),)
        return MEASURED_WORKERS + SIMULATED_WORKERS


@takes_options
def doctor(
    ctx: typer.Context, format: TableOrJsonOption = "table", *, options: PlanOptions
) -> None:
    """Check settings, policies, model, Redis and workers; with --plan, what a load needs.

    Exits with 1 where a check fails; warnings do not.
    """
    if options.plan:
        print_plan(options.plan_for(options.plan, load_settings()), format)
        return
    _refuse_options_without_plan(ctx)
    setup = read_setup(ctx)
    diagnoses = [found for name, check in CHECKS.items() for found in named(name, check(setup))]
    print_diagnoses(diagnoses, format)


def _refuse_options_without_plan(ctx: typer.Context) -> None:
    """Raises RequestError where an option was typed that means nothing without --plan."""
    for name in ("peak", "utilisation", "images_per_second", "measured"):
        source = ctx.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise RequestError(f"{option} needs --plan", "moderation doctor", "Add --plan 10e6/day")


def _check_redis(setup: Setup) -> Iterator[Diagnosis]:
    from moderation.commands.doctor.redis import check_redis  # it loads Celery

    return check_redis(setup.settings)


CHECKS: dict[str, Callable[[Setup], Iterator[Diagnosis]]] = {
    "environment": check_setup_variables,
    "image access": lambda setup: check_image_access(setup.settings),
    "renditions": lambda setup: check_renditions(setup.settings),
    "policies": check_policies,
    "model": check_models,
    "redis": _check_redis,
    "timeouts": lambda setup: check_timeouts(setup.settings),
    "decision log": lambda setup: check_decision_log(setup.settings),
    "decision log rights": lambda setup: check_log_rights(setup.settings),
    "callbacks": lambda setup: check_callbacks(setup.settings),
    "doors": lambda setup: check_doors(setup.settings),
}
