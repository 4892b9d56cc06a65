"""`moderation ...`: puts the commands together; what they do is in `moderation.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from moderation.commands import demo, doctor, model, policy, queues, scan, submit, worker

app = typer.Typer(
    name="moderation",
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


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"evenhand {version('evenhand')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass
