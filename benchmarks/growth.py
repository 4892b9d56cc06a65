"""What grows as labels, policies, the queue and datasets do: measured, fitted and plotted.

    python benchmarks/growth.py [--only AXIS] [--out FOLDER] [--json FILE] [--quick]

Axes: labels of a policy (2 to 2,000), policies of a request (1 to 50, the most that one may name),
requests that wait in Redis (1 to 100,000), images of a dataset (1,000 to 1,000,000, features of
width 512). For each quantity the slope of log value on log size over the upper decade says how it
grows. Up to 1.1 it is at most linear; above, it is more than linear if the whole 95 % interval is,
and not shown otherwise. "fixed" and "each" are the line through all points. Exits with 1 where
something is more than linear.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import program
from benchmarks.growth_dataset import Budget, dataset
from benchmarks.growth_points import (
    STEEPEST,
    Fit,
    Point,
    Skipped,
    by_quantity,
    fit,
    save_plot,
    steps,
)
from benchmarks.growth_requests import labels, policies, queue

Found = Point | Skipped


#: The sizes of each axis that are measured, ascending.
Ranges = Mapping[str, Sequence[int]]
WHOLE: Ranges = {
    "labels": steps(2, 2000, 5),
    "policies": steps(1, 50, 6),
    "queue": steps(1, 100_000, 3),
    "dataset": steps(1000, 1_000_000, 4),
}
QUICK: Ranges = {
    "labels": steps(2, 2000, 2),
    "policies": steps(1, 50, 3),
    "queue": steps(1, 100_000, 1),
    "dataset": steps(1000, 100_000, 2),
}


def measure(ranges: Ranges, runs: int, budget: Budget) -> Iterator[Found]:
    """Yields every point as it is measured."""
    axes: dict[str, Callable[..., Generator[Found, None, None]]] = {
        "labels": labels,
        "policies": policies,
        "queue": queue,
        "dataset": partial(dataset, budget=budget),
    }
    for axis, sizes in ranges.items():
        # Where the caller stops early: an axis may hold a Redis or a folder.
        with closing(axes[axis](sizes, runs)) as points:
            yield from points


def fits(points: Iterable[Point]) -> dict[tuple[str, str], Fit]:
    """Returns how each quantity grows, where it has at least two points."""
    return {
        key: fit([point.size for point in some], [point.value for point in some])
        for key, some in by_quantity(points).items()
        if len(some) > 1
    }


def growth_table(points: Sequence[Point]) -> Table:
    """Returns the table that is printed."""
    title = f"at most linear: slope up to {STEEPEST}"
    right = ("sizes", "slope over", "slope ± 95 %", "fixed", "each")
    table = program.new_table(("what grows", "quantity"), right, title)
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
        **program.machine(),
        "numpy": np.__version__,
        "growth": [
            {"axis": axis, "quantity": quantity, **asdict(found), "verdict": found.verdict}
            for (axis, quantity), found in fits(points).items()
        ],
        "points": [asdict(point) for point in points],
        "skipped": [asdict(point) for point in skipped],
    }


def _with_status(found: Iterable[Found], console: Console) -> Iterator[Found]:
    """Yields what is found, and shows meanwhile what it is."""
    with console.status("measuring ...") as status:
        for point in found:
            status.update(f"{point.axis} {point.size:,}: {point.quantity}")
            yield point


def main() -> int:
    """Measures, prints a table, writes JSON and plots; returns the exit code."""
    parser = program.new_parser(__doc__, quick="fewer points; about a minute")
    parser.add_argument(
        "--only", action="append", choices=[*WHOLE], help="this axis; may be repeated"
    )
    parser.add_argument("--runs", type=int, default=7, help="of which the median is taken")
    parser.add_argument("--seconds", type=float, default=90.0, help="most for a pass of a dataset")
    parser.add_argument("--memory-gb", type=float, default=8.0, help="most for one dataset")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for growth.svg and growth.png")
    given = parser.parse_args()
    ranges, runs = (QUICK, 3) if given.quick else (WHOLE, given.runs)
    if given.only:
        ranges = {axis: ranges[axis] for axis in given.only}
    budget = Budget(given.seconds, given.memory_gb * 1e9)
    found = list(_with_status(measure(ranges, runs, budget), Console(stderr=True)))
    return write(found, runs, out=given.out, json_file=given.json)


def write(found: Iterable[Found], runs: int, *, out: Path | None, json_file: Path | None) -> int:
    """Prints the table and writes what is asked for; returns the exit code."""
    found = list(found)
    points = [point for point in found if isinstance(point, Point)]
    skipped = [point for point in found if isinstance(point, Skipped)]
    console = program.new_console()
    console.print(growth_table(points))
    for left_out in skipped:
        console.print(f"left out: {left_out.quantity} of {left_out.size:,}, {left_out.why}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        save_plot(points, [out / "growth.svg", out / "growth.png"])
    program.write_json(json_file, report(points, skipped, runs))
    return 1 if any(one.verdict == "more than linear" for one in fits(points).values()) else 0


if __name__ == "__main__":
    program.run(main)
