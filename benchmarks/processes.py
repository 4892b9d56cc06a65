"""What more line processes do for one worker: its speed, and what an image costs each part of it.

    python benchmarks/processes.py [--processes 1 2 4] [--images small|640x480|"eight sizes"]
        [--database sqlite|postgresql|URL] [--json FILE] [--quick]

A worker as `moderation worker --processes N` runs, with the log on, whose CLIP has two layers of 32
values, so that its processes are measured and not its model. The images are by path and all differ:
JPEGs of 64x64; or with grain, JPEGs of 640x480 or the sizes and formats of
benchmarks/photographs.py, which the model sees in squares of 224. Every number of processes has a
new worker in every round, and they take turns. The milliseconds are of a core, as the system counts
them; hosts, Redis and the worker share the same cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psutil
from rich.console import Console
from transformers.utils import logging

from benchmarks import program
from benchmarks.core_times import WHO
from benchmarks.label_set import ACTING, LabelSet
from benchmarks.photographs import KINDS, MIXED, SMALL, Copies, save_drawn
from benchmarks.throughput_figures import idle_latency
from benchmarks.throughput_no_model import SmallImages
from benchmarks.throughput_runs import (
    SideRun,
    database_kind,
    measure_run,
    median_steps,
    new_database,
)
from benchmarks.throughput_sides import started_ours
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.settings import Settings, load_settings
from tests.support.toy_clip import save_toy_clip

console = Console(stderr=True)

Some = Callable[[int], AbstractContextManager[list[Path]]]


class ProcessesExtent(NamedTuple):
    """How much is measured: rounds, images in a run, seconds of latency."""

    rounds: int
    images: int
    latency_seconds: float


FULL = {
    "small": ProcessesExtent(rounds=3, images=3000, latency_seconds=4.0),
    SMALL: ProcessesExtent(rounds=3, images=800, latency_seconds=4.0),
    MIXED: ProcessesExtent(rounds=3, images=240, latency_seconds=4.0),
}
QUICK = ProcessesExtent(rounds=1, images=200, latency_seconds=0.1)


class ProcessesRun(NamedTuple):
    """One worker.

    Attributes:
        run: its speed, and where the time of an image goes.
        other_cores: how many cores everything else on the machine kept busy meanwhile.
        ready_seconds: from its start until every line process answers.
        memory_mb: the most that it had.
        idle_seconds: of a lone image, the median.
    """

    run: SideRun
    other_cores: float
    ready_seconds: float
    memory_mb: float
    idle_seconds: float


class Model(NamedTuple):
    """The toy model, the images that it is shown, and what they are in words."""

    checkpoint: Path
    some: Some
    described: str


def toy_model(folder: Path, images: str) -> Model:
    """Returns a model and images of a kind, of `FULL`."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if images == "small":
        checkpoint = save_toy_clip(folder / "checkpoint")
        return Model(checkpoint, SmallImages(folder / "small").some, "64x64 JPEG")
    checkpoint = save_toy_clip(folder / "checkpoint", side=224)
    drawn = save_drawn(folder / "drawn", KINDS[images])
    return Model(checkpoint, partial(Copies(folder / "drawn").some, drawn), images)


def measure(
    numbers: Sequence[int], extent: ProcessesExtent, settings: Settings, folder: Path, images: str
) -> dict[str, Any]:
    """Returns the figures by number of line processes, and the setup that they hold for."""
    model = toy_model(folder, images)
    runs: dict[int, list[ProcessesRun]] = {number: [] for number in numbers}
    for round_ in range(extent.rounds):
        for number in numbers:
            console.print(f"Round {round_ + 1} of {extent.rounds}, {number} line processes ...")
            runs[number].append(measure_worker(number, extent, settings, model))
    return {
        "setup": {
            **program.machine(),
            "model": "toy CLIP, random weights",
            "model_milliseconds": model_milliseconds(model.checkpoint, settings),
            "images": f"{model.described} by path, all different",
            "database": database_kind(settings),
            "plan": extent._asdict(),
        },
        "processes": {str(number): figures(found) for number, found in runs.items()},
    }


def model_milliseconds(checkpoint: Path, settings: Settings) -> float:
    """Returns what an image of a batch of 8 costs the model alone, in ms of a core."""
    encoder = load_encoder(str(checkpoint), ModelOptions.of(settings))
    height, width = encoder.preprocessing.crop
    batch = np.random.default_rng(1).integers(0, 256, (8, height, width, 3), np.uint8)
    encoder.image_features(batch)
    start = time.process_time()
    for _ in range(20):
        encoder.image_features(batch)
    return 1000 * (time.process_time() - start) / 20 / len(batch)


def measure_worker(
    number: int, extent: ProcessesExtent, settings: Settings, model: Model
) -> ProcessesRun:
    """Returns what one new worker does."""
    labels, memory = LabelSet(dict.fromkeys(ACTING, 0.5)), [0.0]
    with started_ours(settings, model.checkpoint, labels, number) as side:

        def look() -> None:
            memory.append(program.memory_mb(side.process.pid))

        with model.some(max(8, extent.images // 4)) as some:  # a warm-up
            side.hosts.at_once(some)
        with model.some(extent.images) as some, program.Watch(look, seconds=1.0):
            begun, busy = time.monotonic(), _busy_seconds()
            run = measure_run(side, some, settings)
            busy, took = _busy_seconds() - busy, time.monotonic() - begun
            others = max(0.0, busy - _used_seconds(run, len(some))) / took
        with model.some(8) as some:
            folder, seconds = some[0].parent, extent.latency_seconds
            idle = idle_latency(side, some, folder, seconds)
        return ProcessesRun(run, others, side.ready_seconds, max(memory), idle.p50)


def _busy_seconds() -> float:
    """Returns what all cores of the machine have computed since it was started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def _used_seconds(run: SideRun, images: int) -> float:
    """Returns what the worker, its hosts, Redis and the log have computed in a run."""
    steps = run.core_milliseconds
    return sum(steps[part] for part in WHO) * images / 1000


def figures(found: Sequence[ProcessesRun]) -> dict[str, Any]:
    """Returns the medians of some workers, and the speed of each."""
    return {
        "images_per_second": median(one.run.images_per_second for one in found),
        "runs": [one.run.images_per_second for one in found],
        "core_milliseconds": median_steps([one.run.core_milliseconds for one in found]),
        "other_cores": median(one.other_cores for one in found),
        "ready_seconds": median(one.ready_seconds for one in found),
        "memory_mb": median(one.memory_mb for one in found),
        "idle_seconds": median(one.idle_seconds for one in found),
    }


def print_processes(found: Mapping[str, Any]) -> None:
    """Prints what was measured, one column a number of line processes."""
    setup, by_number = found["setup"], found["processes"]
    out = program.new_console(100)
    out.print(f"{setup['cpu']}, {setup['cores']} cores; {setup['model']}; {setup['images']}")
    plan = setup["plan"]
    out.print(f"log on {setup['database']}; {plan['rounds']} rounds of {plan['images']}, medians")
    table = program.new_table(["line processes"], map(str, by_number))
    for row in _rows(list(by_number.values())):
        table.add_row(*row)
    out.print(table)


def _rows(columns: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield ("images/s", *(f"{one['images_per_second']:.0f}" for one in columns))
    spans = (f"{min(one['runs']):.0f} to {max(one['runs']):.0f}" for one in columns)
    yield ("slowest, fastest round", *spans)
    for part, name in WHO.items():
        spent = [one["core_milliseconds"][part] for one in columns]
        if any(spent):
            yield (f"ms of a core: {name}", *(f"{one:.2f}" for one in spent))
    yield ("cores that other programs used", *(f"{one['other_cores']:.2f}" for one in columns))
    yield ("a lone image, ms", *(f"{1000 * one['idle_seconds']:.1f}" for one in columns))
    yield ("memory, MB", *(f"{one['memory_mb']:.0f}" for one in columns))
    yield ("ready after, s", *(f"{one['ready_seconds']:.1f}" for one in columns))


@contextmanager
def toy_settings(database: str, folder: Path) -> Iterator[Settings]:
    """Yields settings with a Redis and a log of their own."""
    with EmbeddedRedis() as redis, new_database(database, folder) as url:
        # A second thread of so small a model would only wait for the first.
        yield load_settings(broker_url=redis.url, database_url=url, runtime="torch", threads=1)


def main() -> None:
    """Measures, prints a table, writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="one round of 200 images; within a minute")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", choices=list(FULL), default="small")
    parser.add_argument("--database", default="sqlite", metavar="sqlite|postgresql|URL")
    asked = parser.parse_args()
    extent = QUICK if asked.quick else FULL[asked.images]
    with (
        tempfile.TemporaryDirectory(prefix="processes-") as folder,
        toy_settings(asked.database, Path(folder)) as settings,
    ):
        found = measure(asked.processes, extent, settings, Path(folder), asked.images)
    print_processes(found)
    program.write_json(asked.json, found)


if __name__ == "__main__":
    program.run(main)
