"""What is shown while faults happen, and at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

import redis
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from moderation.messages import QUEUES
from moderation.queue.celery_app import UNACKED
from tests.chaos.ledger import Audit

_SHOWN = 10
_WIDTH = 100


class Progress:
    """A context manager; one line on standard error."""

    def __init__(self, submissions: int, faults: int) -> None:
        self._bar = Bar(
            TextColumn("{task.fields[accepted]} accepted, {task.fields[final]} final"),
            BarColumn(20),
            TextColumn(f"fault {{task.completed}} of {faults}"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._faults, self._submissions = faults, submissions

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("", total=self._faults, accepted=0, final=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def says(self, words: str) -> None:
        """Shows what is being done."""
        self._bar.update(self._task, description=words)

    def submitted(self, count: int) -> None:
        """Shows how many requests were accepted."""
        self._bar.update(self._task, accepted=count)

    def final(self, count: int) -> None:
        """Shows how many have their answer."""
        self._bar.update(self._task, final=count)

    def struck(self, count: int) -> None:
        """Shows how many faults there were."""
        self._bar.update(self._task, completed=count)


def where_lost(found: Audit, connection: redis.Redis) -> dict[str, str]:
    """Returns where in Redis each request is that the log has no answer to."""
    names = [name for some in found.findings.get("lost", {}).values() for name in some]
    places = {
        "in the registry": b" ".join(_values(connection.hkeys("evenhand.accepted"))),
        "in the queue": b" ".join(
            message
            for queue in QUEUES.values()
            for message in _values(connection.lrange(queue, 0, -1))
        ),
        "in hand of a worker": b" ".join(_values(connection.hvals(UNACKED))),
    }
    return {
        name: ", ".join(place for place, held in places.items() if name.encode() in held)
        or "nowhere in Redis"
        for name in names
    }


def _values(found: Any) -> list[bytes]:
    return list(found)


def print_report(everything: Mapping[str, Any]) -> None:
    """Prints the ledger, the faults, and what is wrong."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    setup = everything["setup"]
    console.print(
        f"{setup['cores']} cores, {setup['workers']} workers, Redis {setup['redis']}, "
        f"{setup['database']}, {everything['seconds']:.0f} s"
    )
    ledger = Table("ledger", "", box=None, show_header=False)
    for name, number in everything["ledger"].items():
        ledger.add_row(name, str(number))
    console.print(ledger)
    console.print(_faults(everything))
    reasons = ", ".join(f"{number} {why}" for why, number in everything["quarantined"].items())
    console.print(f"In quarantine: {reasons or 'nothing'}")
    console.print(
        f"Sent again by recovery: {everything['sent_again']}; Celery's worker started anew: "
        f"{everything['worker_restarts']}; answers that the host collected: "
        f"{everything['collected']}; submits that were refused: "
        f"{sum(everything['refused_submits'].values())}; messages of poison: "
        f"{sum(everything['poison_messages'].values())}"
    )
    if everything["webhooks"]:
        console.print(
            "Webhooks: " + ", ".join(f"{n} {k}" for k, n in everything["webhooks"].items())
        )
    _print_findings(console, everything)


def _faults(everything: Mapping[str, Any]) -> Table:
    table = Table("fault", "times", "with requests in hand")
    for kind, count in everything["faults"].items():
        log = [fault for fault in everything["fault_log"] if fault["kind"] == kind]
        table.add_row(kind, str(count), str(sum(fault["in_hand"] > 0 for fault in log)))
    return table


def _print_findings(console: Console, everything: Mapping[str, Any]) -> None:
    for part, findings in everything["findings"].items():
        for what, names in findings.items():
            console.print(f"[bold]{part}[/bold]: {what}: {len(names)}")
            for name in names[:_SHOWN]:
                state = everything["last_known"].get(name, "")
                console.print(f"  {name}{f': {state}' if state else ''}", highlight=False)
    if everything["uncollected"]:
        shown = " ".join(everything["uncollected"][:_SHOWN])
        console.print(f"[bold]not collected[/bold]: {len(everything['uncollected'])}: {shown}")
    for name in ("workers_that_gave_up", "left_behind"):
        if everything[name]:
            console.print(f"[bold]{name}[/bold]: {', '.join(everything[name])}")
    if not everything["findings"] and not everything["uncollected"]:
        console.print("Nothing was lost, and nothing was answered twice.")
