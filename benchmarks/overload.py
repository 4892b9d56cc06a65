"""A load of twice what a worker can do: what submitters hear, what fills up, what is lost.

    python benchmarks/overload.py [--seconds 120] [--factor 2] [--queue-length N] [--json FILE]

On loopback: a Redis, a worker with the starter encoder, and a decision log in SQLite in a temporary
folder. First the worker's speed is measured, with every request in its queue; then requests come at
a steady rate of so many times that, images as bytes, each a different file. A submission that is
refused is dropped, as by a web app that answers "try again later". In the end the log is asked for
each accepted request. Exits with 1 where one has no answer, or more than one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import redis
from rich.console import Console
from sqlalchemy import func, select

from benchmarks import program
from moderation.client.client import Client
from moderation.decision_log.log import open_log
from moderation.decision_log.tables import submissions
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.errors import ModerationError
from moderation.policy import starter_policies
from moderation.queue.celery_app import connect
from moderation.queue.depth import look_at_depths
from moderation.settings import Settings, load_settings
from tests.chaos.images import Photographs

console = Console(stderr=True)

_POLICY, _SUBMITTERS = "weapons", 8
_WARM_UP, _MEASURED = 50, 300


def capacity(client: Client, photographs: Photographs) -> float:
    """Returns images per second with all of them in the queue at once."""
    for first, count in ((0, _WARM_UP), (_WARM_UP, _MEASURED)):
        images = [photographs.cut(number) for number in range(first, first + count)]
        begun = time.perf_counter()
        ids = [client.submit(image, _POLICY) for image in images]
        for request_id in ids:
            client.collect(request_id)
    return _MEASURED / (time.perf_counter() - begun)


def overload(
    client: Client, photographs: Photographs, rate: float, seconds: float
) -> tuple[list[str], Counter[str]]:
    """Submits at a rate; returns the accepted ids, and how often each error refused a request."""
    due = threading.Semaphore(0)
    numbers = iter(range(10**6, 10**9))
    accepted: list[str] = []
    refused: Counter[str] = Counter()
    over = threading.Event()

    def submit() -> None:
        while due.acquire() and not over.is_set():
            try:
                accepted.append(client.submit(photographs.cut(next(numbers)), _POLICY))
            except ModerationError as error:
                refused[type(error).__name__] += 1

    with ThreadPoolExecutor(_SUBMITTERS) as pool:
        for _ in range(_SUBMITTERS):
            pool.submit(submit)
        begun, sent = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            wanted = int(passed * rate)
            due.release(max(1, wanted - sent)) if wanted > sent else time.sleep(0.005)
            sent = max(sent, wanted)
        over.set()
        due.release(_SUBMITTERS)
    return accepted, refused


def drain(connection: redis.Redis, patience: float = 120) -> float:
    """Returns the seconds until nothing waits or is in hand; gives up without progress."""
    begun = last = time.monotonic()
    left = _unfinished(connection)
    while left and time.monotonic() - last < patience:
        time.sleep(0.2)
        if (now := _unfinished(connection)) != left:
            left, last = now, time.monotonic()
    return time.monotonic() - begun


def _unfinished(connection: redis.Redis) -> int:
    state = look_at_depths(connection)
    return state.in_hand + sum(queue.depth for queue in state.queues)


def ledger(settings: Settings, accepted: Sequence[str]) -> dict[str, int]:
    """Returns how the accepted requests ended, according to the decision log."""
    with open_log(settings) as log, log.engine.connect() as connection:
        asked = select(submissions.c.request_id, submissions.c.outcome, func.count()).group_by(
            submissions.c.request_id, submissions.c.outcome
        )
        found = {row[0]: (row[1], row[2]) for row in connection.execute(asked)}
    ended = Counter(found[name][0] if name in found else "lost" for name in accepted)
    doubled = sum(found[name][1] > 1 for name in accepted if name in found)
    return {
        "submitted": len(accepted),
        "decided": ended["decided"],
        "quarantined": ended["quarantined"],
        "lost": ended["lost"],
        "duplicated": doubled + len(accepted) - len(set(accepted)),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Returns everything that was found."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="evenhand-overload-"))
        server = stack.enter_context(EmbeddedRedis())
        limits = {"max_queue_length": given.queue_length} if given.queue_length else {}
        url = f"sqlite:///{folder}/decisions.db"
        settings = load_settings(
            broker_url=server.url, database_url=url, verdict_timeout_seconds=120, **limits
        )
        served = (word for path in starter_policies() for word in ("--policy", str(path)))
        options = ["--model", "starter", *served]
        environment = {"MODERATION_DATABASE_URL": url, "MODERATION_LOG_LEVEL": "warning"}
        worker = stack.enter_context(EmbeddedWorker(settings, options, environment))
        client, photographs = Client(settings), Photographs(seed=7)
        speed = capacity(client, photographs)
        rate = given.factor * speed
        console.print(f"{speed:.1f} images/s; now {rate:.1f}/s for {given.seconds:g} s ...")
        connection = stack.enter_context(connect(settings))
        redis_mb: list[float] = []
        worker_mb: list[float] = []

        def look() -> None:
            redis_mb.append(connection.info("memory")["used_memory"] / 1e6)
            worker_mb.append(program.memory_mb(worker.process.pid))

        with program.Watch(look, seconds=1):
            accepted, refused = overload(client, photographs, rate, given.seconds)
            drained = drain(connection)
        return {
            "capacity": speed,
            "rate": rate,
            "seconds": given.seconds,
            "max_queue_length": settings.max_queue_length,
            "refused": dict(refused),
            "ledger": ledger(settings, accepted),
            "drained_seconds": drained,
            "redis_mb": {"first": redis_mb[0], "most": max(redis_mb)},
            "worker_mb": {"first": worker_mb[0], "most": max(worker_mb)},
            **program.machine(),
        }


def main() -> int:
    """Runs it and prints what was found as JSON; returns the exit code."""
    parser = program.new_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long")
    parser.add_argument("--factor", type=float, default=2.0, help="times the worker's speed")
    parser.add_argument("--queue-length", type=int, help="MODERATION_MAX_QUEUE_LENGTH")
    given = parser.parse_args()
    found = measure(given)
    print(json.dumps(found, indent=1))
    program.write_json(given.json, found)
    return int(bool(found["ledger"]["lost"] or found["ledger"]["duplicated"]))


if __name__ == "__main__":
    program.run(main)
