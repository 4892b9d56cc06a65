"""Variables that stand for options, such as MODERATION_WORKER_POLICY, asked of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from moderation.settings import PREFIX


class WorkerOptions(NamedTuple):
    """What a `moderation worker` that is started here without options takes from variables."""

    policy: list[str] | None
    model: str | None
    concurrency: int | None


def option_variables(command: Any, prefix: str = PREFIX) -> Iterator[str]:
    """Yields the variable of every option of a command and of those in it, as typer calls them."""
    for param in command.params:
        if param.param_type_name == "option" and (param.envvar or param.allow_from_autoenv):
            yield param.envvar or prefix + param.name.upper()
    for name, inner in getattr(command, "commands", {}).items():
        yield from option_variables(inner, f"{prefix}{name.upper().replace('-', '_')}_")


def worker_options(root: Any) -> WorkerOptions:
    """Returns the options of the command `worker`; `root` is the context of the command line.

    Raises:
        click.UsageError: one is no value of its option.
    """
    command = root.command.commands["worker"]
    with command.make_context("worker", [], parent=root) as context:
        return WorkerOptions(*(context.params[name] for name in WorkerOptions._fields))
