"""What a worker that is started here would run with; its options may be variables too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from moderation.commands.doctor.diagnosis import Diagnosis
from moderation.settings import PREFIX, Settings, load_settings, unknown_variables


class Setup(NamedTuple):
    """What a `moderation worker` that is started here without options would run with.

    Attributes:
        settings: changed by the variables of its options.
        model: the one that wins over what policies name.
        option_variables: the variables of all commands' options.
    """

    settings: Settings
    model: str | None
    option_variables: frozenset[str]


def read_setup(ctx: typer.Context) -> Setup:
    """Returns the set-up of this machine, from the context of any command.

    Raises:
        SettingsError: a setting cannot be right.
        click.UsageError: a variable such as MODERATION_WORKER_POLICY is not a value of its option.
    """
    root: Any = ctx.find_root()
    worker = root.command.commands["worker"]
    with worker.make_context("worker", [], parent=root) as context:
        given = context.params
    settings = load_settings(policies=given["policy"] or None, concurrency=given["concurrency"])
    return Setup(settings, given["model"], frozenset(_option_variables(root.command)))


def check_setup_variables(setup: Setup) -> Iterator[Diagnosis]:
    """Yields which MODERATION_* variables of this machine are not settings."""
    if unknown := unknown_variables(os.environ, setup.option_variables):
        remedy = "Correct or unset them: docs/settings.md lists every setting"
        yield Diagnosis("warn", f"not settings: {', '.join(unknown)}", remedy)
    else:
        yield Diagnosis("ok", "every MODERATION_* variable is known")


def _option_variables(command: Any, prefix: str = PREFIX) -> Iterator[str]:
    """Yields the variable of every option of a command and of those in it, as typer names them."""
    for param in command.params:
        if param.param_type_name == "option" and (param.envvar or param.allow_from_autoenv):
            named = param.envvar or prefix + param.name.upper()
            yield from [named] if isinstance(named, str) else named
    for name, inner in getattr(command, "commands", {}).items():
        yield from _option_variables(inner, f"{prefix}{name.upper().replace('-', '_')}_")
