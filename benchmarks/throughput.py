"""Images per second through Redis: ours, what users would write, and what the machine allows.

    python benchmarks/throughput.py [--json FILE] [--quick] [--runtime torch|openvino]
        [--views auto|N] [--database sqlite|postgresql|URL] [--no-model]

One run measures, in turns, on the same photographs, the same label set and the same Redis:
(a) a Celery task around transformers' zero-shot pipeline, as a tutorial has it and with one torch
thread a process; (b) a careful hand-written task: float32, text features cached, one image a task;
(c) ours, as `moderation worker` runs; (d) our pipeline in one process, without a queue; (e) the
limit: our decoding alone and our encoder alone at its best batch, added up as if neither ever
waited. The other sides compute in float32, ours in what its settings give on this machine, which
the setup above the table names. Weights are random in ViT-B/32's shape, which costs what real ones
cost. Each figure is the median of its runs. Who submits and collects runs in processes of its own,
the same way for all sides.

The last table says where the time of one of our images goes, in ms of a core: of the worker's own
process and of its threads, of its decoders, of Redis, of PostgreSQL, and of the host. They are the
seconds that the system has counted, from the first `submit` to the last answer, by the number of
images. What a thread waits for is in none of them.

`--no-model` measures the other half: a model that costs next to nothing and tiny images, beside a
Celery task that returns what it is given. See `benchmarks/throughput_no_model.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console

from benchmarks import program
from benchmarks.checkpoint import save_random_clip
from benchmarks.host_process import OURS
from benchmarks.hosts import Scores
from benchmarks.label_set import LabelSet
from benchmarks.photographs import Copies, described, save_photographs
from benchmarks.rivals import NAMES
from benchmarks.throughput_figures import (
    Latency,
    compared,
    idle_latency,
    load_latency,
    print_results,
)
from benchmarks.throughput_no_model import (
    NO_MODEL,
    QUICK_NO_MODEL,
    measure_no_model,
    print_no_model,
)
from benchmarks.throughput_runs import database_kind, measure_run, median_steps, new_database
from benchmarks.throughput_sides import InProcess, Side, limit, started_ours, started_rival
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.cores import usable
from moderation.messages import ModelStamp
from moderation.settings import Settings, load_settings

console = Console(stderr=True)


_PACKAGES = ("torch", "transformers", "celery", "redis", "pillow", "openvino")


class Extent(NamedTuple):
    """How much is measured.

    Attributes:
        photographs: how many different ones.
        runs: how many of each side.
        images: submitted in one run, by side; those of `ours` also run in this process.
        latency_seconds: how long one measurement of latency takes.
        latency_of: the sides whose latency is measured.
    """

    photographs: int
    runs: int
    images: dict[str, int]
    latency_seconds: float
    latency_of: tuple[str, ...]


FULL = Extent(
    photographs=48,
    runs=5,
    images={"pipeline": 24, "pipeline_tuned": 48, "competent": 96, "ours": 384},
    latency_seconds=30.0,
    latency_of=("pipeline", "pipeline_tuned", "competent", "ours"),
)
QUICK = Extent(
    photographs=16,
    runs=3,
    images={"pipeline": 8, "pipeline_tuned": 16, "competent": 32, "ours": 128},
    latency_seconds=4.0,
    latency_of=("competent", "ours"),
)


class Measured(NamedTuple):
    """Everything that was found.

    Attributes:
        rates: images per second by side, one number a run.
        steps: what one image of ours cost, in ms of a core by step, one a run.
    """

    model: ModelStamp
    rates: dict[str, list[float]]
    single: list[float]
    idle: dict[str, Latency]
    loaded: dict[str, Latency]
    memory_mb: dict[str, float]
    scores: dict[str, list[Scores]]
    steps: list[dict[str, float]]


def measure(
    extent: Extent,
    settings: Settings,
    folder: Path,
    save_checkpoint: Callable[[Path], Path] = save_random_clip,
) -> tuple[Measured, LabelSet]:
    """Returns what every side does; all workers run throughout, and are measured in turns."""
    photographs = save_photographs(folder, extent.photographs)
    checkpoint = save_checkpoint(folder / "checkpoint")
    labels = LabelSet()
    labels.save_prompts(checkpoint / "labels.json")
    with ExitStack() as stack:
        sides: list[Side] = [
            stack.enter_context(started_rival(name, settings, checkpoint)) for name in NAMES
        ]
        console.print("Starting workers; scores of the other sides ...")
        scores = {side.name: side.hosts.at_once(photographs).scores for side in sides[1:]}
        sides[0].hosts.at_once(photographs[: 2 * usable()])  # its scores are those of the tuned one
        labels = labels.calibrated(scores["competent"])
        ours = stack.enter_context(started_ours(settings, checkpoint, labels))
        scores["ours"] = ours.hosts.at_once(photographs).scores
        sides.append(ours)
        inside = stack.enter_context(InProcess(settings, checkpoint, labels))
        return _measured_in_turns(extent, settings, photographs, sides, inside, scores), labels


def _measured_in_turns(
    extent: Extent,
    settings: Settings,
    photographs: Sequence[Path],
    sides: Sequence[Side],
    inside: InProcess,
    scores: dict[str, list[Scores]],
) -> Measured:
    folder = photographs[0].parent
    copies = Copies(folder)
    steps: list[dict[str, float]] = []
    rates: dict[str, list[float]] = defaultdict(list)
    inside.single_seconds(photographs)  # a warm-up
    single: list[float] = []
    memory = {side.name: 0.0 for side in sides}
    for number in range(extent.runs):
        console.print(f"Run {number + 1} of {extent.runs} ...")
        for side in sides:
            count = extent.images[side.name]
            look = partial(_note_memory, side, memory)
            with copies.some(photographs, count) as some, program.Watch(look, seconds=0.5):
                run = measure_run(side, some, settings)
            rates[side.name].append(run.images_per_second)
            if side.name == OURS:
                steps.append(run.core_milliseconds)
        some = list(islice(cycle(photographs), extent.images["ours"]))
        rates["in_process"].append(inside.throughput(some))
        rates["decoding"].append(inside.decoding(some))
        by_batch = inside.encoding(photographs, images=32)
        for size, rate in by_batch.items():
            rates[f"encoding_{size}"].append(rate)
        single += inside.single_seconds(photographs)
    idle, loaded = {}, {}
    for side in sides:
        if side.name in extent.latency_of:
            console.print(f"Latency of {side.name} ...")
            seconds, rate = extent.latency_seconds, median(rates[side.name])
            idle[side.name] = idle_latency(side, photographs, folder, seconds)
            loaded[side.name] = load_latency(side, photographs, copies, rate, seconds)
    return Measured(inside.encoder.stamp, dict(rates), single, idle, loaded, memory, scores, steps)


def _note_memory(side: Side, memory: dict[str, float]) -> None:
    memory[side.name] = max(memory[side.name], program.memory_mb(side.process.pid))


def results(found: Measured, labels: LabelSet) -> dict[str, Any]:
    """Returns the figures by side, the ratios, and the decisions compared."""
    rates = {name: median(runs) for name, runs in found.rates.items()}
    by_batch = {name: rate for name, rate in rates.items() if name.startswith("encoding_")}
    best = max(by_batch, key=by_batch.__getitem__)
    by_side: dict[str, Any] = {name: _side_figures(found, name) for name in found.memory_mb}
    by_side[OURS]["core_milliseconds"] = median_steps(found.steps)
    by_side["in_process"] = {
        "images_per_second": rates["in_process"],
        "single_seconds": asdict(Latency.of(found.single)),
    }
    by_side["limit"] = {
        "images_per_second": limit(rates["decoding"], by_batch[best]),
        "decoding": rates["decoding"],
        "encoding": by_batch[best],
        "encoding_batch": int(best.removeprefix("encoding_")),
        "encoding_by_batch": by_batch,
    }
    decisions = {
        name: compared(labels, found.scores[name], found.scores["ours"])
        for name in ("pipeline_tuned", "competent")
    }
    return {"results": by_side, "ratios": _speed_ratios(by_side), "decisions": decisions}


def _side_figures(found: Measured, name: str) -> dict[str, Any]:
    return {
        "images_per_second": median(found.rates[name]),
        "runs": found.rates[name],
        "memory_mb": found.memory_mb[name],
        "idle_seconds": asdict(found.idle[name]) if name in found.idle else None,
        "loaded_seconds": asdict(found.loaded[name]) if name in found.loaded else None,
    }


def _speed_ratios(by_side: Mapping[str, Any]) -> dict[str, float]:
    speed = {name: row["images_per_second"] for name, row in by_side.items()}
    ours, single = by_side["ours"], by_side["in_process"]["single_seconds"]
    others = ("pipeline", "pipeline_tuned", "competent", "limit")
    return {
        **{f"ours_to_{name}": speed["ours"] / speed[name] for name in others},
        "in_process_to_limit": speed["in_process"] / speed["limit"],
        "idle_p50_to_single_image": ours["idle_seconds"]["p50"] / single["p50"],
        "loaded_p99_to_p50": ours["loaded_seconds"]["p99"] / ours["loaded_seconds"]["p50"],
    }


def setup(model: ModelStamp, extent: Extent, settings: Settings) -> dict[str, Any]:
    """Returns what was measured, on and with what."""
    return {
        **program.machine(),
        "model": "ViT-B/32 shape, random weights",
        "runtime": model.runtime,
        "dtype": model.dtype,
        "views": str(settings.views),
        "database": database_kind(settings),
        "versions": program.versions(*_PACKAGES),
        "photographs": described(),
        "plan": extent._asdict(),
    }


def _settings(options: argparse.Namespace, broker_url: str, database_url: str) -> Settings:
    views = {"views": options.views} if options.views else {}
    return load_settings(
        broker_url=broker_url, database_url=database_url, runtime=options.runtime, **views
    )


def main() -> None:
    """Measures, prints a table, writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="fewer runs; within 150 s")
    parser.add_argument("--runtime", default="auto", help="what runs our model on images")
    parser.add_argument("--views", metavar="auto|N", help="MODERATION_VIEWS of ours")
    parser.add_argument(
        "--database",
        default="sqlite",
        metavar="sqlite|postgresql|URL",
        help="of the decision log; the first two are new ones in a temporary folder",
    )
    parser.add_argument("--no-model", action="store_true", help="what everything else costs")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="throughput-") as folder,
        EmbeddedRedis() as redis,
        new_database(options.database, Path(folder)) as database_url,
    ):
        settings = _settings(options, redis.url, database_url)
        if options.no_model:
            everything = measure_no_model(
                QUICK_NO_MODEL if options.quick else NO_MODEL, settings, Path(folder)
            )
            print_no_model(everything)
        else:
            extent = QUICK if options.quick else FULL
            found, labels = measure(extent, settings, Path(folder))
            everything = {"setup": setup(found.model, extent, settings), **results(found, labels)}
            print_results(everything)
    program.write_json(options.json, everything)


if __name__ == "__main__":
    program.run(main)
