"""One thing that `moderation doctor` looked at."""

from __future__ import annotations

from typing import Literal, NamedTuple

from moderation.errors import ModerationError


class Check(NamedTuple):
    """What was found, and what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def failure(name: str, error: ModerationError) -> Check:
    """Returns the finding of a check that met an error."""
    place = f"{error.where}: " if error.where else ""
    return Check(name, "fail", place + error.what, error.remedy)
