"""The points of a run of `benchmarks/growth.py` as one figure, the same for the same points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.growth_fit import Point, by_quantity

#: What each axis counts.
COUNTED = {
    "labels": "labels of a policy",
    "policies": "policies of a request",
    "queue": "requests that wait",
    "dataset": "images of a dataset",
}
UNITS = {"s": "seconds", "B": "bytes"}
_STYLE: dict[str, Any] = {"font.size": 8, "svg.hashsalt": "evenhand", "svg.fonttype": "none"}
_MARKERS = "osD^v"


def save_plot(points: Sequence[Point], files: Iterable[Path]) -> None:
    """Writes the figure to files, whose names tell their formats.

    A column for each axis that grew, seconds above and bytes below, both logarithmic. A dashed
    line has the slope 1.
    """
    grouped = by_quantity(points)
    axes = [axis for axis in COUNTED if any(key[0] == axis for key in grouped)]
    with matplotlib.rc_context(_STYLE), matplotlib.style.context("tableau-colorblind10"):
        figure = Figure(figsize=(3.3 * len(axes), 6.4), layout="constrained")
        places = figure.subplots(2, len(axes), squeeze=False)
        for row, unit in enumerate(UNITS):
            for column, axis in enumerate(axes):
                lines = {
                    quantity: some
                    for (of, quantity), some in grouped.items()
                    if of == axis and some[0].unit == unit
                }
                _panel(places[row][column], axis, unit, lines)
        for file in files:
            # No date, so that the same points give the same file.
            metadata = {"Date": None} if file.suffix == ".svg" else {}
            figure.savefig(file, metadata=metadata, dpi=110)


def _panel(place: Any, axis: str, unit: str, lines: dict[str, list[Point]]) -> None:
    for (quantity, some), marker in zip(lines.items(), _MARKERS, strict=False):
        # A difference of two readings can be below zero, where a logarithm has no place for it.
        shown = [point for point in some if point.value > 0]
        sizes, values = [point.size for point in shown], [point.value for point in shown]
        place.loglog(sizes, values, marker=marker, markersize=3, linewidth=1, label=quantity)
    if lines:
        largest = max((some[-1] for some in lines.values()), key=lambda point: point.value)
        smallest = min(some[0].size for some in lines.values())
        ends = [smallest, largest.size]
        slope_one = [largest.value * size / largest.size for size in ends]
        place.loglog(ends, slope_one, "--", color="grey", linewidth=0.8, label="slope 1")
    place.set_xlabel(COUNTED[axis])
    place.set_ylabel(UNITS[unit])
    place.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    place.minorticks_off()  # they are most of the file, and say little
    place.grid(alpha=0.3, linewidth=0.5)
    # Above the panel: inside it a legend would cover points.
    place.legend(fontsize=6.5, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
