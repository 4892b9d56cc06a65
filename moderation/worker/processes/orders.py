"""What the supervisor tells a process that it starts, and what that process reports.

Both are JSON and go through one private socket, which nobody else has. Policies go as the text of
their files, which is parsed once more.

The socket is also a lifeline. Once the supervisor has nothing more to say, or is gone, the process
reads its end, and stops as on SIGTERM.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import SecretStr

from moderation import errors
from moderation.errors import ModerationError
from moderation.messages import QueueName
from moderation.policy import PolicyFile
from moderation.settings import Settings

Kind = Literal["encoder", "line"]

_SIZE = struct.Struct("!Q")


@dataclass(frozen=True)
class EncoderOrder:
    """What the encoder process is told.

    Attributes:
        settings: of the whole worker.
        models: references of the models that it loads.
        policies: whose classifiers it loads; files, as they were read once.
        address: the Unix socket that lines connect to.
        listening: the descriptor of that socket.
        lines: the descriptor of a pipe that ends when supervisor and lines are gone.
    """

    settings: Settings
    models: tuple[str, ...]
    policies: tuple[PolicyFile, ...]
    address: Path
    listening: int
    lines: int
    name: str
    number: int = 0

    kind: ClassVar[Kind] = "encoder"


@dataclass(frozen=True)
class LineOrder:
    """What a line process is told.

    Attributes:
        settings: its share of the worker's.
        policies: files of all, read once, so that all lines serve the same.
        override_model: wins over what policies name.
        queues: what it serves.
        address: the Unix socket of the encoder process.
        name: of the line, in Celery, Redis and logs.
        number: from 1; its successor after a death has the same.
    """

    settings: Settings
    policies: tuple[PolicyFile, ...]
    override_model: str | None
    queues: tuple[QueueName, ...]
    address: Path
    name: str
    number: int

    kind: ClassVar[Kind] = "line"


Order = EncoderOrder | LineOrder


class Ready(NamedTuple):
    """A process reports that it serves; the encoder process says which models."""

    models: str = ""


class EncoderHangs(NamedTuple):
    """A line reports that it has waited this many seconds for the encoder process, in vain."""

    seconds: float


class MemberFault(Exception):
    """A process failed in a way that no error of ours names; its traceback is a note."""


Report = Ready | EncoderHangs | Exception


def send_order(channel: socket.socket, order: Order) -> None:
    """Sends an order; returns without one where the process is gone."""
    values = {field.name: getattr(order, field.name) for field in fields(order)}
    values["settings"] = order.settings.model_dump()
    packed = json.dumps({"kind": order.kind, **values}, default=_plain_value).encode()
    with suppress(OSError):
        channel.sendall(_SIZE.pack(len(packed)) + packed)


def receive_order(channel: socket.socket) -> Order:
    """Returns the order of the supervisor.

    Raises:
        EOFError: the supervisor has changed its mind, or is gone.
    """
    [size] = _SIZE.unpack(_received(channel, _SIZE.size))
    values = json.loads(_received(channel, size))
    values["settings"] = Settings(**values["settings"])
    values["address"] = Path(values["address"])
    values["policies"] = tuple(PolicyFile(*file) for file in values["policies"])
    if values.pop("kind") == "encoder":
        return EncoderOrder(**{**values, "models": tuple(values["models"])})
    return LineOrder(**{**values, "queues": tuple(values["queues"])})


def _plain_value(value: object) -> str:
    """Returns what JSON has no word for as text; a secret is what the other side needs."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _received(channel: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        if not (part := channel.recv(min(size - len(content), 1 << 20))):
            raise EOFError("no order")
        content += part
    return bytes(content)


def report_ready(channel: socket.socket, models: str = "") -> None:
    """Reports to the supervisor that this process serves."""
    _report(channel, {"ready": models})


def report_hang(channel: socket.socket, seconds: float) -> None:
    """Reports to the supervisor that the encoder process does not answer."""
    _report(channel, {"encoder_hangs": seconds})


def report_failure(channel: socket.socket, error: Exception) -> None:
    """Reports to the supervisor what ends this process."""
    if isinstance(error, ModerationError):
        _report(channel, {"error": type(error).__name__, "arguments": list(error.args)})
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
        shown = f"{type(error).__name__}: {error}"
        _report(channel, {"error": None, "arguments": [shown], "traceback": text})


def watch(name: str, wait: Callable[[], object], then: Callable[[], None]) -> None:
    """Calls `then` in a thread of its own once `wait` has returned, as a lifeline does at its end.

    Args:
        name: of the thread.
        wait: returns when the other side is gone.
        then: ends what this process does.
    """

    def watch_until_gone() -> None:
        with suppress(ConnectionError):  # a supervisor was killed before it had read a report
            wait()
        then()

    threading.Thread(target=watch_until_gone, name=name, daemon=True).start()


def _report(channel: socket.socket, content: Mapping[str, object]) -> None:
    with suppress(OSError):  # the supervisor is gone
        channel.sendall(json.dumps(content).encode() + b"\n")


def read_report(line: bytes) -> Report:
    """Returns what a process reports in one line: that it serves, or what is wrong."""
    content = json.loads(line)
    if "ready" in content:
        return Ready(content["ready"])
    if "encoder_hangs" in content:
        return EncoderHangs(float(content["encoder_hangs"]))
    kind = getattr(errors, content["error"] or "", None)
    if not (isinstance(kind, type) and issubclass(kind, ModerationError)):
        fault = MemberFault(*content["arguments"])
        fault.add_note(content.get("traceback", ""))
        return fault
    error: ModerationError = kind(*content["arguments"])
    return error
