"""`moderation ...`: puts the commands together; what they do is in `moderation.commands`."""

from __future__ import annotations

import typer

from moderation.commands import (
    callbacks,
    decisions,
    demo,
    model,
    policy,
    quarantine,
    queues,
    scan,
    submit,
    worker,
)
from moderation.commands.doctor import command as doctor
from moderation.commands.usage import Commands
from moderation.commands.version import VersionOption

app = typer.Typer(
    name="moderation",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Moderate images with CLIP zero-shot label sets written in YAML.",
    epilog="Start with `moderation demo`. Settings are MODERATION_* variables: docs/settings.md.",
)
for command, epilog in (
    (demo.demo, demo.EPILOG),
    (scan.scan, scan.EPILOG),
    (worker.worker, worker.EPILOG),
    (submit.submit, submit.EPILOG),
    (queues.queues, queues.EPILOG),
    (doctor.doctor, doctor.EPILOG),
):
    app.command(epilog=epilog)(command)
app.add_typer(model.app, name="model")
app.add_typer(policy.app, name="policy")
app.add_typer(callbacks.app, name="callbacks")
app.add_typer(decisions.app, name="decisions")
app.add_typer(quarantine.app, name="quarantine")


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass
