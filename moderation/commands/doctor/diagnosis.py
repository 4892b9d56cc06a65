"""What a check of `moderation doctor` found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from moderation.errors import ModerationError


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
