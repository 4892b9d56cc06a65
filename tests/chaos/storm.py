"""One run: servers, workers and load, then faults, then the reckoning."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.client.client import Client
from moderation.queue.celery_app import connect
from moderation.settings import PREFIX, Settings, load_settings
from tests.chaos.databases import Database, make_database
from tests.chaos.faults import BURST, FAULTS, Fault, Site, schedule, strike
from tests.chaos.ledger import Audit, audit, count_final
from tests.chaos.load import Load
from tests.chaos.receiver import Receiver
from tests.chaos.report import Progress, where_lost
from tests.chaos.servers import Crew, RedisServer

#: However much progress there is.
_LONGEST_SETTLE = 600.0


@dataclass(frozen=True)
class Plan:
    """How much happens.

    Attributes:
        submissions: photographs that are submitted.
        faults: of each kind.
        workers: processes.
        database: sqlite or postgresql.
        spacing: seconds from one fault to the next, on average.
        settle_seconds: after the load, what becomes final is waited for; so long without progress.
        appendfsync: when Redis writes its file.
        callbacks: whether answers are sent as webhooks too.
        visibility_seconds: after how long a request of a dead worker goes to another.
        seed: of images and faults.
    """

    submissions: int = 2000
    faults: int = 10
    workers: int = 2
    database: str = "sqlite"
    spacing: float = 4.0
    settle_seconds: float = 75.0
    appendfsync: str = "always"
    callbacks: bool = False
    visibility_seconds: int = 10
    seed: int = 7

    @property
    def rate(self) -> float:
        """Requests a second beside the bursts, so that the load lasts as long as the faults."""
        faults = len(FAULTS) * self.faults
        steady = max(self.submissions - BURST * faults, self.submissions / 3)
        return steady / (self.spacing * faults)


@dataclass(frozen=True)
class Outcome:
    """Everything that was found; `uncollected` requests are final, and their host was not told."""

    audit: Audit
    faults: list[Fault]
    uncollected: list[str]
    states: dict[str, str]
    facts: dict[str, Any]
    setup: dict[str, Any]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, wrong or left untold."""
        return self.audit.is_clean and not self.uncollected

    def as_json(self) -> dict[str, Any]:
        """Returns it as plain JSON."""
        kinds = [fault.kind for fault in self.faults]
        return {
            "ledger": self.audit.ledger.as_json(),
            "faults": {kind: kinds.count(kind) for kind in FAULTS},
            **self.facts,
            "findings": self.audit.findings,
            "uncollected": self.uncollected,
            "last_known": self.states,
            "quarantined": self.audit.quarantined,
            "other_answers": self.audit.others,
            "setup": self.setup,
            "fault_log": [fault._asdict() for fault in self.faults],
        }


def storm(plan: Plan, folder: Path) -> Outcome:
    """Returns what the faults did to the requests of the load."""
    started = time.monotonic()
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(plan.submissions, len(FAULTS) * plan.faults))
        progress.says("starting Redis and the database")
        server = stack.enter_context(RedisServer(folder / "redis", plan.appendfsync))
        database = stack.enter_context(make_database(plan.database, folder / plan.database))
        receiver = stack.enter_context(Receiver()) if plan.callbacks else None
        settings = load_settings(broker_url=server.url, max_queue_length=500)
        environment = _environment(plan, settings, database, folder, receiver)
        progress.says("starting workers")
        crew = stack.enter_context(Crew(plan.workers, folder / "workers", environment))
        crew.wait_until_ready(settings)
        client = Client(settings)
        images = folder / "images"
        load = stack.enter_context(
            Load(client, plan.submissions, plan.rate, images, seed=plan.seed)
        )
        connection = stack.enter_context(connect(settings))
        site = Site(server, database, crew, load, connection, random.Random(plan.seed))
        outcome = _struck(plan, site, receiver, progress)
        outcome.setup.update(_setup(plan, server, database))
        progress.says("ending workers")
        crew.stop()
        left = [f"{process.pid} {process.name()}" for process in crew.left_behind()]
        seconds = round(time.monotonic() - started, 1)
        outcome.facts.update(left_behind=left, seconds=seconds)
        return outcome


def _struck(plan: Plan, site: Site, receiver: Receiver | None, progress: Progress) -> Outcome:
    """Does all faults, waits until all has settled, and returns what the log says then."""
    faults = _strike_all(plan, site, progress)
    submitted = time.monotonic()
    uncollected = _settle(plan, site, progress)
    settled = round(time.monotonic() - submitted, 1)
    if receiver:
        _wait_for_webhooks(plan, site, receiver, progress)
    load, engine = site.load, site.database.engine()
    found = audit(engine, load.accepted, load.answers, webhooks=plan.callbacks)
    engine.dispose()
    states = where_lost(found, site.connection)
    facts = {"settle_seconds": settled, **_facts(site, receiver)}
    return Outcome(found, faults, uncollected, states, facts, {})


def _environment(
    plan: Plan, settings: Settings, database: Database, folder: Path, receiver: Receiver | None
) -> dict[str, str]:
    """Returns the variables of the workers; none of MODERATION_* is whoever's who runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "DATABASE_URL": database.url,
        "ALLOWED_ROOTS": str(folder / "images"),
        "VISIBILITY_TIMEOUT_SECONDS": str(plan.visibility_seconds),
        # An image of ours takes 10 ms; one that means harm takes seconds.
        "DECODE_TIMEOUT_SECONDS": "1",
        "CONCURRENCY": "8",
        "THREADS": "1",
    }
    if receiver:
        ours |= {"CALLBACK_URLS": receiver.url, "CALLBACK_SECRETS": receiver.secret}
    return kept | {PREFIX + name: value for name, value in ours.items()}


def _strike_all(plan: Plan, site: Site, progress: Progress) -> list[Fault]:
    """Does all faults when they are due; returns them once the load is done too."""
    started = time.monotonic()
    done: list[Fault] = []
    for due, kind in schedule(plan.faults, plan.spacing, site.random):
        while time.monotonic() - started < due:
            _look_after(site, progress)
            time.sleep(0.1)
        progress.says(kind)
        done.append(strike(kind, site, started))
        progress.struck(len(done))
    progress.says("submitting the rest")
    while not site.load.is_done:
        _look_after(site, progress)
        time.sleep(0.1)
    return done


def _look_after(site: Site, progress: Progress) -> None:
    """Starts workers anew that ended by themselves, as a supervisor does.

    Raises:
        RuntimeError: the load failed.
    """
    site.crew.tend()
    progress.submitted(len(site.load.accepted))
    if site.load.failures:
        raise RuntimeError("the host failed") from site.load.failures[0]


def _settle(plan: Plan, site: Site, progress: Progress) -> list[str]:
    """Waits until all is final and collected; returns what cannot be collected by then."""
    engine = site.database.engine()
    accepted = site.load.accepted
    progress.says("waiting until all is final")
    patience = Patience(plan.settle_seconds)
    while (final := count_final(engine, accepted)) < len(accepted) and patience.lasts(final):
        _look_after(site, progress)
        progress.final(final)
        time.sleep(0.5)
    progress.final(final)
    engine.dispose()
    progress.says("collecting answers")
    patience = Patience(plan.settle_seconds)
    while (left := site.load.collect()) and patience.lasts(len(left)):
        _look_after(site, progress)
        time.sleep(0.5)
    return left


class Patience:
    """Lasts while there is progress, and so many seconds after the last of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: int | None = None
        self._since = time.monotonic()
        self._until = self._since + _LONGEST_SETTLE

    def lasts(self, count: int) -> bool:
        """Whether to go on waiting, now that the count is this."""
        now = time.monotonic()
        if count != self._seen:
            self._seen, self._since = count, now
        return now < min(self._since + self._seconds, self._until)


def _wait_for_webhooks(plan: Plan, site: Site, receiver: Receiver, progress: Progress) -> None:
    """Waits until the receiver was told of all requests, while it is told of more."""
    progress.says("waiting for webhooks")
    names = {one.request_id for one in site.load.accepted}
    patience = Patience(plan.settle_seconds)
    while not names <= receiver.told and patience.lasts(len(receiver.told)):
        _look_after(site, progress)
        time.sleep(0.5)


def _facts(site: Site, receiver: Receiver | None) -> dict[str, Any]:
    """Returns what else happened."""
    return {
        "sent_again": site.crew.said("sent again: it was lost"),
        "worker_restarts": site.crew.said("starts anew in"),
        "workers_that_gave_up": site.crew.gave_up,
        "refused_submits": dict(site.load.refused),
        "collected": len(site.load.answers),
        "poison_messages": dict(site.poison_messages),
        "webhooks": receiver.as_json() if receiver else None,
    }


def _setup(plan: Plan, server: RedisServer, database: Database) -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "redis": f"{server.version}, append-only file, appendfsync {plan.appendfsync}",
        "database": database.version(),
        "outage": database.outage,
        **{name: value for name, value in vars(plan).items() if name != "database"},
    }
