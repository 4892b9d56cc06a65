"""The faults: what each of them does, and the order in which they come."""

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
from moderation.queue.keys import HAND
from moderation.queue.packed_message import pack_message
from tests.chaos.images import HOSTILE
from tests.chaos.load import HostLoad
from tests.chaos.servers import Crew, LogDatabase, RedisWithFile

#: How many requests go at once before a fault, so that it meets some in hand.
BURST = 8
#: How long to wait until something is in hand, in seconds.
_PATIENCE = 3.0
_COPIES = 3


class Fault(NamedTuple):
    """A fault that happened.

    Attributes:
        kind: which of FAULTS.
        at: when, in seconds from the start.
        detail: what exactly was done.
        in_hand: how many requests workers had in hand just before.
        waiting: how many requests waited in the queues.
    """

    kind: str
    at: float
    detail: str
    in_hand: int
    waiting: int


@dataclass
class Target:
    """What faults are done to."""

    server: RedisWithFile
    database: LogDatabase
    crew: Crew
    load: HostLoad
    connection: redis.Redis
    random: random.Random
    #: Raw garbage that was put into queues and that nobody submitted, by kind.
    poison_messages: Counter[str] = field(default_factory=Counter)
    redis_kills: Iterator[bool] = field(default_factory=lambda: cycle((True, False)))
    #: Messages that were seen before; they go into a queue again when they have been answered.
    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def depth(self) -> tuple[int, int]:
        """Returns how many requests are in hand, and how many wait."""
        with suppress(redis.RedisError):
            waiting = [self.connection.llen(name) for name in QUEUES.values()]
            return int(self.connection.hlen(HAND)), sum(map(int, waiting))
        return 0, 0


def schedule(each: int, spacing: float, chooser: random.Random) -> list[tuple[float, str]]:
    """Returns when each fault is due, in seconds, and its kind: in rounds of random order."""
    kinds = [kind for _ in range(each) for kind in chooser.sample(list(FAULTS), len(FAULTS))]
    return [
        (spacing * (place + chooser.uniform(0.1, 0.9)), kind) for place, kind in enumerate(kinds)
    ]


def strike(kind: str, target: Target, started: float) -> Fault:
    """Does one fault of that kind, with requests in hand if the load has any left."""
    target.load.hurry(BURST)
    in_hand, waiting = _wait_for_work(target)
    there = _messages(target)
    at = time.monotonic() - started
    fault = Fault(kind, round(at, 2), FAULTS[kind](target), in_hand, waiting)
    # Noted now, since by the first redelivery all of them may be answered.
    target.seen = target.seen or there[:_COPIES]
    return fault


def _messages(target: Target) -> list[tuple[str, bytes]]:
    """Returns the messages that are in hand or at the head of a queue; none without Redis."""
    with suppress(redis.RedisError):
        return [*_in_hand(target), *_waiting(target)]
    return []


def _wait_for_work(target: Target) -> tuple[int, int]:
    """Returns the depth once something is in hand, or after some patience."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        in_hand, waiting = target.depth()
        if in_hand or target.load.is_done or time.monotonic() > deadline:
            return in_hand, waiting
        time.sleep(0.01)


def _kill_decoder(target: Target) -> str:
    """Kills a decoder; waits for one if all workers are starting."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        decoders = [one for worker in target.crew.workers for one in worker.decoders()]
        if decoders:
            chosen = target.random.choice(decoders)
            with suppress(psutil.NoSuchProcess):
                chosen.kill()
                return f"SIGKILL to decoder {chosen.pid}"
        target.crew.tend()
        time.sleep(0.05)
    raise RuntimeError("no worker has a decoder")


def _restart_redis(target: Target) -> str:
    kill = next(target.redis_kills)
    away = target.random.uniform(0.2, 1.5)
    target.server.stop(kill=kill)
    time.sleep(away)
    target.server.start()
    return f"{'SIGKILL' if kill else 'SHUTDOWN'}, away for {away:.1f} s"


def _stop_database(target: Target) -> str:
    away = target.random.uniform(1.0, 3.0)
    target.database.stop()
    time.sleep(away)
    target.database.start()
    return f"{target.database.outage}, away for {away:.1f} s"


def _redeliver(target: Target) -> str:
    """Puts copies of messages into the queues: in hand, waiting, and answered long ago."""
    done = Counter[str]()
    copies = {
        "in hand": _in_hand(target),
        "waiting": _waiting(target),
        "answered": target.seen[:_COPIES],
    }
    for where, messages in copies.items():
        for queue, message in messages[:_COPIES]:
            target.connection.rpush(queue, message)  # workers take from this end
            done[where] += 1
    fresh = [*copies["in hand"], *copies["waiting"]]
    target.seen = [*target.seen[_COPIES:], *fresh[:_COPIES]]
    if not done:
        raise RuntimeError("there was no message to deliver again")
    return ", ".join(f"{count} {where}" for where, count in done.items())


def _in_hand(target: Target) -> list[tuple[str, bytes]]:
    found = cast(dict[bytes, bytes], target.connection.hgetall(HAND))
    queues = {name.encode(): queue for name, queue in QUEUES.items()}
    return [(queues[tag.rpartition(b":")[2]], message) for tag, message in found.items()]


def _waiting(target: Target) -> list[tuple[str, bytes]]:
    found = [(queue, cast(Any, target.connection.lindex(queue, 0))) for queue in QUEUES.values()]
    return [(queue, message) for queue, message in found if message]


def _poison(target: Target) -> str:
    """Submits a hostile image of each kind, and puts garbage of each kind into the queue."""
    number = target.poison_messages.total()
    kinds = (*HOSTILE, "missing")
    for kind in kinds:
        target.load.submit_hostile(kind, number)
    for kind, make in GARBAGE.items():
        target.connection.rpush(QUEUES["interactive"], make())
        target.poison_messages[kind] += 1
    return f"submitted: {', '.join(kinds)}; put into the queue: {', '.join(GARBAGE)}"


def _message(
    body: bytes, *, task: str = TASK_NAME, content_type: str = "application/json"
) -> bytes:
    """Returns a message as a host sends it, with another body."""
    message = json.loads(pack_message(task, f"poison-{uuid.uuid4()}", {}, QUEUES["interactive"]))
    message |= {"body": base64.b64encode(body).decode(), "content-type": content_type}
    return json.dumps(message).encode()


def _arguments(request: Any) -> bytes:
    return json.dumps([[], {"request": request}, {}]).encode()


class _Pickled:
    """An object that would end the worker if it were unpickled."""

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

#: By kind, what does it; each returns what exactly it did.
FAULTS: dict[str, Callable[[Target], str]] = {
    "worker-kill": lambda target: f"SIGKILL to {target.crew.kill_oldest().name}",
    "decoder-kill": _kill_decoder,
    "redis-restart": _restart_redis,
    "database-stop": _stop_database,
    "redelivery": _redeliver,
    "poison": _poison,
}
