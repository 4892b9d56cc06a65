"""`audit ...`: puts the commands together; what they do is in `audit.commands`."""

from __future__ import annotations

import typer

from audit.commands import ablate, compare, datasets, embed, gate, run, skew
from moderation.commands.usage import Commands
from moderation.commands.version import VersionOption

app = typer.Typer(
    name="audit",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Assess whom a policy's label set flags, on images with demographic annotations.",
    epilog="Start with `audit datasets info FOLDER`. The method: docs/audit-method.md.",
)
for command, epilog in (
    (run.run, run.EPILOG),
    (compare.compare, compare.EPILOG),
    (ablate.ablate, ablate.EPILOG),
    (gate.gate, gate.EPILOG),
    (skew.skew, skew.EPILOG),
    (embed.embed, embed.EPILOG),
):
    app.command(epilog=epilog)(command)
app.add_typer(datasets.app, name="datasets")


@app.callback()
def _root(version: VersionOption = False) -> None:
    pass
