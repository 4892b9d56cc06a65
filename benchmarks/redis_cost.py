"""What one request costs Redis: commands, seconds of its core, bytes while it waits and after.

    python benchmarks/redis_cost.py [--requests 400] [--policy weapons]... [--json FILE] [--quick]

Setup: a redis-server and one worker of our own on loopback, the starter encoder, one photograph
sent by path. First requests are submitted without a worker, for what they weigh; then as many again
with one, each collected with one look, for the commands they take. The figures are the server's
own: INFO commandstats, cpu and memory, less what an idle worker asks. Commands that a script runs
count beside the script. Last comes how fast one
client of redis-py is answered, one command at a time and in pipelines, and how long a look at the
queues takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks import program
from moderation.client.client import Client
from moderation.commands.samples import sample_photographs
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.messages import QUEUES
from moderation.policy import starter_policies
from moderation.queue.celery_app import connect
from moderation.queue.depth import look_at_depths
from moderation.settings import Settings, load_settings

#: What this program itself asks, and nobody else, which no figure holds.
_OWN = {"info", "touch"}
_IDLE_SECONDS, _PIPELINE, _MESSAGE_BYTES, _WARM_UP = 3.0, 100, 1500, 128


class Given(NamedTuple):
    """How many requests of which image, for which policies."""

    requests: int
    policies: list[str]
    image: Path


class Counters(NamedTuple):
    """What the server has counted since it was started."""

    calls: dict[str, int]
    core_seconds: float
    memory_bytes: int

    def since(self, before: Counters) -> Counters:
        """Returns what was counted between the two."""
        calls = {
            name: count - before.calls.get(name, 0)
            for name, count in sorted(self.calls.items())
            if count > before.calls.get(name, 0) and name not in _OWN
        }
        seconds = self.core_seconds - before.core_seconds
        return Counters(calls, seconds, self.memory_bytes - before.memory_bytes)


def read_counters(connection: redis.Redis) -> Counters:
    """Returns the server's counters."""
    stats = connection.info("commandstats")
    cpu, memory = connection.info("cpu"), connection.info("memory")
    return Counters(
        {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()},
        cpu["used_cpu_sys"] + cpu["used_cpu_user"],
        # Without the buffers of clients, whose size the server changes as it likes.
        memory["used_memory"] - memory["mem_clients_normal"],
    )


def wait_until_answered(connection: redis.Redis, ids: Sequence[str]) -> None:
    """Returns once all requests have a result; at first it looks for the last one's alone."""
    keys = [f"celery-task-meta-{request_id}" for request_id in ids]
    for asked in (keys[-1:], keys):
        while connection.touch(*asked) < len(asked):  # how many there are
            time.sleep(0.2)


def submit_and_weigh(client: Client, connection: redis.Redis, given: Given) -> tuple[float, float]:
    """Submits, then starts a worker; returns the bytes of a waiting request and of a result."""
    first = client.submit(given.image, given.policies)  # so that the connection is there
    before = read_counters(connection)
    ids = [client.submit(given.image, given.policies) for _ in range(given.requests)]
    waiting = read_counters(connection).since(before).memory_bytes
    with running_worker(client.settings, given):
        wait_until_answered(connection, [first, *ids])
    before = read_counters(connection)
    connection.delete(*(f"celery-task-meta-{request_id}" for request_id in ids))
    kept = -read_counters(connection).since(before).memory_bytes
    return waiting / given.requests, kept / given.requests


def count_commands(client: Client, connection: redis.Redis, given: Given) -> dict[str, Any]:
    """Returns commands and seconds of a core, of one request and of one idle worker in a second."""
    with running_worker(client.settings, given):
        # A worker may open further connections when much is to do.
        warm_up = [client.submit(given.image, given.policies) for _ in range(_WARM_UP)]
        wait_until_answered(connection, warm_up)
        start = read_counters(connection)
        time.sleep(_IDLE_SECONDS)
        idle = read_counters(connection).since(start)
        connections = connection.info("clients")["connected_clients"]
        began, start = time.monotonic(), read_counters(connection)
        ids = [client.submit(given.image, given.policies) for _ in range(given.requests)]
        wait_until_answered(connection, ids)
        for request_id in ids:
            client.collect(request_id, timeout_seconds=0)
        took = time.monotonic() - began
        asked = read_counters(connection).since(start)
    idle_share = took / _IDLE_SECONDS / given.requests
    calls = {name: count / given.requests for name, count in asked.calls.items()}
    return {
        "seconds": took,
        "commands": sum(calls.values()) - sum(idle.calls.values()) * idle_share,
        "commands_by_name": {name: count for name, count in calls.items() if count >= 0.01},
        "core_seconds": asked.core_seconds / given.requests - idle.core_seconds * idle_share,
        "idle_worker_commands_per_second": sum(idle.calls.values()) / _IDLE_SECONDS,
        "idle_worker_cores": idle.core_seconds / _IDLE_SECONDS,
        "connections": connections,
    }


def running_worker(settings: Settings, given: Given) -> EmbeddedWorker:
    """Returns a worker that reads the photograph by its path."""
    served = (word for path in starter_policies() for word in ("--policy", str(path)))
    options = ["--model", "starter", *served]
    environment = {"MODERATION_ALLOWED_ROOTS": str(given.image.parent)}
    return EmbeddedWorker(settings, options, environment)


def measure_rates(connection: redis.Redis, seconds: float) -> dict[str, float]:
    """Returns commands per second of one client: one at a time, and in pipelines of 100.

    `lpush_core_seconds` is the server's own time for one of the pipelined, with 1,500 bytes.
    """
    message = b"x" * _MESSAGE_BYTES
    pings = _repeats_per_second(connection.ping, seconds)
    before = read_counters(connection)

    def push() -> None:
        with connection.pipeline(transaction=False) as pipe:
            for _ in range(_PIPELINE):
                pipe.lpush("pushed", message)
            pipe.ltrim("pushed", 0, 0)
            pipe.execute()

    pushes = _repeats_per_second(push, seconds) * _PIPELINE
    spent = read_counters(connection).since(before)
    return {
        "ping_per_second": pings,
        "lpush_in_pipelines_per_second": pushes,
        "lpush_core_seconds": spent.core_seconds / spent.calls["lpush"],
    }


def measure_look(client: Client, connection: redis.Redis, given: Given, waiting: int) -> float:
    """Returns the milliseconds of one look at the queues while so many requests wait."""
    client.submit(given.image, given.policies)
    message = connection.lindex(QUEUES["interactive"], -1) or b""
    for _ in range(waiting // _PIPELINE):
        connection.lpush(QUEUES["interactive"], *[message] * _PIPELINE)
    looks = _repeats_per_second(lambda: look_at_depths(connection), 0.3)
    connection.delete(QUEUES["interactive"])
    return 1000 / looks


def _repeats_per_second(act: Callable[[], object], seconds: float) -> float:
    start, count = time.monotonic(), 0
    while time.monotonic() < start + seconds:
        act()
        count += 1
    return count / (time.monotonic() - start)


def measure(given: Given, rate_seconds: float) -> dict[str, Any]:
    """Returns all figures, with the setup that they hold for."""
    with EmbeddedRedis() as server:
        client = Client(load_settings(broker_url=server.url))
        with connect(client.settings) as connection:
            waiting_bytes, result_bytes = submit_and_weigh(client, connection, given)
            asked = count_commands(client, connection, given)
            rates = measure_rates(connection, rate_seconds)
            looks = {
                f"look_ms_with_{waiting}_waiting": measure_look(client, connection, given, waiting)
                for waiting in (1, 100_000)
            }
            facts = connection.info("server")
            name = "valkey" if "valkey_version" in facts else "redis"
            version = f"{name} {facts[f'{name}_version']}"
    return {
        "results": {
            **asked,
            "waiting_bytes": waiting_bytes,
            "result_bytes": result_bytes,
            "requests_per_second_of_a_core": 1 / asked["core_seconds"],
            **rates,
            **looks,
        },
        "setup": {
            "requests": given.requests,
            "policies": given.policies,
            "redis": version,
            **program.machine(),
        },
    }


def main() -> None:
    """Measures, prints the figures, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="40 requests: a look, no figures")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--policy", action="append", metavar="ID")
    asked = parser.parse_args()
    requests = 40 if asked.quick else asked.requests
    given = Given(requests, asked.policy or ["weapons"], sample_photographs()[0])
    found = measure(given, 0.3 if asked.quick else 3.0)
    for name, value in {**found["setup"], **found["results"]}.items():
        print(f"{name:32} {f'{value:.6g}' if isinstance(value, float) else value}")
    program.write_json(asked.json, found)


if __name__ == "__main__":
    program.run(main)
