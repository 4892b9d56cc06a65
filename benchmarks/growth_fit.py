"""Points of one quantity at growing sizes, and the power and the line that they follow."""

from __future__ import annotations

import gc
import math
import statistics
import timeit
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import nnls
from scipy.stats import linregress, t

Unit = Literal["s", "B"]
Verdict = Literal["at most linear", "more than linear", "not shown"]

#: A slope up to here counts as linear: time that is not quite constant per item (caches that get
#: too small, a log n somewhere) lies below it, and n squared lies far above.
STEEPEST = 1.1
_FEWEST = 3
#: Nothing has a logarithm: less than a picosecond, or a byte, counts as this.
_SMALLEST = 1e-12


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
        """What the slope says; where its interval reaches below `STEEPEST`, it is not shown."""
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

    The slope is that of least squares on logarithms over the upper decade, or over the last three
    points if it has fewer. The line is fitted to all points by their relative errors, with neither
    of its numbers below 0.

    Raises:
        ValueError: there are fewer than two points.
    """
    if len(sizes) < 2:
        raise ValueError(f"{len(sizes)} points have no slope")
    x, y = np.asarray(sizes, float), np.maximum(np.asarray(values, float), _SMALLEST)
    top = max(int((x >= x[-1] / 10).sum()), min(_FEWEST, len(x)))
    line = linregress(np.log(x[-top:]), np.log(y[-top:]))
    error = float(line.stderr * t.ppf(0.975, top - 2)) if top > 2 else math.nan
    some = y > _SMALLEST  # what is nothing has no relative error
    [fixed, each], _ = nnls(np.stack([1 / y, x / y], axis=1)[some], np.ones(int(some.sum())))
    return Fit(float(line.slope), error, int(x[-top]), float(fixed), float(each))


def typical_seconds(action: Callable[[], Any], runs: int = 5, patience: float = 10.0) -> float:
    """Returns the median of some runs, in seconds a call; short calls are timed many at a time.

    The collector of garbage is on, as in a worker.

    Args:
        action: what to time; its first call is not counted, unless it takes too long.
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
    """Returns the points of each axis and quantity, by ascending size."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.axis, point.quantity), []).append(point)
    return {key: sorted(some, key=lambda point: point.size) for key, some in found.items()}
