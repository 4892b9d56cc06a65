"""Who wants to know what becomes of callbacks: metrics."""

from __future__ import annotations

from typing import Protocol


class DeliveryReports(Protocol):
    """Told of each outcome once it is in the database; called by the dispatcher's one thread."""

    def delivered(self, host: str) -> None:
        """A callback arrived."""

    def retried(self, host: str) -> None:
        """A try failed, and there will be another."""

    def failed(self, host: str) -> None:
        """A callback was given up."""


class NoReports:
    """Tells nobody."""

    def delivered(self, host: str) -> None:
        """Does nothing."""

    def retried(self, host: str) -> None:
        """Does nothing."""

    def failed(self, host: str) -> None:
        """Does nothing."""
