"""`--version` of every command line of this package."""

from __future__ import annotations

from typing import Annotated

import typer


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"evenhand {version('evenhand')}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_print_version,
        is_eager=True,
        allow_from_autoenv=False,
        help="Print the version.",
    ),
]
