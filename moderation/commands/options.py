"""Options that several commands of this package take, each declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

TableOrJson = Literal["table", "json"]
RowFormat = Literal["table", "json", "jsonl", "csv"]

TableOrJsonOption = Annotated[TableOrJson, typer.Option(help="How to print.")]
RowFormatOption = Annotated[RowFormat, typer.Option(help="How to print results.")]
PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH", help="Images or folders of them; - reads a list of paths from stdin."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="starter, a folder, or hub-id[@revision]; wins over the policies' own and over "
        "MODERATION_MODEL."
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of stored features; by default MODERATION_STORE, or one in your cache.",
    ),
]
NoStoreOption = Annotated[
    bool, typer.Option("--no-store", help="Neither read nor keep features: embed each time.")
]
#: How a point in time is typed; without a zone it is in UTC.
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
LimitOption = Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")]


def utc_time(time: datetime | None) -> datetime | None:
    """Returns a time with its zone; one that names none is in UTC."""
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command with the fields of its records of options as options of its own.

    Typer reads options from a signature only; a record declares them once for several commands.
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        _call_with_options(command, given)

    parameters = list(_option_parameters(command))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _option_parameters(taker: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Yields what a function or record takes; in the place of a record, what that takes."""
    hints = get_type_hints(taker, include_extras=True)
    for parameter in inspect.signature(taker).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _option_parameters(hint)
        else:
            yield parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hint)


def _call_with_options(taker: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Calls a function or record with what it takes of `given`, its records made first."""
    hints = get_type_hints(taker, include_extras=True)
    return taker(
        **{
            name: _call_with_options(hints[name], given)
            if is_dataclass(hints[name])
            else given[name]
            for name in inspect.signature(taker).parameters
        }
    )
