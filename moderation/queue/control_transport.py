"""kombu's Redis for the commands to workers and their answers; what waits in a queue stays there.

A worker obeys `ping` alone, whoever sends commands. What lies in our queues is taken by `hand`: a
connection of kombu would pop a message before it notes it, so Celery is given no queue of ours.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as kombu_redis

from moderation.queue.envelope import read_command


class _ControlQoS(kombu_redis.QoS):  # type: ignore[misc]
    """Puts nothing back: what lies under kombu's names is not this process's."""

    def restore_visible(self, *_: object, **__: object) -> None:
        """Does nothing."""


class _ControlChannel(kombu_redis.Channel):  # type: ignore[misc]
    """Reads commands and their answers."""

    QoS = _ControlQoS

    def _handle_message(self, client: Any, response: Any) -> dict[str, Any]:
        """Lets through no command but the one that asks whether a worker lives."""
        payload: dict[str, Any] = super()._handle_message(client, response)
        if str(payload["type"], "utf-8").endswith("message"):
            payload["data"] = read_command(payload["data"])
        return payload


class ControlTransport(kombu_redis.Transport):  # type: ignore[misc]
    """kombu's Redis, with that channel."""

    Channel = _ControlChannel
