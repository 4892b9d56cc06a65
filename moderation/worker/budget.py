"""How many bytes the requests in hand hold together, and who waits until there is room."""

from __future__ import annotations

import threading


class ByteBudget:
    """Bytes that many requests share; one that needs more than there is still gets it alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}
        self._used = 0
        self._changed = threading.Condition()

    def reserve(self, tag: str, size: int) -> None:
        """Returns once there is room for these bytes, or nobody else holds any of the budget."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(size))
            self._hold(tag, size)

    def reserves_now(self, tag: str, size: int) -> bool:
        """Whether the budget has room for these bytes, which are reserved then; never waits."""
        with self._changed:
            if has_room := self._has_room(size):
                self._hold(tag, size)
            return has_room

    def _has_room(self, size: int) -> bool:
        return not self._used or self._used + size <= self._limit

    def hold(self, tag: str, size: int) -> None:
        """Notes how many bytes of the budget a request holds now; never waits."""
        with self._changed:
            self._hold(tag, size)

    def _hold(self, tag: str, size: int) -> None:
        before = self._held.pop(tag, 0)
        if size:
            self._held[tag] = size
        self._used += size - before
        if size < before:
            self._changed.notify_all()
