"""One run: servers, workers and load, then the faults, then the reckoning."""

from __future__ import annotations

import os
import random
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from moderation.client.client import Client
from moderation.queue.celery_app import connect
from moderation.settings import PREFIX, Settings, load_settings
from tests.chaos.faults import BURST, FAULTS, Fault, schedule, strike
from tests.chaos.ledger import Reckoning, count_final, reckon
from tests.chaos.load import HostLoad
from tests.chaos.receiver import FlakyReceiver
from tests.chaos.report import where_lost
from tests.chaos.servers import Crew, LogDatabase, RedisWithFile, make_database
from tests.chaos.target import Target
from tests.support.command_line import clean_environment

#: After the load, how long to wait without progress, and at most, in seconds.
_SETTLE_SECONDS, _LONGEST_SETTLE = 75.0, 600.0
#: After how long a request goes to another worker although its own lives; one whose worker is dead
#: goes after half of that.
_VISIBILITY_SECONDS = 10
_CAME_BACK = re.compile(r"put back: its worker left it in hand(?: \(and (\d+) more like it\))?")


@dataclass(frozen=True)
class StormPlan:
    """How much happens.

    Attributes:
        submissions: how many photographs are submitted.
        faults: how many of each kind.
        workers: how many processes.
        database: sqlite or postgresql.
        spacing: seconds from one fault to the next, on average.
        appendfsync: when Redis writes its file.
        callbacks: whether answers are also sent as webhooks.
        seed: of images and faults.
    """

    submissions: int
    faults: int
    workers: int
    database: str
    spacing: float
    appendfsync: str
    callbacks: bool
    seed: int

    @property
    def rate(self) -> float:
        """Requests a second apart from bursts, so that the load lasts as long as the faults."""
        faults = len(FAULTS) * self.faults
        steady = max(self.submissions - BURST * faults, self.submissions / 3)
        return steady / (self.spacing * faults)


@dataclass(frozen=True)
class StormResult:
    """Everything that was found; hosts cannot collect the answers to `uncollected` requests."""

    reckoning: Reckoning
    faults: list[Fault]
    uncollected: list[str]
    last_known: dict[str, str]
    facts: dict[str, Any]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, duplicated, wrong or left uncollected."""
        return self.reckoning.is_clean and not self.uncollected

    def as_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        kinds = [fault.kind for fault in self.faults]
        return {
            "ledger": vars(self.reckoning.ledger),
            "faults": {kind: kinds.count(kind) for kind in FAULTS},
            **self.facts,
            "findings": self.reckoning.findings,
            "uncollected": self.uncollected,
            "last_known": self.last_known,
            "quarantined": self.reckoning.quarantined,
            "other_answers": self.reckoning.others,
            "fault_log": [fault._asdict() for fault in self.faults],
        }


def storm(plan: StormPlan, folder: Path) -> StormResult:
    """Returns what the faults did to the requests of the load."""
    started = time.monotonic()
    with ExitStack() as stack:
        enter = stack.enter_context
        progress = enter(Console(stderr=True).status("starting Redis and the database"))
        server = enter(RedisWithFile(folder / "redis", plan.appendfsync))
        database = enter(make_database(plan.database, folder / plan.database))
        receiver = enter(FlakyReceiver()) if plan.callbacks else None
        settings = load_settings(broker_url=server.url, max_queue_length=500)
        environment = _environment(settings, database, folder, receiver)
        progress.update("starting workers")
        crew = enter(Crew(plan.workers, folder / "workers", environment))
        crew.wait_until_ready(settings)
        images, client = folder / "images", Client(settings)
        load = enter(HostLoad(client, plan.submissions, plan.rate, images, seed=plan.seed))
        connection = enter(connect(settings))
        target = Target(server, database, crew, load, connection, random.Random(plan.seed))
        result = _struck(plan, target, receiver, progress)
        result.facts["setup"] = _setup(plan, server, database)
        progress.update("ending workers")
        crew.stop()
        left = [f"{process.pid} {process.name()}" for process in crew.left_behind()]
        result.facts.update(left_behind=left, seconds=round(time.monotonic() - started, 1))
        return result


def _struck(
    plan: StormPlan, target: Target, receiver: FlakyReceiver | None, progress: Status
) -> StormResult:
    """Does all faults, waits until everything has settled, and returns what the log says then."""
    faults = _strike_all(plan, target, progress)
    submitted = time.monotonic()
    uncollected = _settle(target, progress)
    settled = round(time.monotonic() - submitted, 1)
    if receiver:
        _wait_for_webhooks(target, receiver, progress)
    load = target.load
    with target.database.engine() as engine:
        found = reckon(engine, load.accepted, load.answers, webhooks=plan.callbacks)
    last_known = where_lost(found, target.connection)
    facts = {"settle_seconds": settled, **_facts(target, receiver)}
    return StormResult(found, faults, uncollected, last_known, facts)


def _environment(
    settings: Settings, database: LogDatabase, folder: Path, receiver: FlakyReceiver | None
) -> dict[str, str]:
    """Returns the variables of the workers, without the MODERATION_* of whoever runs this."""
    ours = {
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "DATABASE_URL": database.url,
        "ALLOWED_ROOTS": str(folder / "images"),
        "VISIBILITY_TIMEOUT_SECONDS": str(_VISIBILITY_SECONDS),
        # A photograph takes 10 ms, the slow hostile image seconds.
        "DECODE_TIMEOUT_SECONDS": "1",
        "CONCURRENCY": "16",
        "THREADS": "1",
    }
    if receiver:
        ours |= {"CALLBACK_URLS": receiver.url, "CALLBACK_SECRETS": receiver.secret}
    return clean_environment(**{PREFIX + name: value for name, value in ours.items()})


def _strike_all(plan: StormPlan, target: Target, progress: Status) -> list[Fault]:
    """Does all faults when they are due; returns them once the load is done too."""
    started = time.monotonic()
    done: list[Fault] = []
    for due, kind in schedule(plan.faults, plan.spacing, target.random):
        while time.monotonic() - started < due:
            _look_after(target, pause=0.1)
        accepted, number = len(target.load.accepted), len(done) + 1
        progress.update(
            f"fault {number} of {len(FAULTS) * plan.faults}: {kind}; {accepted} accepted"
        )
        done.append(strike(kind, target, started))
    progress.update("submitting the rest")
    while not target.load.is_done:
        _look_after(target)
    return done


def _look_after(target: Target, pause: float = 0.5) -> None:
    """Replaces workers that ended by themselves, as a supervisor does, and waits a moment.

    Raises:
        RuntimeError: the load failed.
    """
    target.crew.tend()
    if target.load.failures:
        raise RuntimeError("the host failed") from target.load.failures[0]
    time.sleep(pause)


def _settle(target: Target, progress: Status) -> list[str]:
    """Waits until all is final and collected; returns what cannot be collected by then."""
    accepted = target.load.accepted
    patience = Patience()
    with target.database.engine() as engine:
        while (final := count_final(engine, accepted)) < len(accepted) and patience.lasts(final):
            progress.update(f"waiting until all is final: {final} of {len(accepted)}")
            _look_after(target)
    progress.update("collecting answers")
    patience = Patience()
    while (left := target.load.collect()) and patience.lasts(len(left)):
        _look_after(target)
    return left


class Patience:
    """Lasts while there is progress, and for some seconds after the last of it."""

    def __init__(self) -> None:
        self._seen: int | None = None
        self._since = time.monotonic()
        self._until = self._since + _LONGEST_SETTLE

    def lasts(self, count: int) -> bool:
        """Whether to go on waiting, now that the count is this."""
        now = time.monotonic()
        if count != self._seen:
            self._seen, self._since = count, now
        return now < min(self._since + _SETTLE_SECONDS, self._until)


def _wait_for_webhooks(target: Target, receiver: FlakyReceiver, progress: Status) -> None:
    """Waits until the receiver has the answers to all requests, while it gets more of them."""
    progress.update("waiting for webhooks")
    names = {one.request_id for one in target.load.accepted}
    patience = Patience()
    while not names <= receiver.requests and patience.lasts(len(receiver.requests)):
        _look_after(target)


def _facts(target: Target, receiver: FlakyReceiver | None) -> dict[str, Any]:
    """Returns what else happened."""
    return {
        "came_back": target.crew.sum_logged(_CAME_BACK),
        "worker_restarts": target.crew.count_logged("starts again in"),
        "workers_that_gave_up": target.crew.gave_up,
        "refused_submits": dict(target.load.refused),
        "collected": len(target.load.answers),
        "poison_messages": dict(target.poison_messages),
        "webhooks": receiver.as_json() if receiver else None,
    }


def _setup(plan: StormPlan, server: RedisWithFile, database: LogDatabase) -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        **vars(plan),
        "settle_seconds": _SETTLE_SECONDS,
        "visibility_seconds": _VISIBILITY_SECONDS,
        "redis": f"{server.version}, append-only file, appendfsync {plan.appendfsync}",
        "database": database.version,
        "outage": database.outage,
    }
