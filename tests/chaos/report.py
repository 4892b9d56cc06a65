"""What is shown at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from moderation.messages import QUEUES
from moderation.queue.keys import HAND, LATER
from tests.chaos.ledger import Reckoning

_SHOWN = 10
_WIDTH = 100


def where_lost(found: Reckoning, connection: Any) -> dict[str, str]:
    """Returns where in Redis each request is that has no answer in the log."""
    waiting: list[bytes] = []
    for queue in QUEUES.values():
        waiting += connection.lrange(queue, 0, -1)
    places = {
        "in the queue": b" ".join(waiting),
        "in hand of a worker": b" ".join(connection.hvals(HAND)),
        "to be tried again": b" ".join(
            message for key in LATER.values() for message in connection.zrange(key, 0, -1)
        ),
    }
    return {
        name: ", ".join(place for place, held in places.items() if name.encode() in held)
        or "nowhere in Redis"
        for names in found.findings.get("lost", {}).values()
        for name in names
    }


def print_report(result: Mapping[str, Any]) -> None:
    """Prints the ledger, the faults, and what is wrong."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    setup = result["setup"]
    console.print(
        f"{setup['cores']} cores, {setup['workers']} workers, Redis {setup['redis']}, "
        f"{setup['database']}, {result['seconds']:.0f} s"
    )
    ledger = Table("ledger", "", box=None, show_header=False)
    for name, number in result["ledger"].items():
        ledger.add_row(name, str(number))
    console.print(ledger)
    console.print(_faults(result))
    console.print(f"In quarantine: {_sums(result['quarantined']) or 'nothing'}")
    console.print(
        f"Put back from dead workers: {result['put_back']}; Celery's worker started again: "
        f"{result['worker_restarts']}; answers that the host collected: {result['collected']}; "
        f"submits that were refused: {sum(result['refused_submits'].values())}; "
        f"messages of poison: {sum(result['poison_messages'].values())}"
    )
    if result["webhooks"]:
        console.print(f"Webhooks: {_sums(result['webhooks'])}")
    _print_findings(console, result)


def _sums(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in numbers.items())


def _faults(result: Mapping[str, Any]) -> Table:
    table = Table("fault", "times", "with requests in hand")
    for kind, count in result["faults"].items():
        log = [fault for fault in result["fault_log"] if fault["kind"] == kind]
        table.add_row(kind, str(count), str(sum(fault["in_hand"] > 0 for fault in log)))
    return table


def _print_findings(console: Console, result: Mapping[str, Any]) -> None:
    for part, findings in result["findings"].items():
        for what, names in findings.items():
            console.print(f"[bold]{part}[/bold]: {what}: {len(names)}")
            for name in names[:_SHOWN]:
                state = result["last_known"].get(name, "")
                console.print(f"  {name}{f': {state}' if state else ''}", highlight=False)
    if result["uncollected"]:
        shown = " ".join(result["uncollected"][:_SHOWN])
        console.print(f"[bold]not collected[/bold]: {len(result['uncollected'])}: {shown}")
    for name in ("workers_that_gave_up", "left_behind"):
        if result[name]:
            console.print(f"[bold]{name}[/bold]: {', '.join(result[name])}")
    if not result["findings"] and not result["uncollected"]:
        console.print("Nothing was lost, and nothing was answered twice.")
