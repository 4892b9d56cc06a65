"""Time that is counted and not waited for: events in their order, places taken in turn, cores."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import count

Act = Callable[[], None]

#: Milliseconds after which a system gives a core to who waits for one.
SLICE = 1.0


class SimulatedClock:
    """Simulated milliseconds; `now` moves from one event to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Act]] = []
        self._numbers = count()

    def after(self, milliseconds: float, act: Act) -> None:
        """Does something this much later; what is due at one time comes in the order asked for."""
        heapq.heappush(self._due, (self.now + milliseconds, next(self._numbers), act))

    def run(self, until: float) -> None:
        """Lets everything happen that is due by then."""
        while self._due and self._due[0][0] <= until:
            self.now, _, act = heapq.heappop(self._due)
            act()
        self.now = until


class Turns:
    """So many places; who finds none free waits, and is served in turn."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[Act] = deque()

    def enter(self, act: Act) -> None:
        """Goes on with `act` in a place of its own, which `leave` gives back."""
        if self._free:
            self._free -= 1
            act()
        else:
            self._waiting.append(act)

    def leave(self) -> None:
        """Gives a place back, to who has waited longest."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._free += 1


class Cores:
    """The cores of a machine: each computes one thing for a slice, then another has its turn.

    Attributes:
        spent: milliseconds of a core by the part that computed.
    """

    def __init__(self, clock: SimulatedClock, number: int) -> None:
        self._clock, self._turns = clock, Turns(number)
        self.spent: dict[str, float] = defaultdict(float)

    def compute(self, part: str, milliseconds: float, then: Act) -> None:
        """Goes on with `then` once a core has computed this long."""
        now = min(SLICE, milliseconds)

        def end() -> None:
            self._turns.leave()
            self.spent[part] += now
            if milliseconds > now:
                self.compute(part, milliseconds - now, then)
            else:
                then()

        self._turns.enter(lambda: self._clock.after(now, end))

    def compute_alone(self, lock: Turns, part: str, milliseconds: float, then: Act) -> None:
        """The same for who must have a lock, which is kept while waiting for a core."""

        def end() -> None:
            lock.leave()
            then()

        lock.enter(lambda: self.compute(part, milliseconds, end))
