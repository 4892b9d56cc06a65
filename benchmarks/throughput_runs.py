"""One run of one side: its speed, and where the time of an image goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.table import Table

from benchmarks import program
from benchmarks.core_times import CoreTimes
from benchmarks.throughput_sides import Side
from moderation.queue.celery_app import connect
from moderation.settings import Settings
from tests.chaos.servers import make_database

#: Steps that take less, in milliseconds, are not shown.
_LEAST = 0.005


class SideRun(NamedTuple):
    """How many images a second, and what one cost by step, in milliseconds of a core."""

    images_per_second: float
    core_milliseconds: dict[str, float]


def measure_run(side: Side, photographs: Sequence[Path], settings: Settings) -> SideRun:
    """Returns what a side does with all photographs in its queue at once."""
    url, count = database_url(settings), len(photographs)
    with connect(settings) as connection:
        before = CoreTimes.now(side.process.pid, connection, url)
        answered = side.hosts.at_once(photographs)
        spent = CoreTimes.now(side.process.pid, connection, url).since(before)
    hosts = {"hosts": 1000 * answered.core_seconds / count}
    return SideRun(count / answered.seconds, spent.milliseconds_each(count) | hosts)


def median_steps(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the median of each step; a step that a run did not have took nothing there."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run.get(name, 0.0) for run in runs) for name in names}


def steps_table(steps: Mapping[str, float]) -> Table:
    """Returns what one image of ours costs by step; what costs next to nothing is left out."""
    table = program.new_table(["an image of ours"], ["ms of a core"])
    threads = sorted((step for step in steps if ": " in step), key=lambda step: -steps[step])
    worker, *others = (step for step in steps if ": " not in step)
    for step in (worker, *threads, *others):
        if steps[step] >= _LEAST:
            part, _, thread = step.rpartition(": ")
            table.add_row(f"  {thread}" if part else step, f"{steps[step]:.2f}")
    return table


def database_url(settings: Settings) -> str:
    """Returns the URL of the decision log, "" if none is set."""
    return settings.database_url.get_secret_value() if settings.database_url else ""


def database_kind(settings: Settings) -> str:
    """Returns sqlite or postgresql."""
    return database_url(settings).partition(":")[0]


@contextmanager
def new_database(given: str, folder: Path) -> Iterator[str]:
    """Yields the URL of a database: the given one, or that of a new one of the given kind."""
    if given not in ("sqlite", "postgresql"):
        yield given
        return
    with make_database(given, folder / given) as database:
        yield database.url
