"""`moderation queues`: how many requests wait, for how long, and how many are in hand."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from moderation.commands.output import note
from moderation.errors import RequestError
from moderation.listen_address import Address, parse_address
from moderation.queue.depth import BrokerState, read_queues
from moderation.settings import Settings, load_settings

EPILOG = """Examples:

    moderation queues

    moderation queues --watch 2

    moderation queues --format prometheus

    moderation queues --serve 127.0.0.1:9808
"""


class QueuesFormat(StrEnum):
    """How to print what waits."""

    TABLE = "table"
    JSON = "json"
    PROMETHEUS = "prometheus"


def queues(
    format: Annotated[QueuesFormat, typer.Option(help="How to print.")] = QueuesFormat.TABLE,
    watch: Annotated[
        float | None, typer.Option(min=0.1, help="Show the table again after so many seconds.")
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer Prometheus here; a port alone is local."),
    ] = None,
) -> None:
    """Show how many requests wait, for how long, and how many workers have in hand.

    With --watch and --serve until Ctrl-C or SIGTERM, which then exit with 0.
    """
    if (watch or serve) and (format is not QueuesFormat.TABLE or (watch and serve)):
        raise RequestError(
            "only one of --watch, --serve and --format", "moderation queues", "Leave one out"
        )
    settings = load_settings()
    if watch:
        with _until_stopped():
            _watch(settings, watch)
    elif serve:
        with _until_stopped():
            _serve(settings, _address(serve))
    else:
        _PRINTERS[format](read_queues(settings))


def _print_json(state: BrokerState) -> None:
    rows = [queue._asdict() for queue in state.queues]
    print(json.dumps({"queues": rows, "in_hand": state.in_hand}, indent=2))


def _print_prometheus(state: BrokerState) -> None:
    from moderation.worker.metrics_server import exposition

    print(exposition(state), end="")


def _print_table(state: BrokerState) -> None:
    Console().print(_table(state))


_PRINTERS: dict[QueuesFormat, Callable[[BrokerState], None]] = {
    QueuesFormat.TABLE: _print_table,
    QueuesFormat.JSON: _print_json,
    QueuesFormat.PROMETHEUS: _print_prometheus,
}


def _table(state: BrokerState) -> Table:
    table = Table("queue", header_style="bold", box=None, pad_edge=False)
    table.add_column("requests", justify="right")
    table.add_column("oldest", justify="right")
    for queue in state.queues:
        table.add_row(queue.queue, f"{queue.depth:,}", queue.shown_age)
    table.add_row("(in hand)", f"{state.in_hand:,}", "")
    return table


def _watch(settings: Settings, seconds: float) -> None:
    """Shows the table until it is stopped: in place on a terminal, else one below the other."""
    console = Console()
    if not console.is_terminal:
        while True:
            console.print(_table(read_queues(settings)))
            time.sleep(seconds)
    with Live(_table(read_queues(settings)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(seconds)
            live.update(_table(read_queues(settings)), refresh=True)


def _serve(settings: Settings, address: Address) -> None:
    """Answers Prometheus until the process is stopped."""
    from moderation.queue.celery_app import ping
    from moderation.worker.metrics_server import exporter

    ping(settings)  # a wrong address of Redis is told now, not at each scrape
    with exporter(settings, address) as port:
        shown = address._replace(port=port)
        note(f"Answering on http://{shown}/metrics; stop with Ctrl-C")
        signal.pause()


def _address(text: str) -> Address:
    """Returns the address of --serve.

    Raises:
        RequestError: it is none.
    """
    try:
        return parse_address(text)
    except ValueError as error:
        raise RequestError(str(error), "--serve", "Write HOST:PORT or PORT") from error


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ends the block without an error at Ctrl-C and SIGTERM: it has no other end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
