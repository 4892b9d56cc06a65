"""A host in a process of its own: submits to one side of the throughput benchmark, and collects.

    python -m benchmarks.host_process SIDE

Lines of JSON come in: first the broker's URL, then one order after another; `hosts` sends them. For
each, one line goes out. Requests that are many are collected the same way on every side, as cheaply
as a host can: one MGET for those that have waited longest, at a steady pace. A request that comes
alone is waited for with what a user of that side calls.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import redis

from benchmarks.echo_task import ECHO, ECHO_QUEUE, ECHO_TASK, create_echo_app
from benchmarks.label_set import POLICY_ID, PROMPTS
from benchmarks.photographs import Copies
from benchmarks.rivals import create_rival_app, task_name
from moderation.client.client import Client, collect_pauses
from moderation.messages import ModerationResponse
from moderation.queue.celery_app import connect, create_app
from moderation.settings import Settings, load_settings

OURS = "ours"
#: The longest that one image may take on the slowest side, with its wait.
ANSWER_SECONDS = 300.0


class _Looks(NamedTuple):
    """How often answers are looked for, in seconds, and for how many at a time."""

    pace: float
    at_a_time: int


#: Where each latency counts, all that wait are looked for, and often. Where only the last answer
#: does, those that have waited longest, so that looks cost next to nothing beside requests.
_LOOKS_OF_LATENCY, _LOOKS_OF_SPEED = _Looks(0.005, 1000), _Looks(0.02, 32)


class _Host(Protocol):
    """What submits to one side."""

    def submit(self, photograph: str) -> str:
        """Returns the id of a new request."""

    def key(self, request_id: str) -> str:
        """Returns where the answer will lie in Redis."""

    def wait(self, request_id: str) -> None:
        """Returns once the answer is there, as a user of this side waits."""

    def scores(self, result: Any) -> dict[str, float]:
        """Returns the scores of an answer."""


class _OurHost:
    def __init__(self, settings: Settings) -> None:
        self._client = Client(settings)
        self._backend = create_app(settings).backend

    def submit(self, photograph: str) -> str:
        return self._client.submit(Path(photograph), POLICY_ID)

    def key(self, request_id: str) -> str:
        return _text(self._backend.get_key_for_task(request_id))

    def wait(self, request_id: str) -> None:
        self._client.collect(request_id, timeout_seconds=ANSWER_SECONDS)

    def scores(self, result: Any) -> dict[str, float]:
        [verdict] = ModerationResponse.read(result).verdicts
        return dict(zip(PROMPTS, (label.score for label in verdict.labels), strict=True))


class _TaskHost:
    def __init__(self, side: str, broker_url: str) -> None:
        if side == ECHO:
            self._app, self._task, self._queue = create_echo_app(broker_url), ECHO_TASK, ECHO_QUEUE
        else:
            self._app = create_rival_app(side, broker_url)
            self._task, self._queue = task_name(side), f"rival-{side}"

    def submit(self, photograph: str) -> str:
        return str(self._app.send_task(self._task, args=[photograph], queue=self._queue).id)

    def key(self, request_id: str) -> str:
        return _text(self._app.backend.get_key_for_task(request_id))

    def wait(self, request_id: str) -> None:
        for pause in collect_pauses(ANSWER_SECONDS):
            meta = self._app.backend.get_task_meta(request_id)
            if meta["status"] == "FAILURE":
                raise RuntimeError(str(meta["result"]))
            if meta["status"] == "SUCCESS":
                return
            time.sleep(pause)
        raise TimeoutError("there was no answer in time")

    def scores(self, result: Any) -> dict[str, float]:
        return dict(result)


def _text(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key


class _Collector:
    """Looks for the answers of many requests with one command, at a steady pace."""

    def __init__(self, connection: redis.Redis, looks: _Looks) -> None:
        self._connection, self._looks = connection, looks
        self._looked = self._moved = time.monotonic()
        self.waiting: dict[str, int] = {}
        #: By the place of its request: when an answer was seen, and what it is.
        self.seen: dict[int, tuple[float, Any]] = {}

    def expect(self, key: str, place: int) -> None:
        """Notes a request that was submitted."""
        self.waiting[key] = place
        self._moved = time.monotonic()

    def look_when_due(self) -> float:
        """Looks, if it is time; returns the seconds until the next look."""
        if (left := self._looked + self._looks.pace - time.monotonic()) > 0:
            return left
        keys = list(islice(self.waiting, self._looks.at_a_time))
        values: Any = self._connection.mget(keys) if keys else []
        self._looked = now = time.monotonic()
        for key, value in zip(keys, values, strict=True):
            if value is not None:
                self._note(key, json.loads(value), now)
        if self.waiting and now > self._moved + ANSWER_SECONDS:
            raise TimeoutError(f"{len(self.waiting)} requests have no answer")
        if keys and all(values):
            self._looked -= self._looks.pace  # more may be there
            return 0.0
        return self._looks.pace

    def _note(self, key: str, meta: Mapping[str, Any], now: float) -> None:
        if meta["status"] == "FAILURE":
            raise RuntimeError(str(meta["result"]))
        if meta["status"] == "SUCCESS":
            self.seen[self.waiting.pop(key)] = now, meta["result"]
            self._moved = now


def submit_when_due(
    host: _Host, connection: redis.Redis, photographs: Sequence[str], due: Sequence[float] | None
) -> dict[str, Any]:
    """Returns when each was answered, all counted from when it was due.

    Args:
        host: of the side.
        connection: to its Redis.
        photographs: paths.
        due: times of the monotonic clock, ascending; None means at once, and then counts from when
            each was submitted.
    """
    collector = _Collector(connection, _LOOKS_OF_LATENCY if due else _LOOKS_OF_SPEED)
    core = time.process_time()
    begun: list[float] = []
    while len(begun) < len(photographs) or collector.waiting:
        pause, place = collector.look_when_due(), len(begun)
        if place < len(photographs):
            now = time.monotonic()
            at = due[place] if due else now
            if at <= now:
                begun.append(at)
                collector.expect(host.key(host.submit(photographs[place])), place)
                continue
            pause = min(pause, at - now)
        time.sleep(pause)
    core = time.process_time() - core
    answers = [collector.seen[place] for place in range(len(begun))]
    return {
        "first": begun[0],
        "last": max(at for at, _ in answers),
        "latencies": [at - start for start, (at, _) in zip(begun, answers, strict=True)],
        "core_seconds": core,
        "scores": [host.scores(result) for _, result in answers],
    }


def submit_in_turn(
    host: _Host, photographs: Sequence[str], folder: Path, seconds: float
) -> dict[str, Any]:
    """Returns the latencies of new copies, each submitted when the one before it is answered.

    It goes on for about so long, and until each photograph had its turn.
    """
    copies, core, begun = Copies(folder), time.process_time(), time.monotonic()
    latencies: list[float] = []
    for photograph in cycle(photographs):
        new = copies.new(Path(photograph))
        start = time.monotonic()
        host.wait(host.submit(str(new)))
        latencies.append(time.monotonic() - start)
        new.unlink()
        if time.monotonic() > begun + seconds and len(latencies) >= len(photographs):
            break
    core = time.process_time() - core
    last = time.monotonic()
    return {"first": begun, "last": last, "latencies": latencies, "core_seconds": core}


def main() -> None:
    """Obeys the orders of standard input until its end."""
    side, broker_url = sys.argv[1], json.loads(sys.stdin.readline())
    settings = load_settings(broker_url=broker_url)
    host: _Host = _OurHost(settings) if side == OURS else _TaskHost(side, broker_url)
    connection = connect(settings)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "folder" in order:
                done = submit_in_turn(
                    host, order["photographs"], Path(order["folder"]), order["seconds"]
                )
            else:
                done = submit_when_due(host, connection, order["photographs"], order["due"])
        except Exception as error:
            done = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
