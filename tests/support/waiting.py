"""Waiting for a state, on a machine that may be busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Never used up where the state comes; so it may be long, and is below pytest's own limit.
PATIENCE_SECONDS = 120.0


def until(state: Callable[[], T], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Returns what `state` gives once it is true; fails where it does not become so in time."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not (found := state()):
        assert time.monotonic() < deadline, f"it did not become so within {seconds:g} s"
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return found
