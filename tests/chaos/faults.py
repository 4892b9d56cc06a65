"""The faults: what each does, and the order in which they come."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, NamedTuple, cast

import psutil
import redis

from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import UNACKED
from tests.chaos.databases import Database
from tests.chaos.images import HOSTILE
from tests.chaos.load import Load
from tests.chaos.servers import Crew, RedisServer

#: So many requests go at once before a fault, so that it meets some in hand.
BURST = 8
#: How long to wait for something in hand.
_PATIENCE = 3.0
_COPIES = 3


class Fault(NamedTuple):
    """One that happened.

    Attributes:
        kind: of which kind.
        at: when, in seconds from the start.
        detail: what exactly was done.
        in_hand: requests that workers had in hand just before.
        waiting: requests that waited in the queues.
    """

    kind: str
    at: float
    detail: str
    in_hand: int
    waiting: int


@dataclass
class Site:
    """What faults are done to."""

    server: RedisServer
    database: Database
    crew: Crew
    load: Load
    connection: redis.Redis
    random: random.Random
    #: Raw garbage that was put into queues, which is no request of anybody.
    poison_messages: Counter[str] = field(default_factory=Counter)
    redis_stops: Iterator[bool] = field(default_factory=lambda: cycle((True, False)))
    #: Messages that were seen, to be put into a queue again when they have long been answered.
    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def depth(self) -> tuple[int, int]:
        """Returns how many requests are in hand, and how many wait."""
        with suppress(redis.RedisError):
            waiting = [self.connection.llen(name) for name in QUEUES.values()]
            return int(self.connection.hlen(UNACKED)), sum(map(int, waiting))
        return 0, 0


def schedule(each: int, spacing: float, chooser: random.Random) -> list[tuple[float, str]]:
    """Returns when each fault is due, in seconds, and its kind: round by round in random order."""
    kinds = [kind for _ in range(each) for kind in chooser.sample(list(FAULTS), len(FAULTS))]
    return [
        (spacing * (place + chooser.uniform(0.1, 0.9)), kind) for place, kind in enumerate(kinds)
    ]


def strike(kind: str, site: Site, started: float) -> Fault:
    """Does one fault of that kind, with requests in hand where the load has any left."""
    site.load.hurry(BURST)
    in_hand, waiting = _wait_for_work(site)
    there = _messages(site)
    at = time.monotonic() - started
    fault = Fault(kind, round(at, 2), FAULTS[kind](site), in_hand, waiting)
    # By the first redelivery all may be answered.
    site.seen = site.seen or there[:_COPIES]
    return fault


def _messages(site: Site) -> list[tuple[str, bytes]]:
    """Returns the messages that are in hand or wait at the head of a queue; none without Redis."""
    with suppress(redis.RedisError):
        return [*_in_hand(site), *_waiting(site)]
    return []


def _wait_for_work(site: Site) -> tuple[int, int]:
    """Returns what is in hand and waiting, once something is or the patience is over."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        in_hand, waiting = site.depth()
        if in_hand or site.load.is_done or time.monotonic() > deadline:
            return in_hand, waiting
        time.sleep(0.01)


def _kill_worker(site: Site) -> str:
    killed = site.crew.kill_oldest()
    return f"SIGKILL to {killed.name}"


def _kill_decoder(site: Site) -> str:
    """Kills a decoder; waits for one where all workers are starting."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        decoders = [one for worker in site.crew.workers for one in worker.decoders()]
        if decoders:
            chosen = site.random.choice(decoders)
            with suppress(psutil.NoSuchProcess):
                chosen.kill()
                return f"SIGKILL to decoder {chosen.pid}"
        site.crew.tend()
        time.sleep(0.05)
    raise RuntimeError("no worker has a decoder")


def _restart_redis(site: Site) -> str:
    kill = next(site.redis_stops)
    away = site.random.uniform(0.2, 1.5)
    site.server.stop(kill=kill)
    time.sleep(away)
    site.server.start()
    return f"{'SIGKILL' if kill else 'SHUTDOWN'}, away for {away:.1f} s"


def _stop_database(site: Site) -> str:
    away = site.random.uniform(1.0, 3.0)
    site.database.stop()
    time.sleep(away)
    site.database.start()
    return f"{site.database.outage}, away for {away:.1f} s"


def _redeliver(site: Site) -> str:
    """Puts copies into the queues: of messages in hand, waiting, and answered long ago."""
    done = Counter[str]()
    copies = {"in hand": _in_hand(site), "waiting": _waiting(site), "answered": site.seen[:_COPIES]}
    for where, messages in copies.items():
        for queue, message in messages[:_COPIES]:
            site.connection.rpush(queue, message)  # this end is taken first
            done[where] += 1
    fresh = [*copies["in hand"], *copies["waiting"]]
    site.seen = [*site.seen[_COPIES:], *fresh[:_COPIES]]
    if not done:
        raise RuntimeError("there was no message to deliver again")
    return ", ".join(f"{count} {where}" for where, count in done.items())


def _in_hand(site: Site) -> list[tuple[str, bytes]]:
    found = cast(dict[bytes, bytes], site.connection.hgetall(UNACKED))
    entries = [json.loads(value) for value in found.values()]
    return [(str(queue), json.dumps(message).encode()) for message, _, queue in entries]


def _waiting(site: Site) -> list[tuple[str, bytes]]:
    found = [(queue, cast(Any, site.connection.lindex(queue, 0))) for queue in QUEUES.values()]
    return [(queue, message) for queue, message in found if message]


def _poison(site: Site) -> str:
    """Submits what harms, one of each kind, and puts garbage of each kind into the queue."""
    number = site.poison_messages.total()
    kinds = (*HOSTILE, "missing")
    for kind in kinds:
        site.load.submit_hostile(kind, number)
    for kind, make in GARBAGE.items():
        site.connection.rpush(QUEUES["interactive"], make())
        site.poison_messages[kind] += 1
    return f"submitted: {', '.join(kinds)}; put into the queue: {', '.join(GARBAGE)}"


def _message(
    body: bytes, *, task: str = TASK_NAME, content_type: str = "application/json"
) -> bytes:
    """Returns a message as kombu writes it."""
    name = f"poison-{uuid.uuid4()}"
    delivery = {"exchange": "", "routing_key": QUEUES["interactive"]}
    properties = {
        "correlation_id": name,
        "delivery_mode": 2,
        "delivery_info": delivery,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"lang": "py", "task": task, "id": name, "root_id": name, "retries": 0},
            "properties": properties,
        }
    ).encode()


def _arguments(request: Any) -> bytes:
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return json.dumps([[], {"request": request}, embedded]).encode()


class _Pickled:
    """Unpickled, it would end the worker."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (1,)


#: Raw garbage by kind.
GARBAGE: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: os.urandom(200),
    "no object": lambda: b"[1, 2]",
    "unknown task": lambda: _message(_arguments({}), task="os.system"),
    "wrong schema": lambda: _message(_arguments({"schema_version": 99, "image": 7})),
    "pickled": lambda: _message(
        pickle.dumps(_Pickled()), content_type="application/x-python-serialize"
    ),
    "cut body": lambda: _message(_arguments({"policies": ["weapons"]})[:20]),
}

#: By kind; each returns what exactly it did.
FAULTS: dict[str, Callable[[Site], str]] = {
    "worker-kill": _kill_worker,
    "decoder-kill": _kill_decoder,
    "redis-restart": _restart_redis,
    "database-stop": _stop_database,
    "redelivery": _redeliver,
    "poison": _poison,
}
