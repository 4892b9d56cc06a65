"""What grows as labels, policies, the queue and datasets do: measured, fitted and plotted.

    python benchmarks/growth.py [--only AXIS] [--out FOLDER] [--json FILE] [--quick]

Axes: labels of a policy (2 to 2,000), policies of a request (1 to 50, the most that one may name),
requests that wait in Redis (1 to 100,000), images of a dataset (1,000 to 1,000,000, features of
width 512). For each quantity the slope of log value on log size over the upper decade says how it
grows. Up to 1.1 it is at most linear; above, it is more than linear if the whole 95 % interval is,
and else not shown. "fixed" and "each" are the line through all points. Exits with 1 where something
is more than linear.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

# The benchmark of the audit has the package's name: run as a program, this would import it instead.
sys.path[:] = [folder for folder in sys.path if Path(folder) != Path(__file__).parent]

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.growth_dataset import Limits, dataset
from benchmarks.growth_fit import STEEPEST, Fit, Point, Skipped, by_quantity, fit, steps
from benchmarks.growth_plot import save_plot
from benchmarks.growth_queue import queue
from benchmarks.growth_worker import labels, policies

Found = Point | Skipped


@dataclass(frozen=True)
class Ranges:
    """The sizes that are measured, ascending; none leaves an axis out."""

    labels: Sequence[int] = ()
    policies: Sequence[int] = ()
    queue: Sequence[int] = ()
    dataset: Sequence[int] = ()

    @classmethod
    def whole(cls) -> Ranges:
        """Returns the ranges of a full run."""
        return cls(
            labels=steps(2, 2000, 5),
            policies=steps(1, 50, 6),
            queue=steps(1, 100_000, 3),
            dataset=steps(1000, 1_000_000, 4),
        )

    @classmethod
    def quick(cls) -> Ranges:
        """Returns the ranges of a run that takes a minute."""
        return cls(
            labels=steps(2, 2000, 2),
            policies=steps(1, 50, 3),
            queue=steps(1, 100_000, 1),
            dataset=steps(1000, 100_000, 2),
        )


def measure(ranges: Ranges, runs: int, limits: Limits) -> Iterator[Found]:
    """Yields every point as it is measured."""
    axes: dict[Callable[..., Generator[Found, None, None]], Sequence[int]] = {
        labels: ranges.labels,
        policies: ranges.policies,
        queue: ranges.queue,
        partial(dataset, limits=limits): ranges.dataset,
    }
    for axis, sizes in axes.items():
        if sizes:
            # Closed at once where the caller stops early: an axis may hold a Redis or a folder.
            with closing(axis(sizes, runs)) as points:
                yield from points


def fits(points: Iterable[Point]) -> dict[tuple[str, str], Fit]:
    """Returns how each quantity grows that has at least two points."""
    return {
        key: fit([point.size for point in some], [point.value for point in some])
        for key, some in by_quantity(points).items()
        if len(some) > 1
    }


def growth_table(points: Sequence[Point]) -> Table:
    """Returns the table that is printed."""
    table = Table("what grows", "quantity", title=f"at most linear: slope up to {STEEPEST}")
    for column in ("sizes", "slope over", "slope ± 95 %", "fixed", "each"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    grouped = by_quantity(points)
    for (axis, quantity), found in fits(points).items():
        some = grouped[axis, quantity]
        table.add_row(
            axis,
            quantity,
            f"{some[0].size:,} to {some[-1].size:,}",
            f"{found.lowest:,} and up",
            f"{found.slope:.2f} ± {found.error:.2f}",
            amount(found.fixed, some[0].unit),
            amount(found.each, some[0].unit),
            found.verdict,
        )
    return table


def amount(value: float, unit: str) -> str:
    """Returns a number of seconds or bytes with three digits and a prefix."""
    if value == 0:
        return f"0 {unit}"
    prefixes = [(1e9, "G"), (1e6, "M"), (1e3, "k")] if unit == "B" else []
    prefixes += [(1.0, "")] if unit == "B" else [(1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")]
    scale, prefix = next((pair for pair in prefixes if value >= pair[0]), prefixes[-1])
    return f"{value / scale:.3g} {prefix}{unit}"


def report(points: Sequence[Point], skipped: Sequence[Skipped], runs: int) -> dict[str, Any]:
    """Returns what `--json` writes."""
    return {
        "rule": f"slope of log value on log size over the upper decade <= {STEEPEST}",
        "runs": runs,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "growth": [
            {"axis": axis, "quantity": quantity, **asdict(found), "verdict": found.verdict}
            for (axis, quantity), found in fits(points).items()
        ],
        "points": [asdict(point) for point in points],
        "skipped": [asdict(point) for point in skipped],
    }


def _shown(found: Iterable[Found], console: Console) -> Iterator[Found]:
    """Yields what is found, and says what it is meanwhile."""
    with console.status("measuring ...") as status:
        for point in found:
            status.update(f"{point.axis} {point.size:,}: {point.quantity}")
            yield point


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, writes JSON and plots; returns the exit code."""
    given = _parser().parse_args(arguments)
    ranges, runs = (Ranges.quick(), 3) if given.quick else (Ranges.whole(), given.runs)
    if given.only:
        ranges = Ranges(**{axis: getattr(ranges, axis) for axis in given.only})
    limits = Limits(given.seconds, given.memory_gb * 1e9)
    found = list(_shown(measure(ranges, runs, limits), Console(stderr=True)))
    return write(found, runs, out=given.out, json_file=given.json)


def write(found: Iterable[Found], runs: int, *, out: Path | None, json_file: Path | None) -> int:
    """Prints the table and writes what is asked for; returns the exit code."""
    found = list(found)
    points = [point for point in found if isinstance(point, Point)]
    skipped = [point for point in found if isinstance(point, Skipped)]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(growth_table(points))
    for left_out in skipped:
        console.print(f"left out: {left_out.quantity} of {left_out.size:,}, {left_out.why}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        save_plot(points, [out / "growth.svg", out / "growth.png"])
    if json_file:
        json_file.write_text(json.dumps(report(points, skipped, runs), indent=1) + "\n")
    return 1 if any(one.verdict == "more than linear" for one in fits(points).values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    axes = tuple(Ranges.__dataclass_fields__)
    parser.add_argument("--only", action="append", choices=axes, help="this axis; may be repeated")
    parser.add_argument("--runs", type=int, default=7, help="of which the median is taken")
    parser.add_argument(
        "--seconds", type=float, default=90.0, help="one pass of a dataset, at most"
    )
    parser.add_argument("--memory-gb", type=float, default=8.0, help="of one dataset, at most")
    parser.add_argument("--quick", action="store_true", help="fewer points; about a minute")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for growth.svg and growth.png")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
