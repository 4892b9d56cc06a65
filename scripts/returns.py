"""Counts how often a function's work comes back to a module that it had left.

    python scripts/returns.py MODULE:FUNCTION TEST...

Runs tests in this process and follows each call of the function through the two packages, in the
order in which it enters their named functions; one that was entered before is passed over. A stay
is a time in one module without a break, and a return is a stay in a module that was left. Prints
how many calls had which figures. FUNCTION is a qualified name, such as `Answerer.answer`.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections import Counter
from types import FrameType

import pytest

PACKAGES = ("moderation", "audit")


class Trips:
    """Follows the calls of one function in every thread."""

    def __init__(self, module: str, function: str) -> None:
        """Looks for calls of a function by its module's name and its qualified name."""
        self._target = module, function
        self._here = threading.local()
        self.figures: Counter[tuple[int, int]] = Counter()

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Notes where a thread is: a function for `sys.setprofile`."""
        module = str(frame.f_globals.get("__name__"))
        start: FrameType | None = getattr(self._here, "start", None)
        if event == "call" and module.partition(".")[0] in PACKAGES:
            if start is None and (module, frame.f_code.co_qualname) == self._target:
                self._here.start, self._here.entered = frame, {frame.f_code: module}
            elif start is not None and not frame.f_code.co_name.startswith("<"):
                self._here.entered.setdefault(frame.f_code, module)
        elif event == "return" and frame is start:
            stays = [name for name, _ in itertools.groupby(self._here.entered.values())]
            self.figures[len(set(stays)), len(stays) - len(set(stays))] += 1
            self._here.start = None


def main() -> int:
    """Runs the tests and prints the figures; returns the status of the tests."""
    target, *tests = sys.argv[1:]
    module, _, function = target.partition(":")
    trips = Trips(module, function)
    threading.setprofile(trips.note)
    sys.setprofile(trips.note)
    status = pytest.main(["-q", "-n", "0", *tests])
    sys.setprofile(None)
    for (modules, returns), calls in sorted(trips.figures.items()):
        print(f"{calls} calls: {modules} modules, {returns} returns")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
