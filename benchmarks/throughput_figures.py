"""The figures of the throughput benchmark: speed, latency, decisions compared; and their table."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import program
from benchmarks.label_set import PROMPTS, LabelSet
from benchmarks.photographs import Copies
from benchmarks.throughput_runs import steps_table
from benchmarks.throughput_sides import Side

#: The share of its own throughput with which a side is loaded.
LOAD = 0.8
#: Decisions at least this far from their threshold must not differ.
FAR = 0.01

_NAMES = {
    "pipeline": "(a) transformers' pipeline in a task",
    "pipeline_tuned": "    one thread a process",
    "competent": "(b) hand-written task",
    "ours": "(c) ours",
}


@dataclass(frozen=True)
class Latency:
    """Seconds from submitting a request until its answer is there, of n requests."""

    n: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Returns the percentiles of the requests' seconds."""
        p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
        return cls(len(seconds), float(p50), float(p95), float(p99))


def idle_latency(side: Side, photographs: Sequence[Path], folder: Path, seconds: float) -> Latency:
    """Returns the latency of requests that come one after the other, for about so long."""
    return Latency.of(side.hosts.in_turn(photographs, folder, seconds).latencies)


def load_latency(
    side: Side,
    photographs: Sequence[Path],
    copies: Copies,
    images_per_second: float,
    seconds: float,
) -> Latency:
    """Returns the latency of requests that come at random times, at `LOAD` of a throughput.

    It counts from when a request was due, so a queue at the host counts too.
    """
    times = random.Random(11)
    rate = LOAD * images_per_second
    count = max(len(photographs), int(rate * seconds))
    with copies.some(photographs, count) as some:
        pauses = (times.expovariate(rate) for _ in some)
        due = list(accumulate(pauses, initial=time.monotonic() + 0.2))[1:]
        return Latency.of(side.hosts.when_due(some, due).latencies)


def compared(
    labels: LabelSet, theirs: Sequence[Mapping[str, float]], ours: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Returns how far our scores are from another side's, and how many decisions differ.

    A decision is whether one acting label fires on one photograph. It is far where the other side's
    score is more than `FAR` from the threshold.
    """
    assert labels.thresholds is not None
    differences, changed, changed_far, near, decisions = [], 0, 0, 0, 0
    for their, our in zip(theirs, ours, strict=True):
        differences += [abs(their[prompt] - our[prompt]) for prompt in PROMPTS]
        before, now = labels.decide(their), labels.decide(our)
        for prompt, threshold in labels.thresholds.items():
            decisions += 1
            differs = before[prompt] != now[prompt]
            far = abs(their[prompt] - threshold) > FAR
            changed += differs
            near += not far
            changed_far += differs and far
    return {
        "decisions": decisions,
        "near_threshold": near,
        "changed": changed,
        "changed_far_from_threshold": changed_far,
        "largest_score_difference": max(differences),
        "mean_score_difference": sum(differences) / len(differences),
    }


def print_results(everything: dict[str, Any]) -> None:
    """Prints tables with the setup above them."""
    console = program.new_console(120)
    _print_setup(console, everything["setup"])
    console.print(_speed_table(everything["results"]))
    console.print(steps_table(everything["results"]["ours"]["core_milliseconds"]))
    ratios = Table("ratio", "")
    for name, ratio in everything["ratios"].items():
        ratios.add_row(name, f"{ratio:.2f}")
    console.print(ratios)
    for side, row in everything["decisions"].items():
        console.print(
            f"Decisions of {side} and ours: {row['changed']} of {row['decisions']} differ "
            f"({row['near_threshold']} are within {FAR} of their threshold), "
            f"{row['changed_far_from_threshold']} of them more than {FAR} from the threshold; "
            f"scores differ by {row['largest_score_difference']:.4f} at most"
        )


def _print_setup(console: Console, setup: Mapping[str, Any]) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
    console.print(f"{setup['cpu']}, {setup['cores']} cores, load {os.getloadavg()[2]:.1f}")
    ours = f"ours in {setup['dtype']} on {setup['runtime']}, the others in float32 on torch"
    console.print(f"{setup['model']}, views {setup['views']}; {ours}; {versions}")
    console.print(f"Photographs: {setup['photographs']}", soft_wrap=True)


def _speed_table(found: Mapping[str, Any]) -> Table:
    """Returns the table of all sides; n counts the requests of the latency at load."""
    heads = ("images/s", "idle p50", "p95", "p99", "80 % load p50", "p95", "p99", "n", "MB")
    table = Table("", *heads)
    for side, name in _NAMES.items():
        row = found[side]
        idle, loaded = row["idle_seconds"], row["loaded_seconds"]
        n = str(loaded["n"]) if loaded else ""
        latencies = [*_milliseconds(idle), *_milliseconds(loaded)]
        speed = f"{row['images_per_second']:.1f}"
        table.add_row(name, speed, *latencies, n, f"{row['memory_mb']:.0f}")
    inside, limit = found["in_process"], found["limit"]
    alone = _milliseconds(inside["single_seconds"])
    table.add_row("(d) ours, no queue", f"{inside['images_per_second']:.1f}", *alone)
    table.add_row("(e) limit", f"{limit['images_per_second']:.1f}")
    table.add_row("    decoding alone", f"{limit['decoding']:.1f}")
    table.add_row(f"    encoder, batch {limit['encoding_batch']}", f"{limit['encoding']:.1f}")
    return table


def _milliseconds(latency: Mapping[str, float] | None) -> list[str]:
    """Returns the percentiles in print; blanks where they were not measured."""
    if latency is None:
        return ["", "", ""]
    return [f"{1000 * latency[which]:.0f} ms" for which in ("p50", "p95", "p99")]
