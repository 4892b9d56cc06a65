"""How long a command, an import or a worker takes to start; medians of fresh processes.

    python benchmarks/startup.py [--runs 5] [--json FILE] [--quick]

A worker is ready when it has answered its first request, which waits in a real Redis on loopback
before it starts. Its model is once a checkpoint of ViT-B/32's shape with random weights and once
starter, both in the file cache. The last table says where the worker's time goes: its steps one
after the other in a process of their own, and below it the imports by package.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import program
from benchmarks.checkpoint import save_random_clip
from moderation.client.client import Client
from moderation.commands.samples import sample_photographs
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import VerdictTimeout
from moderation.settings import load_settings
from tests.support.command_line import clean_environment

#: In seconds: a worker that takes longer to be ready is too slow to scale with.
WORKER_GOAL = 8.0
_LONGEST, _LOOK = 120.0, 0.01
_PACKAGES_SHOWN = 8

COMMANDS: dict[str, tuple[str, ...]] = {
    "python alone": ("-c", "pass"),
    "import moderation": ("-c", "import moderation"),
    "from moderation import submit": ("-c", "from moderation import submit"),
    "moderation --help": ("-m", "moderation", "--help"),
    "moderation policy lint policies": ("-m", "moderation", "policy", "lint", "policies"),
}


@dataclass(frozen=True)
class StartTime:
    """Seconds of one thing: the median of some fresh processes, and the extremes."""

    what: str
    median: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, what: str, took: Sequence[float]) -> StartTime:
        """Returns the start time of some runs."""
        return cls(what, statistics.median(took), min(took), max(took), len(took))


def commands(runs: int) -> Iterator[StartTime]:
    """Yields how long each command takes from start to end."""
    for what, words in COMMANDS.items():
        took = []
        for _ in range(runs + 1):  # the first reads files into the cache for the others
            start = time.perf_counter()
            _finished_process([*words])
            took.append(time.perf_counter() - start)
        yield StartTime.of(what, took[1:])


def _finished_process(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr}")
    return done


def worker_start(model: str, runs: int) -> StartTime:
    """Returns how long a worker takes from its start to the end of its first request."""
    photo = min((path.read_bytes() for path in sample_photographs()), key=len)
    took = []
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        client = Client(load_settings(broker_url=server.url))
        variables = clean_environment(
            MODERATION_BROKER_URL=server.url,
            MODERATION_DATABASE_URL=f"sqlite:///{folder}/decisions.db",
            MODERATION_OFFLINE="1",
        )
        for _ in range(runs + 1):
            request_id = client.submit(photo, "weapons")
            took.append(_until_answered(client, request_id, model, variables))
    name = model if model == "starter" else "ViT-B/32"
    return StartTime.of(f"worker until its first answer, {name}", took[1:])


def _until_answered(
    client: Client, request_id: str, model: str, variables: dict[str, str]
) -> float:
    """Returns the seconds from a worker's start until it has answered a request that waits."""
    words = ["-m", "moderation", "worker", "--policy", "policies", "--model", model]
    start = time.perf_counter()
    with program.child(*words, env=variables, stdout=subprocess.DEVNULL) as worker:
        while worker.poll() is None and time.perf_counter() - start < _LONGEST:
            try:
                client.collect(request_id, timeout_seconds=0)
                return time.perf_counter() - start
            except VerdictTimeout:
                time.sleep(_LOOK)
    raise RuntimeError("the worker did not answer")


def steps(model: str, runs: int) -> list[StartTime]:
    """Returns how long each step of a worker's start takes, in their order."""
    found: dict[str, list[float]] = {}
    for _ in range(runs + 1):
        printed = _finished_process(["-m", "benchmarks.startup_steps", model]).stdout
        for what, seconds in json.loads(printed).items():
            found.setdefault(what, []).append(seconds)
    return [StartTime.of(what, took[1:]) for what, took in found.items()]


def imports(model: str) -> dict[str, float]:
    """Returns the seconds that the modules of each package took to import, the longest first.

    A module counts without those that it imports itself. This is one run, and tracing takes time.
    """
    traced = _finished_process(["-X", "importtime", "-m", "benchmarks.startup_steps", model]).stderr
    found: dict[str, float] = {}
    for line in traced.splitlines():
        if line.startswith("import time:") and "[us]" not in line:
            microseconds, _, name = line.removeprefix("import time:").split("|")
            package = name.strip().partition(".")[0]
            found[package] = found.get(package, 0.0) + float(microseconds) / 1e6
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def timing_table(title: str, timings: Iterable[StartTime]) -> Table:
    """Returns timings as a table, in seconds."""
    table = program.new_table(["what"], ("median", "lowest", "highest", "runs"), title)
    for one in timings:
        numbers = (f"{value:.3f} s" for value in (one.median, one.lowest, one.highest))
        table.add_row(one.what, *numbers, str(one.runs))
    return table


def main() -> int:
    """Measures, prints tables, writes JSON; returns 1 where a worker misses the goal."""
    parser = program.new_parser(__doc__, quick="one run; under a minute")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    runs = 1 if given.quick else given.runs
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        with console.status("commands and imports ..."):
            timings = list(commands(runs))
        with console.status("a checkpoint of 605 MB ..."):
            model = str(save_random_clip(Path(folder)))
        with console.status("workers ..."):
            workers = [worker_start(name, runs) for name in (model, "starter")]
        with console.status("steps of a worker's start ..."):
            taken, packages = steps(model, runs), imports(model)
    write(timings, workers, taken, packages, given.json)
    return 0 if all(worker.median <= WORKER_GOAL for worker in workers) else 1


def write(
    timings: Sequence[StartTime],
    workers: Sequence[StartTime],
    taken: Sequence[StartTime],
    packages: dict[str, float],
    json_file: Path | None,
) -> None:
    """Prints the tables, and writes JSON where asked to."""
    console = program.new_console(120)
    console.print(timing_table("from start to end", timings))
    goal = f"a worker, goal {WORKER_GOAL:g} s"
    console.print(timing_table(goal, workers))
    console.print(timing_table("steps of a worker's start, ViT-B/32", taken))
    shown = list(packages.items())[:_PACKAGES_SHOWN]
    listed = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in shown)
    whole = sum(packages.values())
    console.print(f"imports by package (one run, traced): {listed}; all {whole:.2f} s")
    found = {
        "commands": [asdict(one) for one in timings],
        "workers": [asdict(one) for one in workers],
        "worker_goal_seconds": WORKER_GOAL,
        "steps": [asdict(one) for one in taken],
        "imports": packages,
        **program.machine(),
    }
    program.write_json(json_file, found)


if __name__ == "__main__":
    program.run(main)
