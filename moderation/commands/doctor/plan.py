"""The plan of `moderation doctor --plan`: how many workers a load needs, from figures.

All figures are here, each with the set-up that it was measured on, or simulated for. Your own
images and machines give others: docs/scaling.md says how to measure them.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

from moderation.commands.options import TableOrJson
from moderation.commands.output import note, print_json, print_table
from moderation.errors import RequestError

_SECONDS = {"s": 1, "min": 60, "hour": 3600, "day": 86_400}
_MULTIPLES = {"": 1.0, "k": 1e3, "M": 1e6}
_RATE = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)([kM]?)/(s|min|hour|day)")


class WorkerKind(NamedTuple):
    """What one worker does on one kind of machine; memory in megabytes (10^6 bytes).

    Each of its line processes has as many requests in hand as a worker of one process.
    """

    name: str
    setup: str
    images_per_second: float
    memory_mb: float
    line_processes: int = 1


class RedisCost(NamedTuple):
    """What one request costs Redis: commands, seconds of its one core, bytes of its memory."""

    setup: str
    commands: float
    core_seconds: float
    waiting_bytes: float
    result_bytes: float


#: benchmarks/throughput.py measures these.
MEASURED_WORKERS = (
    WorkerKind(
        name="2 cores, OpenVINO",
        setup="ViT-B/32's shape in bfloat16 on 2 cores of an AMD EPYC with AVX512-BF16",
        images_per_second=35.7,
        memory_mb=1150.0,
    ),
    WorkerKind(
        name="2 cores, torch",
        setup="the same without the extra openvino",
        images_per_second=30.4,
        memory_mb=900.0,
    ),
)

#: benchmarks/simulated_machine.py computes these; nobody has measured them with this code.
SIMULATED_WORKERS = (
    WorkerKind(
        name="16 cores, OpenVINO (simulated)",
        setup="not measured: simulated, ViT-B/32's shape in bfloat16, photographs of eight sizes",
        images_per_second=250.0,
        memory_mb=2000.0,
        line_processes=2,
    ),
    WorkerKind(
        name="16 cores and a GPU (simulated)",
        setup="not measured: simulated, the same with the model on an H100",
        images_per_second=383.0,
        memory_mb=2200.0,
        line_processes=4,
    ),
)

#: benchmarks/redis_cost.py measures these.
MEASURED_REDIS = RedisCost(
    setup="Valkey 9.1 on loopback, images by path, one policy (weapons), one look at the verdict",
    commands=17.0,
    core_seconds=0.00016,
    waiting_bytes=780.0,
    result_bytes=6600.0,
)


class Load(NamedTuple):
    """What workers must carry; `utilisation` in (0, 1] is the share of their speed to plan with.

    `concurrency` is how many requests a worker has in hand, `result_seconds` how long results stay.
    """

    images_per_second: float
    peak_factor: float = 3.0
    utilisation: float = 0.7
    concurrency: int = 64
    result_seconds: int = 3600

    @property
    def peak(self) -> float:
        """Images per second at the peak."""
        return self.images_per_second * self.peak_factor


class WorkerPlan(NamedTuple):
    """Workers of one kind; `drain_seconds` is None where they never work off a backlog."""

    kind: WorkerKind
    workers: int
    memory_mb: float
    requests_in_hand: int
    drain_seconds: float | None


class RedisPlan(NamedTuple):
    """What the load asks of Redis at its peak; a backlog is an hour of that, by path or URL."""

    cost: RedisCost
    commands_per_second: float
    busy_cores: float
    result_mb: float
    backlog_mb: float


class Plan(NamedTuple):
    """What a load needs: the workers, one row a kind, and Redis."""

    load: Load
    workers: tuple[WorkerPlan, ...]
    redis: RedisPlan


def plan(
    load: Load,
    kinds: tuple[WorkerKind, ...] = MEASURED_WORKERS + SIMULATED_WORKERS,
    redis: RedisCost = MEASURED_REDIS,
) -> Plan:
    """Returns what a load needs, for each kind of worker alone."""
    return Plan(load, tuple(_plan_workers(load, kind) for kind in kinds), _plan_redis(load, redis))


def _plan_workers(load: Load, kind: WorkerKind) -> WorkerPlan:
    needed = load.peak / (kind.images_per_second * load.utilisation)
    # To a computer 2.1 / 0.7 is a little more than 3, which needs no fourth worker.
    workers = max(1, math.ceil(needed * (1 - 1e-12)))
    spare = workers * kind.images_per_second - load.images_per_second
    return WorkerPlan(
        kind=kind,
        workers=workers,
        memory_mb=workers * kind.memory_mb,
        requests_in_hand=workers * kind.line_processes * load.concurrency,
        drain_seconds=load.peak * 3600 / spare if spare > 0 else None,
    )


def _plan_redis(load: Load, cost: RedisCost) -> RedisPlan:
    return RedisPlan(
        cost=cost,
        commands_per_second=load.peak * cost.commands,
        busy_cores=load.peak * cost.core_seconds,
        # At the peak, which may last as long as results are kept.
        result_mb=load.peak * load.result_seconds * cost.result_bytes / 1e6,
        backlog_mb=load.peak * 3600 * cost.waiting_bytes / 1e6,
    )


def parse_rate(text: str) -> float:
    """Returns the images per second to plan for, from 10e6/day, 250/s or 1.5M/day; above 0.

    Raises:
        RequestError: it is not a rate.
    """
    if match := _RATE.fullmatch(text.replace(" ", "")):
        number, multiple, unit = match.groups()
        if rate := float(number) * _MULTIPLES[multiple] / _SECONDS[unit]:
            return rate
    raise RequestError(
        f"{text!r} is not a rate of images", "--plan", "Write 10e6/day, 1.5M/day, 3000/min or 250/s"
    )


def read_measured(path: Path) -> WorkerKind:
    """Returns the worker to plan with, from the JSON that benchmarks/throughput.py wrote.

    Raises:
        RequestError: the file cannot be read, or lacks a figure.
    """
    remedy = "Give the file that `python benchmarks/throughput.py --json FILE` wrote"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        ours, setup = found["results"]["ours"], found["setup"]
        speed, memory = float(ours["images_per_second"]), float(ours["memory_mb"])
        shown = f"{setup['model']} on {setup['cores']} cores of {setup['cpu']}"
    except OSError as error:
        raise RequestError(f"it cannot be read ({error.strerror})", str(path), remedy) from error
    except KeyError as error:
        raise RequestError(f"it has no {error}", str(path), remedy) from error
    except (ValueError, TypeError) as error:
        raise RequestError(f"it has another shape ({error})", str(path), remedy) from error
    if not (0 < speed < math.inf and 0 < memory < math.inf):
        raise RequestError(f"{speed:g} images/s in {memory:g} MB", str(path), remedy)
    return WorkerKind(f"measured in {path.name}", shown, speed, memory)


def print_plan(made: Plan, form: TableOrJson) -> None:
    """Prints a plan with all that it assumes."""
    if form == "json":
        workers = [{**row._asdict(), "kind": row.kind._asdict()} for row in made.workers]
        peak, cost = {"peak_images_per_second": made.load.peak}, {"cost": made.redis.cost._asdict()}
        load, redis = made.load._asdict() | peak, made.redis._asdict() | cost
        print_json({"load": load, "workers": workers, "redis": redis})
        return
    factor = f"{made.load.peak_factor:g} times the average: --peak"
    rows = [
        ("average", f"{made.load.images_per_second:,.1f} images/s", ""),
        ("peak", f"{made.load.peak:,.1f} images/s", factor),
        ("utilisation", f"{made.load.utilisation:.0%}", "waiting grows near 100%: --utilisation"),
    ]
    print_table(("load", "", "assumed"), rows)
    print()
    columns = ("worker", "images/s", "workers", "memory", "in hand", "an hour's peak drains in")
    print_table(columns, map(_planned_worker_row, made.workers))
    print()
    print_table(("Redis at the peak", "", "measured"), _planned_redis_rows(made))
    for row in made.workers:
        note(f"{row.kind.name}: {row.kind.setup}")
    note(f"Redis: {made.redis.cost.setup}")


def _planned_worker_row(row: WorkerPlan) -> tuple[str, ...]:
    return (
        row.kind.name,
        f"{row.kind.images_per_second:g}",
        f"{row.workers:,}",
        f"{row.memory_mb / 1000:,.1f} GB",
        f"{row.requests_in_hand:,}",
        _planned_drain_time(row.drain_seconds),
    )


def _planned_redis_rows(made: Plan) -> list[tuple[str, str, str]]:
    redis, cost = made.redis, made.redis.cost
    return [
        ("commands", f"{redis.commands_per_second:,.0f}/s", f"{cost.commands:.1f} a request"),
        (
            "busy",
            f"{redis.busy_cores:.2f} cores",
            f"{cost.core_seconds * 1e6:.0f} µs a request; one Redis has one core",
        ),
        (
            "results",
            f"{redis.result_mb / 1000:,.2f} GB",
            f"{cost.result_bytes:,.0f} bytes a request, kept for {made.load.result_seconds:,} s",
        ),
        (
            "an hour's backlog",
            f"{redis.backlog_mb / 1000:,.2f} GB",
            f"{cost.waiting_bytes:,.0f} bytes a request that names a path or URL",
        ),
    ]


def _planned_drain_time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds / 60:,.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:,.1f} h"
