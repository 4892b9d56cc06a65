"""`moderation doctor`: what in this machine's set-up stops or loses work; what a load needs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import typer
from rich.text import Text

from moderation.commands.command_line import examples
from moderation.commands.doctor.diagnosis import Diagnosis, failure, named
from moderation.commands.doctor.plan import PlanOptions, print_plan, refuse_options_without_plan
from moderation.commands.doctor.setup import Setup, read_setup
from moderation.commands.doctor.worker import (
    check_callbacks,
    check_decision_log,
    check_doors,
    check_log_rights,
)
from moderation.commands.inputs import find_policies
from moderation.commands.options import TableOrJson, TableOrJsonOption, takes_options
from moderation.commands.output import print_json, print_table
from moderation.encoders.cores import usable
from moderation.errors import ModerationError, PolicyError
from moderation.policy import Policy
from moderation.settings import Settings, load_settings, unknown_variables

EPILOG = examples(
    "moderation doctor",
    "MODERATION_BROKER_URL=redis://queue:6379/0 moderation doctor --format json",
    "moderation doctor --plan 10e6/day",
    "moderation doctor --plan 250/s --peak 1 --images-per-second 90",
)

#: Seconds that encoding one request may take on a slow machine, waiting included.
_COMPUTE_SECONDS = 30.0

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@takes_options
def doctor(
    ctx: typer.Context, format: TableOrJsonOption = "table", *, options: PlanOptions
) -> None:
    """Check settings, policies, model, Redis and workers; with --plan, what a load needs.

    Exits with 1 where a check fails; warnings do not.
    """
    if options.plan:
        print_plan(options.made(options.plan, load_settings()), format)
        return
    refuse_options_without_plan(ctx)
    _print_diagnoses(list(_diagnoses(read_setup(ctx))), format)


def _print_diagnoses(diagnoses: list[Diagnosis], form: TableOrJson) -> None:
    """Prints what was found; exits with 1 where a check failed."""
    if form == "json":
        print_json([{"name": found.name, **found._asdict()} for found in diagnoses])
    else:
        rows = [
            (name, Text(state, _COLOURS[state]), found, remedy)
            for state, found, remedy, name in diagnoses
        ]
        print_table(("check", "", "found", "to do"), rows)
    if any(diagnosis.state == "fail" for diagnosis in diagnoses):
        raise typer.Exit(1)


def _diagnoses(setup: Setup) -> Iterator[Diagnosis]:
    """Yields what each check finds."""
    for name, check in CHECKS.items():
        yield from named(name, check(setup))


def _environment(setup: Setup) -> Iterator[Diagnosis]:
    if unknown := unknown_variables(os.environ, setup.option_variables):
        remedy = "Correct or unset them: docs/settings.md lists every setting"
        yield Diagnosis("warn", f"not settings: {', '.join(unknown)}", remedy)
    else:
        yield Diagnosis("ok", "every MODERATION_* variable is known")


def _access(settings: Settings) -> Iterator[Diagnosis]:
    roots, hosts, stores = settings.allowed_roots, settings.allowed_hosts, settings.allowed_stores
    if missing := [str(root) for root in roots if not root.is_dir()]:
        yield Diagnosis("fail", f"no such folder: {', '.join(missing)}", "Create or unset them")
    if not (roots or hosts or stores):
        remedy = "Set MODERATION_ALLOWED_ROOTS, _HOSTS or _STORES for paths, URLs or keys"
        yield Diagnosis("warn", "a worker here takes images as bytes only", remedy)
    elif not missing:
        given = [*map(str, roots), *hosts, *stores]
        yield Diagnosis("ok", ", ".join(given))


def _policies(setup: Setup) -> Iterator[Diagnosis]:
    try:
        policies, sources = _served(setup), ", ".join(map(str, setup.settings.policies))
    except PolicyError:
        if find_spec("sqlalchemy"):  # a worker would not start
            raise
        remedy = "On a worker: set MODERATION_POLICIES; a web app needs none"
        yield Diagnosis("warn", "there are none for a worker to serve", remedy)
        return
    yield Diagnosis("ok", f"a worker without --policy serves {', '.join(policies)} ({sources})")


def _served(setup: Setup) -> dict[str, Policy]:
    """Returns the policies that a worker would serve, by id, sorted."""
    model = setup.model or setup.settings.model
    return dict(sorted(find_policies(map(str, setup.settings.policies), model=model).items()))


def _models(setup: Setup) -> Iterator[Diagnosis]:
    """Checks the model of every policy that a worker would serve."""
    try:
        policies = _served(setup).values()
    except PolicyError:
        yield Diagnosis("warn", "unknown, since the policies that name it are refused")
        return
    models = {setup.model or policy.model or setup.settings.model for policy in policies}
    for reference in sorted(models):
        try:
            yield _model(reference)
        except ModerationError as error:
            yield failure(error)


def _model(reference: str) -> Diagnosis:
    if reference == "starter":
        remedy = "For real use name a CLIP or SigLIP model"
        return Diagnosis("warn", "starter, which is for trying out", remedy)
    if find_spec("transformers") is None:
        remedy = "On a worker: pip install 'evenhand[clip]'; a web app needs no model"
        return Diagnosis("warn", "transformers is not installed", remedy)
    from moderation.encoders.hub import locate_model

    local = locate_model(reference, offline=True)
    return Diagnosis("ok", f"{local.name} in {local.folder}")


def _timeouts(settings: Settings) -> Iterator[Diagnosis]:
    # All requests in hand may decode slowly.
    rounds = math.ceil(settings.concurrency / (settings.decoders or usable()))
    decoding = rounds * settings.decode_timeout_seconds
    needed = settings.fetch_timeout_seconds + decoding + _COMPUTE_SECONDS
    if settings.visibility_timeout_seconds <= needed:
        yield Diagnosis(
            "fail",
            f"visibility timeout {settings.visibility_timeout_seconds} s is not above the "
            f"{needed:g} s that a request may take",
            "Raise MODERATION_VISIBILITY_TIMEOUT_SECONDS, or lower MODERATION_CONCURRENCY: "
            "otherwise requests are done twice",
        )
    else:
        yield Diagnosis("ok", f"visibility timeout {settings.visibility_timeout_seconds} s")


def _redis(settings: Settings) -> Iterator[Diagnosis]:
    """Checks the server, and what depends on it only if it answers."""
    from moderation.commands.doctor.redis import check_redis  # it loads Celery

    yield from check_redis(settings)


def _of_settings(
    check: Callable[[Settings], Iterator[Diagnosis]],
) -> Callable[[Setup], Iterator[Diagnosis]]:
    return lambda setup: check(setup.settings)


CHECKS: dict[str, Callable[[Setup], Iterator[Diagnosis]]] = {
    "environment": _environment,
    "image access": _of_settings(_access),
    "policies": _policies,
    "model": _models,
    "redis": _of_settings(_redis),
    "timeouts": _of_settings(_timeouts),
    "decision log": _of_settings(check_decision_log),
    "decision log rights": _of_settings(check_log_rights),
    "callbacks": _of_settings(check_callbacks),
    "doors": _of_settings(check_doors),
}
