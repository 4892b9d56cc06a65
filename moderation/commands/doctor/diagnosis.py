"""What a check of `moderation doctor` found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import typer
from rich.text import Text

from moderation.commands.options import TableOrJson
from moderation.commands.output import print_json, print_table
from moderation.errors import ModerationError

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Diagnosis(NamedTuple):
    """What a check found, and what to do about it; named after its check by default."""

    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""
    name: str = ""


def named(name: str, diagnoses: Iterable[Diagnosis]) -> Iterator[Diagnosis]:
    """Yields the diagnoses of a check; an error that it meets is one too."""
    try:
        for diagnosis in diagnoses:
            yield diagnosis._replace(name=diagnosis.name or name)
    except ModerationError as error:
        yield failure(error)._replace(name=name)


def failure(error: ModerationError) -> Diagnosis:
    """Returns the diagnosis of a check that met an error."""
    place = f"{error.where}: " if error.where else ""
    return Diagnosis("fail", place + error.what, error.remedy)


def print_diagnoses(diagnoses: list[Diagnosis], form: TableOrJson) -> None:
    """Prints diagnoses; exits with 1 where a check failed."""
    if form == "json":
        print_json([{"name": found.name, **found._asdict()} for found in diagnoses])
    else:
        print_table(*diagnosis_table(diagnoses))
    if any(diagnosis.state == "fail" for diagnosis in diagnoses):
        raise typer.Exit(1)


def diagnosis_table(
    diagnoses: Iterable[Diagnosis],
) -> tuple[Sequence[str], list[Sequence[str | Text]]]:
    """Returns columns and a line for each diagnosis."""
    rows: list[Sequence[str | Text]] = [
        (name, Text(state, _COLOURS[state]), found, remedy)
        for state, found, remedy, name in diagnoses
    ]
    return ("check", "", "found", "to do"), rows
