"""What everything but the model costs: a worker with a toy model, beside a plain Celery task.

`python benchmarks/throughput.py --no-model` runs it. In turns, on the same Redis: a worker as
`moderation worker` runs, with the log on, whose CLIP has two layers of 32 values and one thread, on
JPEGs of 64x64 by path, all different; and a Celery task that returns what it is given, with 32
threads and results kept. A worker's milliseconds are those of its own process alone: decoders are
processes of their own. Those of Redis are the server's, so they hold what hosts ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from benchmarks import program
from benchmarks.echo_task import ECHO
from benchmarks.host_process import OURS
from benchmarks.label_set import ACTING, LabelSet
from benchmarks.throughput_figures import Latency, idle_latency
from benchmarks.throughput_runs import (
    SideRun,
    database_kind,
    measure_run,
    median_steps,
    steps_table,
)
from benchmarks.throughput_sides import started_echo, started_ours
from moderation.settings import Settings
from tests.support.toy_clip import save_toy_clip

console = Console(stderr=True)

#: What one worker on two cores is to do, with its hosts and Redis on the same two.
GOALS = {
    "images_per_second": 450.0,
    "worker_milliseconds": 1.2,
    "ours_to_echo": 1.5,
    "redis_milliseconds": 0.25,
}
_SIDE, _QUALITY, _COARSE = 64, 88, 8
_NAMES = {OURS: "ours, toy model", ECHO: "plain Celery echo task"}
_PACKAGES = ("torch", "celery", "redis", "pillow", "openvino")


class NoModelExtent(NamedTuple):
    """How much is measured: runs of each side, images in one, seconds of latency."""

    runs: int
    images: int
    latency_seconds: float


NO_MODEL = NoModelExtent(runs=5, images=3000, latency_seconds=10.0)
QUICK_NO_MODEL = NoModelExtent(runs=3, images=800, latency_seconds=3.0)


class SmallImages:
    """Small JPEGs that all differ."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._random, self._made = folder, np.random.default_rng(5), 0

    def new(self) -> Path:
        """Returns a new one: coarse noise, enlarged, so that it is as large as a small picture."""
        noise = self._random.integers(0, 256, (_COARSE, _COARSE, 3), np.uint8)
        path = self._folder / f"{self._made}.jpg"
        self._made += 1
        image = Image.fromarray(noise).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        image.save(path, "JPEG", quality=_QUALITY)
        return path

    @contextmanager
    def some(self, count: int) -> Iterator[list[Path]]:
        """Yields so many new ones; the block's end removes them."""
        made = [self.new() for _ in range(count)]
        yield made
        for path in made:
            path.unlink()


def measure_no_model(extent: NoModelExtent, settings: Settings, folder: Path) -> dict[str, Any]:
    """Returns the figures of both sides, and the setup that they hold for."""
    if settings.threads is None:  # a second thread would only wait for the first
        settings = settings.model_copy(update={"threads": 1})
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    checkpoint = save_toy_clip(folder / "checkpoint")
    labels, images = LabelSet(dict.fromkeys(ACTING, 0.5)), SmallImages(folder / "small")
    with ExitStack() as stack:
        console.print("Starting workers ...")
        sides = [
            stack.enter_context(started_ours(settings, checkpoint, labels)),
            stack.enter_context(started_echo(settings)),
        ]
        runs: dict[str, list[SideRun]] = {side.name: [] for side in sides}
        for number in range(1 + extent.runs):  # the first warms up
            console.print(f"Run {number} of {extent.runs} ..." if number else "Warming up ...")
            for side in sides:
                with images.some(extent.images if number else extent.images // 4) as some:
                    run = measure_run(side, some, settings)
                runs[side.name] += [run] if number else []
        with images.some(8) as some:
            idle = {
                side.name: idle_latency(side, some, folder, extent.latency_seconds)
                for side in sides
            }
    return {
        "setup": _setup(extent, settings),
        "no_model": {side.name: _side_figures(runs[side.name], idle[side.name]) for side in sides},
        "goals": GOALS,
    }


def _side_figures(runs: Sequence[SideRun], idle: Latency) -> dict[str, Any]:
    return {
        "images_per_second": median(run.images_per_second for run in runs),
        "runs": [run.images_per_second for run in runs],
        "core_milliseconds": median_steps([run.core_milliseconds for run in runs]),
        "idle_seconds": asdict(idle),
    }


def _setup(extent: NoModelExtent, settings: Settings) -> dict[str, Any]:
    return {
        **program.machine(),
        "model": "toy CLIP, random weights",
        "images": f"{_SIDE}x{_SIDE} JPEG by path, all different",
        "views": str(settings.views),
        "database": database_kind(settings),
        "versions": program.versions(*_PACKAGES),
        "plan": extent._asdict(),
    }


def reached(found: Mapping[str, Any]) -> dict[str, float]:
    """Returns what was measured of each goal."""
    ours, echo = (found["no_model"][name]["core_milliseconds"] for name in (OURS, ECHO))
    return {
        "images_per_second": found["no_model"][OURS]["images_per_second"],
        "worker_milliseconds": ours["worker"],
        "ours_to_echo": ours["worker"] / echo["worker"],
        "redis_milliseconds": ours["redis"],
    }


def print_no_model(found: Mapping[str, Any]) -> None:
    """Prints tables with the setup above them."""
    out, setup = program.new_console(120), found["setup"]
    versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
    out.print(f"{setup['cpu']}, {setup['cores']} cores; {versions}")
    out.print(
        f"{setup['model']}; {setup['images']}; views {setup['views']}; log on {setup['database']}; "
        f"{setup['plan']['runs']} runs of {setup['plan']['images']} each, medians"
    )
    out.print(_sides_table(found["no_model"]))
    goals = program.new_table(["goal"], ["measured", "goal"])
    for name, value in reached(found).items():
        goals.add_row(name.replace("_", " "), f"{value:.2f}", f"{found['goals'][name]:g}")
    out.print(goals)
    out.print(steps_table(found["no_model"][OURS]["core_milliseconds"]))


def _sides_table(sides: Mapping[str, Any]) -> Table:
    heads = (
        "a second",
        "slowest",
        "fastest",
        "its process",
        "others",
        "Redis",
        "hosts",
        "idle p50",
    )
    table = program.new_table(["ms of a core each"], heads)
    for side, name in _NAMES.items():
        row = sides[side]
        steps = row["core_milliseconds"]
        speeds = (row["images_per_second"], min(row["runs"]), max(row["runs"]))
        others = steps["decoders"] + steps["database"]
        parts = (steps["worker"], others, steps["redis"], steps["hosts"])
        idle = f"{1000 * row['idle_seconds']['p50']:.1f} ms"
        table.add_row(
            name, *(f"{one:.0f}" for one in speeds), *(f"{one:.2f}" for one in parts), idle
        )
    return table
