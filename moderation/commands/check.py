"""One thing that `moderation doctor` looked at."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """What was found, and what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""
