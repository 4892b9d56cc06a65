"""`moderation doctor`: what of this machine's set-up would stop or lose work; what a load needs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

import typer
from rich.text import Text

from moderation.commands.doctor.check import Check, failure
from moderation.commands.doctor.option_variables import option_variables, worker_options
from moderation.commands.doctor.worker import (
    check_callbacks,
    check_decision_log,
    check_doors,
    check_log_rights,
)
from moderation.commands.inputs import find_policies
from moderation.commands.output import print_table
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
from moderation.encoders.cores import usable
from moderation.errors import ModerationError, PolicyError
from moderation.policy import Policy
from moderation.settings import Settings, load_settings, unknown_variables

EPILOG = """Examples:

    moderation doctor

    MODERATION_BROKER_URL=redis://queue:6379/0 moderation doctor --format json

    moderation doctor --plan 10e6/day

    moderation doctor --plan 250/s --peak 1 --images-per-second 90
"""

#: What encoding one request may take on a slow machine, waiting included.
_COMPUTE_SECONDS = 30.0

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Setup(NamedTuple):
    """What a `moderation worker` that is started here without options would run with.

    Attributes:
        settings: with what variables of its options say.
        model: that wins over what policies name.
        option_variables: of all commands.
    """

    settings: Settings
    model: str | None
    option_variables: frozenset[str]


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
    _print_checks(list(run_checks(_read_setup(ctx))), format)


def _read_setup(ctx: typer.Context) -> Setup:
    root = ctx.find_root()
    given = worker_options(root)
    settings = load_settings(policies=given.policy or None, concurrency=given.concurrency)
    return Setup(settings, given.model, frozenset(option_variables(root.command)))


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


def run_checks(setup: Setup) -> Iterator[Check]:
    """Yields each check's finding; an error that a check meets is its finding."""
    for name, check in CHECKS.items():
        try:
            yield from check(name, setup)
        except ModerationError as error:
            yield failure(name, error)


def _environment(name: str, setup: Setup) -> Iterator[Check]:
    if unknown := unknown_variables(os.environ, setup.option_variables):
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


def _policies(name: str, setup: Setup) -> Iterator[Check]:
    try:
        policies, sources = _served(setup), ", ".join(map(str, setup.settings.policies))
    except PolicyError:
        if find_spec("sqlalchemy"):  # a worker would not start
            raise
        remedy = "On a worker: set MODERATION_POLICIES; a web app needs none"
        yield Check(name, "warn", "there are none that a worker could serve", remedy)
        return
    yield Check(name, "ok", f"a worker without --policy serves {', '.join(policies)} ({sources})")


def _served(setup: Setup) -> dict[str, Policy]:
    """Returns the policies that a worker would serve, by id, sorted."""
    model = setup.model or setup.settings.model
    return dict(sorted(find_policies(map(str, setup.settings.policies), model=model).items()))


def _models(name: str, setup: Setup) -> Iterator[Check]:
    """Checks the model of every policy that a worker would serve."""
    try:
        policies = _served(setup).values()
    except PolicyError:
        yield Check(name, "warn", "unknown, since the policies that name it are refused")
        return
    named = {setup.model or policy.model or setup.settings.model for policy in policies}
    for reference in sorted(named):
        try:
            yield _model(name, reference)
        except ModerationError as error:
            yield failure(name, error)


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


def _redis(name: str, settings: Settings) -> Iterator[Check]:
    """Checks the server, and what hangs on it only if it answers."""
    from moderation.commands.doctor.redis import check_redis  # it loads Celery

    yield from check_redis(name, settings)


def _of_settings(
    check: Callable[[str, Settings], Iterator[Check]],
) -> Callable[[str, Setup], Iterator[Check]]:
    return lambda name, setup: check(name, setup.settings)


CHECKS: dict[str, Callable[[str, Setup], Iterator[Check]]] = {
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
