"""`moderation queues`: how many requests wait, for how long, and how many are in hand."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from moderation.commands.command_line import examples
from moderation.commands.exit_codes import as_ctrl_c
from moderation.commands.output import note, print_json
from moderation.errors import RequestError
from moderation.listen_address import parse_address
from moderation.queue.depth import BrokerState, read_queue_depths
from moderation.settings import Settings, load_settings

EPILOG = examples(
    "moderation queues",
    "moderation queues --watch 2",
    "moderation queues --format prometheus",
    "moderation queues --serve 127.0.0.1:9808",
)

QueuesFormat = Literal["table", "json", "prometheus"]


def queues(
    format: Annotated[QueuesFormat, typer.Option(help="How to print.")] = "table",
    watch: Annotated[
        float | None, typer.Option(min=0.1, help="Show the table again after this many seconds.")
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer Prometheus here; a port alone is local."),
    ] = None,
) -> None:
    """Show how many requests wait, for how long, and how many workers have in hand.

    --watch and --serve run until Ctrl-C or SIGTERM, and then exit with 0.
    """
    if (watch or serve) and (format != "table" or (watch and serve)):
        raise RequestError(
            "only one of --watch, --serve and --format", "moderation queues", "Leave one out"
        )
    settings = load_settings()
    if not (watch or serve):
        _print_queues(read_queue_depths(settings), format)
        return
    # SIGTERM and Ctrl-C are the only ends of these two, and no errors.
    with suppress(KeyboardInterrupt), as_ctrl_c(signal.SIGTERM):
        if watch:
            _watch_queues(settings, watch)
        elif serve:
            _serve_queue_metrics(settings, serve)


def _print_queues(state: BrokerState, form: QueuesFormat) -> None:
    if form == "json":
        rows = [queue._asdict() for queue in state.queues]
        print_json({"queues": rows, "in_hand": state.in_hand})
    elif form == "prometheus":
        from moderation.worker.metrics_server import queue_metrics_text

        print(queue_metrics_text(state), end="")
    else:
        Console().print(_queues_table(state))


def _queues_table(state: BrokerState) -> Table:
    table = Table("queue", header_style="bold", box=None, pad_edge=False)
    table.add_column("requests", justify="right")
    table.add_column("oldest", justify="right")
    for queue in state.queues:
        table.add_row(queue.queue, f"{queue.depth:,}", queue.shown_age)
    table.add_row("(in hand)", f"{state.in_hand:,}", "")
    return table


def _watch_queues(settings: Settings, seconds: float) -> None:
    """Shows the table until it is stopped: in place on a terminal, otherwise one after another."""
    console = Console()
    if not console.is_terminal:
        while True:
            console.print(_queues_table(read_queue_depths(settings)))
            time.sleep(seconds)
    with Live(
        _queues_table(read_queue_depths(settings)), console=console, auto_refresh=False
    ) as live:
        while True:
            time.sleep(seconds)
            live.update(_queues_table(read_queue_depths(settings)), refresh=True)


def _serve_queue_metrics(settings: Settings, listen: str) -> None:
    """Answers Prometheus until the process is stopped.

    Raises:
        RequestError: `listen` is not an address.
    """
    from moderation.queue.celery_app import ping
    from moderation.worker.metrics_server import serve_queue_metrics

    try:
        address = parse_address(listen)
    except ValueError as error:
        raise RequestError(str(error), "--serve", "Write HOST:PORT or PORT") from error
    ping(settings)  # a wrong address of Redis is an error now, not at each scrape
    with serve_queue_metrics(settings, address) as port:
        shown = address._replace(port=port)
        note(f"Answering on http://{shown}/metrics; stop with Ctrl-C")
        signal.pause()
