"""One worker on all cores of this machine, with the log on; prints lines of JSON.

    python -m benchmarks.gpu_worker [--database sqlite|postgresql|URL ...]
        [--processes auto|N] [--quick]

It is a part of `benchmarks/gpu.py`. `moderation worker` answers images by path through a Redis of
its own: JPEGs of 640x480, and the sizes and formats of benchmarks/photographs.py, with grain, all
different. Decoding alone, on all cores, is measured before; then a worker for each database. The
model has ViT-B/32's shape and random weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from benchmarks import program
from benchmarks.checkpoint import save_random_clip
from benchmarks.decoding_alone import SIDE, decoding_alone
from benchmarks.label_set import ACTING, LabelSet
from benchmarks.photographs import KINDS, Copies, save_drawn
from benchmarks.throughput_figures import idle_latency
from benchmarks.throughput_runs import database_kind, measure_run, new_database
from benchmarks.throughput_sides import Side, started_ours
from moderation.embedded_servers import EmbeddedRedis
from moderation.settings import Settings, load_settings
from moderation.worker.processes.shares import chosen_share
from tests.support.toy_clip import save_toy_clip

Row = dict[str, Any]


class WorkerExtent(NamedTuple):
    """How much is measured.

    Attributes:
        seconds: of one run.
        idle_seconds: of lone images.
        most: images in a run, at most.
        shapes: of each kind of images, at most.
    """

    seconds: float
    idle_seconds: float
    most: int
    shapes: int


class _Kind(NamedTuple):
    """A kind of images: its files, and how many a second all cores decode if they do only that."""

    name: str
    files: list[Path]
    decoding: float


#: A queue takes 10,000 requests, and who submits is faster than who answers.
FULL = WorkerExtent(seconds=5.0, idle_seconds=2.0, most=8000, shapes=8)
QUICK = WorkerExtent(seconds=0.4, idle_seconds=0.1, most=48, shapes=3)


def measure(
    extent: WorkerExtent, settings: Settings, checkpoint: Path, databases: Sequence[str]
) -> Iterator[Row]:
    """Yields each figure as soon as it is there; images are in the checkpoint's folder's folder."""
    kinds: list[_Kind] = []
    for name, shapes in KINDS.items():
        folder = checkpoint.parent / name.replace(" ", "-")
        files = save_drawn(folder, shapes[: extent.shapes])
        kinds.append(_Kind(name, files, decoding_alone(files, extent.seconds)))
        yield {"images": name, "decoding_alone": kinds[-1].decoding}
    for database in databases:
        with new_database(database, checkpoint.parent) as url:
            secret = {"database_url": SecretStr(url)}
            yield from _measure_worker(
                extent, settings.model_copy(update=secret), checkpoint, kinds
            )


def _measure_worker(
    extent: WorkerExtent, settings: Settings, checkpoint: Path, kinds: Sequence[_Kind]
) -> Iterator[Row]:
    """Yields what one worker does, with its log on the database of the settings."""
    labels, processes = LabelSet(dict.fromkeys(ACTING, 0.5)), chosen_share(settings).processes
    row = {"database": database_kind(settings), "processes": processes}
    with started_ours(settings, checkpoint, labels, processes) as side:
        yield row | {"ready_seconds": side.ready_seconds}
        for kind in kinds:
            yield row | {"images": kind.name, **_measure_images(extent, settings, side, kind)}
        small = kinds[0].files
        idle = idle_latency(side, small, small[0].parent, extent.idle_seconds)
        yield row | {"idle_milliseconds": 1000 * idle.p50}


def _measure_images(extent: WorkerExtent, settings: Settings, side: Side, kind: _Kind) -> Row:
    """Returns what a worker did with copies of a kind's files, after a warm-up."""
    files = kind.files
    count = max(len(files), min(extent.most, int(kind.decoding * extent.seconds)))
    copies = Copies(files[0].parent)
    with copies.some(files, max(len(files), count // 4)) as some:
        side.hosts.at_once(some)
    with copies.some(files, count) as some:
        run = measure_run(side, some, settings)
        memory = program.memory_mb(side.process.pid)
    return {
        "requests": count,
        "images_per_second": run.images_per_second,
        "share_of_decoding": run.images_per_second / kind.decoding,
        "core_milliseconds": run.core_milliseconds,
        "memory_mb": memory,
    }


def main() -> None:
    """Prints the figures of one worker, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", nargs="+", default=["sqlite"], metavar="KIND_OR_URL")
    parser.add_argument("--processes", default="auto", metavar="auto|N")
    parser.add_argument("--quick", action="store_true", help="a toy model on torch, few images")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gpu-worker-") as name,
        EmbeddedRedis() as redis,
    ):
        folder = Path(name)
        settings = load_settings(broker_url=redis.url, processes=asked.processes)
        if asked.quick:
            checkpoint = save_toy_clip(folder / "checkpoint", side=SIDE)
            settings = settings.model_copy(update={"runtime": "torch", "threads": 1})
        else:
            checkpoint = save_random_clip(folder / "checkpoint")
        extent = QUICK if asked.quick else FULL
        for row in measure(extent, settings, checkpoint, asked.database):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    program.run(main)
