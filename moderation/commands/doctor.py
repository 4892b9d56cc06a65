"""`moderation doctor`: what of this machine's set-up would stop or lose work; what a load needs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import typer
from rich.text import Text

from moderation.commands.check import Check
from moderation.commands.doctor_worker import check_callbacks, check_decision_log, check_doors
from moderation.commands.inputs import find_policies
from moderation.commands.plan import (
    MeasuredOption,
    PeakOption,
    RateOption,
    SpeedOption,
    UtilisationOption,
    make_plan,
    print_plan,
    refuse_options_without_plan,
    worker_kinds,
)
from moderation.commands.policy import FormatOption, TextOrJson
from moderation.cores import usable
from moderation.errors import ModerationError
from moderation.output import print_table
from moderation.settings import Settings, load_settings, unknown_variables

EPILOG = """Examples:

    moderation doctor

    MODERATION_BROKER_URL=redis://queue:6379/0 moderation doctor --format json

    moderation doctor --plan 10e6/day

    moderation doctor --plan 250/s --peak 1 --images-per-second 90
"""

#: How the variables of command options begin.
_COMMANDS = ("DEMO", "SCAN", "WORKER", "SUBMIT", "DOCTOR", "QUEUES", "MODEL", "POLICY")
_OPTION_VARIABLES = tuple(f"MODERATION_{name}_" for name in _COMMANDS)

#: What encoding one request may take on a slow machine, waiting included.
_COMPUTE_SECONDS = 30.0

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    ctx: typer.Context,
    format: FormatOption = TextOrJson.TABLE,
    plan: RateOption = None,
    peak: PeakOption = 3.0,
    utilisation: UtilisationOption = 0.7,
    images_per_second: SpeedOption = None,
    measured: MeasuredOption = None,
) -> None:
    """Check settings, policies, model, Redis and workers; with --plan, what a load needs.

    Exits with 1 where a check fails; warnings do not.
    """
    if plan:
        kinds = worker_kinds(images_per_second, measured)
        made = make_plan(plan, load_settings(), peak=peak, utilisation=utilisation, kinds=kinds)
        print_plan(made, format)
        return
    refuse_options_without_plan(ctx)
    _print_checks(list(run_checks(load_settings())), format)


def _print_checks(checks: list[Check], form: TextOrJson) -> None:
    """Prints what was found; exits with 1 where a check failed."""
    if form is TextOrJson.JSON:
        print(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        rows = [
            (check.name, Text(check.state, _COLOURS[check.state]), check.found, check.remedy)
            for check in checks
        ]
        print_table(("check", "", "found", "to do"), rows)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def run_checks(settings: Settings) -> Iterator[Check]:
    """Yields each check's finding; an error that a check meets is its finding."""
    for name, check in CHECKS.items():
        try:
            yield from check(name, settings)
        except ModerationError as error:
            yield Check(name, "fail", f"{error.where}: {error.what}", error.remedy)


def _environment(name: str, settings: Settings) -> Iterator[Check]:
    unknown = [
        variable
        for variable in unknown_variables(dict(os.environ))
        if not variable.startswith(_OPTION_VARIABLES)
    ]
    if unknown:
        remedy = "Correct or unset them: docs/settings.md lists every setting"
        yield Check(name, "warn", f"no settings: {', '.join(unknown)}", remedy)
    else:
        yield Check(name, "ok", "every MODERATION_* variable is known")


def _access(name: str, settings: Settings) -> Iterator[Check]:
    roots, hosts, stores = settings.allowed_roots, settings.allowed_hosts, settings.allowed_stores
    if missing := [str(root) for root in roots if not root.is_dir()]:
        yield Check(name, "fail", f"no such folder: {', '.join(missing)}", "Create or unset them")
    if not (roots or hosts or stores):
        remedy = "Set MODERATION_ALLOWED_ROOTS, _HOSTS or _STORES for paths, URLs or keys"
        yield Check(name, "warn", "a worker here takes images as bytes only", remedy)
    elif not missing:
        given = [*map(str, roots), *hosts, *stores]
        yield Check(name, "ok", ", ".join(given))


def _policies(name: str, settings: Settings) -> Iterator[Check]:
    policies = find_policies(map(str, settings.policies), model=settings.model)
    yield Check(name, "ok", ", ".join(sorted(policies)))


def _models(name: str, settings: Settings) -> Iterator[Check]:
    """Checks the model of every policy that this worker would serve."""
    policies = find_policies(map(str, settings.policies), model=settings.model)
    for reference in sorted({policy.model or settings.model for policy in policies.values()}):
        try:
            yield _model(name, reference)
        except ModerationError as error:
            yield Check(name, "fail", f"{error.where}: {error.what}", error.remedy)


def _model(name: str, reference: str) -> Check:
    if reference == "starter":
        remedy = "For real use name a CLIP or SigLIP model"
        return Check(name, "warn", "starter, which is for trying out", remedy)
    if find_spec("transformers") is None:
        remedy = "On a worker: pip install 'evenhand[clip]'; a web app needs no model"
        return Check(name, "warn", "transformers is not installed", remedy)
    from moderation.encoders.hub import locate_model

    local = locate_model(reference, offline=True)
    return Check(name, "ok", f"{local.name} in {local.folder}")


def _redis(name: str, settings: Settings) -> Iterator[Check]:
    """Checks the server, and what hangs on it only if it answers."""
    from moderation.commands.doctor_redis import check_redis

    yield from check_redis(name, settings)


def _timeouts(name: str, settings: Settings) -> Iterator[Check]:
    # All that is in hand may decode slowly.
    rounds = math.ceil(settings.concurrency / (settings.decoders or usable()))
    decoding = rounds * settings.decode_timeout_seconds
    needed = settings.fetch_timeout_seconds + decoding + _COMPUTE_SECONDS
    if settings.visibility_timeout_seconds <= needed:
        yield Check(
            name,
            "fail",
            f"visibility timeout {settings.visibility_timeout_seconds} s is not above the "
            f"{needed:g} s that a request may take",
            "Raise MODERATION_VISIBILITY_TIMEOUT_SECONDS, or lower MODERATION_CONCURRENCY, else "
            "requests are done twice",
        )
    else:
        yield Check(name, "ok", f"visibility timeout {settings.visibility_timeout_seconds} s")


CHECKS: dict[str, Callable[[str, Settings], Iterator[Check]]] = {
    "environment": _environment,
    "image access": _access,
    "policies": _policies,
    "model": _models,
    "redis": _redis,
    "timeouts": _timeouts,
    "decision log": check_decision_log,
    "callbacks": check_callbacks,
    "doors": check_doors,
}
