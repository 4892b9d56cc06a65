"""Points of a quantity at growing sizes: the power and line that they follow, and their plot."""

from __future__ import annotations

import gc
import math
import statistics
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.optimize import nnls
from scipy.stats import linregress, t

Unit = Literal["s", "B"]
Verdict = Literal["at most linear", "more than linear", "not shown"]

#: A slope up to here counts as linear. Time that is not quite constant per item (a cache that gets
#: too small, a log n somewhere) lies below it, and n squared lies far above.
STEEPEST = 1.1
_FEWEST = 3
#: Zero has no logarithm: less than a picosecond, or a byte, counts as this.
_SMALLEST = 1e-12

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


@dataclass(frozen=True)
class Point:
    """What one quantity was at one size.

    Attributes:
        axis: what grew, such as labels.
        quantity: what was measured.
        size: how many of what grew.
        value: in seconds or bytes.
        unit: s or B.
    """

    axis: str
    quantity: str
    size: int
    value: float
    unit: Unit = "s"


@dataclass(frozen=True)
class Skipped:
    """A point that was left out, and why."""

    axis: str
    quantity: str
    size: int
    why: str


@dataclass(frozen=True)
class Fit:
    """How a quantity grows.

    Attributes:
        slope: d log value / d log size over the upper range; 1 is linear.
        error: half of the slope's 95 % interval; NaN for fewer than three points.
        lowest: the upper range begins here.
        fixed: value at size 0, by the line.
        each: value that each further item adds, by the line.
    """

    slope: float
    error: float
    lowest: int
    fixed: float
    each: float

    @property
    def verdict(self) -> Verdict:
        """What the slope says; "not shown" where its interval reaches below `STEEPEST`."""
        if self.slope <= STEEPEST:
            return "at most linear"
        surely = not math.isnan(self.error) and self.slope - self.error > STEEPEST
        return "more than linear" if surely else "not shown"


def steps(lowest: int, highest: int, per_decade: int) -> list[int]:
    """Returns sizes from lowest to highest, evenly spaced in their logarithm, both included."""
    count = math.ceil(math.log10(highest / lowest) * per_decade) + 1
    return sorted({int(size) for size in np.geomspace(lowest, highest, count).round()})


def fit(sizes: Sequence[int], values: Sequence[float]) -> Fit:
    """Returns how n values grow with their sizes, which ascend.

    The slope is that of least squares on logarithms, over the upper decade or, if that has fewer,
    over the last three points. The line is fitted to all points by their relative errors, and
    neither of its numbers is below 0.

    Raises:
        ValueError: there are fewer than two points.
    """
    if len(sizes) < 2:
        raise ValueError(f"{len(sizes)} points have no slope")
    x, y = np.asarray(sizes, float), np.maximum(np.asarray(values, float), _SMALLEST)
    top = max(int((x >= x[-1] / 10).sum()), min(_FEWEST, len(x)))
    line = linregress(np.log(x[-top:]), np.log(y[-top:]))
    error = float(line.stderr * t.ppf(0.975, top - 2)) if top > 2 else math.nan
    some = y > _SMALLEST  # zero has no relative error
    [fixed, each], _ = nnls(np.stack([1 / y, x / y], axis=1)[some], np.ones(int(some.sum())))
    return Fit(float(line.slope), error, int(x[-top]), float(fixed), float(each))


def typical_seconds(action: Callable[[], Any], runs: int = 5, patience: float = 10.0) -> float:
    """Returns the median of some runs, in seconds a call; short calls are timed many at a time.

    The garbage collector is on, as in a worker.

    Args:
        action: what to time; its first call does not count unless it takes too long.
        runs: how many.
        patience: seconds after which no further run begins.
    """
    timer = timeit.Timer(action, setup=gc.enable)
    first = timer.timeit(1)
    if first > patience:
        return first
    number = max(1, math.ceil(0.01 / max(timer.timeit(1), 1e-9)))
    took: list[float] = []
    while len(took) < runs and sum(took) * number <= patience:
        took.append(timer.timeit(number) / number)
    return statistics.median(took)


def by_quantity(points: Iterable[Point]) -> dict[tuple[str, str], list[Point]]:
    """Returns the points of each axis and quantity, in order of size."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.axis, point.quantity), []).append(point)
    return {key: sorted(some, key=lambda point: point.size) for key, some in found.items()}


def save_plot(points: Sequence[Point], files: Iterable[Path]) -> None:
    """Writes the figure to files, in the format that a name ends with; equal points, equal files.

    It has a column for each axis that grew, seconds above and bytes below, both logarithmic. A
    dashed line has the slope 1.
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
                _draw_panel(places[row][column], axis, unit, lines)
        for file in files:
            metadata = {"Date": None} if file.suffix == ".svg" else {}
            figure.savefig(file, metadata=metadata, dpi=110)


def _draw_panel(place: Any, axis: str, unit: str, lines: dict[str, list[Point]]) -> None:
    for (quantity, some), marker in zip(lines.items(), _MARKERS, strict=False):
        # The difference of two readings can be negative, and then it has no logarithm.
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
    place.minorticks_off()  # they would be most of the file, and say little
    place.grid(alpha=0.3, linewidth=0.5)
    # Above the panel, since inside it a legend would cover points.
    place.legend(fontsize=6.5, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
