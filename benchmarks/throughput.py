"""Images per second through Redis: ours, what users would write, and what the machine allows.

    python benchmarks/throughput.py [--json FILE] [--quick] [--runtime torch|openvino]

One run measures, in turns, on the same photographs, the same label set and the same Redis:
(a) a Celery task around transformers' zero-shot pipeline, as a tutorial has it and with one torch
thread a process; (b) a careful hand-written task: float32, text features cached, one image a task;
(c) ours, as `moderation worker` runs; (d) our pipeline in one process, without a queue; (e) the
limit: our decoding alone and our encoder alone at its best batch, added up as if neither ever
waited. The other sides compute in float32, ours in what its settings give on this machine, which
the setup above the table names. Weights are random in ViT-B/32's shape, which costs what real ones
cost. Each figure is the median of its runs.
"""

from __future__ import annotations

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
from benchmarks.label_set import LabelSet
from benchmarks.photographs import Copies, described, save_photographs
from benchmarks.rivals import NAMES
from benchmarks.throughput_figures import (
    Latency,
    answers,
    compared,
    idle_latency,
    load_latency,
    print_results,
    throughput,
)
from benchmarks.throughput_sides import InProcess, Ours, Rival, Scores, Side, limit
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
    """Everything that was found; `rates` are images per second by side, one number a run."""

    model: ModelStamp
    rates: dict[str, list[float]]
    single: list[float]
    idle: dict[str, Latency]
    loaded: dict[str, Latency]
    memory_mb: dict[str, float]
    scores: dict[str, list[Scores]]


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
            stack.enter_context(Rival.started(name, settings, checkpoint)) for name in NAMES
        ]
        console.print("Starting workers; scores of the other sides ...")
        scores = {side.name: answers(side, photographs) for side in sides[1:]}
        answers(sides[0], photographs[: 2 * usable()])  # its scores are those of the tuned one
        labels = labels.calibrated(scores["competent"])
        ours = stack.enter_context(Ours.started(settings, checkpoint, labels))
        scores["ours"] = answers(ours, photographs)
        sides.append(ours)
        inside = stack.enter_context(InProcess(settings, checkpoint, labels))
        copies = Copies(folder)
        return _measured_in_turns(extent, photographs, copies, sides, inside, scores), labels


def _measured_in_turns(
    extent: Extent,
    photographs: Sequence[Path],
    copies: Copies,
    sides: Sequence[Side],
    inside: InProcess,
    scores: dict[str, list[Scores]],
) -> Measured:
    rates: dict[str, list[float]] = defaultdict(list)
    inside.single_seconds(photographs)  # a warm-up
    single: list[float] = []
    memory = {side.name: 0.0 for side in sides}
    for run in range(extent.runs):
        console.print(f"Run {run + 1} of {extent.runs} ...")
        for side in sides:
            count = extent.images[side.name]
            look = partial(_note_memory, side, memory)
            with copies.some(photographs, count) as some, program.Watch(look, seconds=0.5):
                rates[side.name].append(throughput(side, some))
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
            idle[side.name] = idle_latency(side, photographs, copies, seconds)
            loaded[side.name] = load_latency(side, photographs, copies, rate, seconds)
    return Measured(inside.encoder.stamp, dict(rates), single, idle, loaded, memory, scores)


def _note_memory(side: Side, memory: dict[str, float]) -> None:
    memory[side.name] = max(memory[side.name], program.memory_mb(side.process.pid))


def results(found: Measured, labels: LabelSet) -> dict[str, Any]:
    """Returns the figures by side, the ratios, and the decisions compared."""
    rates = {name: median(runs) for name, runs in found.rates.items()}
    by_batch = {name: rate for name, rate in rates.items() if name.startswith("encoding_")}
    best = max(by_batch, key=by_batch.__getitem__)
    by_side: dict[str, Any] = {name: _side_figures(found, name) for name in found.memory_mb}
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


def setup(model: ModelStamp, extent: Extent) -> dict[str, Any]:
    """Returns what was measured, on and with what."""
    return {
        **program.machine(),
        "model": "ViT-B/32 shape, random weights",
        "runtime": model.runtime,
        "dtype": model.dtype,
        "versions": program.versions(*_PACKAGES),
        "photographs": described(),
        "plan": extent._asdict(),
    }


def main() -> None:
    """Measures, prints a table, writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="fewer runs; within 150 s")
    parser.add_argument("--runtime", default="auto", help="what runs our model on images")
    options = parser.parse_args()
    extent = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder, EmbeddedRedis() as redis:
        settings = load_settings(broker_url=redis.url, runtime=options.runtime)
        found, labels = measure(extent, settings, Path(folder))
    everything = {"setup": setup(found.model, extent), **results(found, labels)}
    print_results(everything)
    program.write_json(options.json, everything)


if __name__ == "__main__":
    program.run(main)
