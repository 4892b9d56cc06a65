"""What every command line of this package is: commands, groups of them, and `--version`.

An error of usage repeats what was typed, and a shell may have put names of files there: nothing in
it acts on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from moderation.visible_text import lines

#: The common class of wrong usage, which typer has from click, or as its own in later versions.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def command_line(
    name: str,
    *,
    help: str,
    epilog: str,
    commands: Iterable[tuple[Callable[..., None], str]],
    groups: Mapping[str, typer.Typer],
) -> typer.Typer:
    """Returns the command line of a program.

    Args:
        name: of the program.
        help: what it is for.
        epilog: where to begin.
        commands: each with its examples.
        groups: commands that are typed behind a name.
    """
    app = typer.Typer(
        name=name,
        cls=_CommandLine,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help=help,
        epilog=epilog,
    )
    for command, shown in commands:
        typed = command.__name__.rstrip("_").replace("_", "-")  # import is a word of Python
        app.command(typed, epilog=shown)(command)
    for group, inner in groups.items():
        app.add_typer(inner, name=group)
    app.callback()(_command_line_options)
    return app


def command_group(help: str) -> typer.Typer:
    """Returns a group without commands, which are added to it."""
    return typer.Typer(
        no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", help=help
    )


def examples(*commands: str) -> str:
    """Returns the examples that the `--help` of a command ends with."""
    title = "Examples:" if len(commands) > 1 else "Example:"
    return "\n\n    ".join((title, *commands)) + "\n"


class _CommandLine(TyperGroup):
    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the options before the command."""
        with _visible_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Reads a command's own options, and runs it."""
        with _visible_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _visible_usage_errors() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = lines(error.message)  # type: ignore[attr-defined]
        raise


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"evenhand {version('evenhand')}")
        raise typer.Exit


def _command_line_options(
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
