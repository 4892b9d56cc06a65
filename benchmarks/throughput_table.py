"""The figures of the throughput benchmark in print, and how decisions compare."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.label_set import LabelSet
from moderation.encoders.cores import usable
from moderation.messages import ModelStamp

#: Decisions at least this far from their threshold must not differ.
FAR = 0.01
#: Columns of print, so that the tables look the same in a file.
WIDTH = 120

_NAMES = {
    "pipeline": "(a) transformers' pipeline in a task",
    "pipeline_tuned": "    one thread a process",
    "competent": "(b) hand-written task",
    "ours": "(c) ours",
}
_PACKAGES = ("torch", "transformers", "celery", "redis", "pillow", "openvino")


def machine(model: ModelStamp) -> dict[str, Any]:
    """Returns what was measured on and with."""
    return {
        "cpu": _cpu(),
        "cores": usable(),
        "model": "ViT-B/32 shape, random weights",
        "runtime": model.runtime,
        "dtype": model.dtype,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "not installed"


def _cpu() -> str:
    """Returns the processor's name and which number formats it multiplies in."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    formats = {"avx512f", "avx512_bf16", "amx_bf16", "avx512_vnni"} & set(facts["flags"].split())
    return f"{facts['model name']} ({', '.join(sorted(formats)) or 'no AVX-512'})"


def compared(
    labels: LabelSet, theirs: Sequence[Mapping[str, float]], ours: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Returns how far our scores are from another side's, and how many decisions differ.

    A decision is whether one acting label fires on one photograph. Far ones have a score of the
    other side that is more than `FAR` from the threshold.
    """
    assert labels.thresholds is not None
    differences, changed, changed_far, near, decisions = [], 0, 0, 0, 0
    for their, our in zip(theirs, ours, strict=True):
        differences += [abs(their[prompt] - our[prompt]) for prompt in labels.prompts]
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
    console = Console(width=WIDTH)
    _print_setup(console, everything["setup"])
    console.print(_speeds(everything["results"]))
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
    console.print(f"{setup['model']}; {ours}; {versions}")
    console.print(f"Photographs: {setup['photographs']}", soft_wrap=True)


def _speeds(found: Mapping[str, Any]) -> Table:
    """Returns the table of all sides; n is how many requests the latency at load is of."""
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
    """Returns the percentiles in print; blanks where it was not measured."""
    if latency is None:
        return ["", "", ""]
    return [f"{1000 * latency[which]:.0f} ms" for which in ("p50", "p95", "p99")]
