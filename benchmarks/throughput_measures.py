"""Images per second, latency and memory of one side."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Self

import numpy as np
import psutil

from benchmarks.photos import Copies
from benchmarks.throughput_sides import Scores, Side

#: Share of its own throughput that a side is loaded with.
LOAD = 0.8
_WAITERS = 128
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Latency:
    """Seconds from submitting to having the answer, of n requests."""

    n: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Returns the percentiles of the requests' seconds."""
        p50, p95, p99 = np.percentile(seconds, (50, 95, 99))
        return cls(len(seconds), float(p50), float(p95), float(p99))


def answers(side: Side, photographs: Sequence[Path]) -> list[Scores]:
    """Returns each photograph's scores; all are submitted at once."""
    ids = [side.submit(photograph) for photograph in photographs]
    return [side.collect(request_id) for request_id in ids]


def throughput(side: Side, photographs: Sequence[Path]) -> float:
    """Returns images per second with all of them in the queue at once."""
    start = time.perf_counter()
    answers(side, photographs)
    return len(photographs) / (time.perf_counter() - start)


def idle_latency(
    side: Side, photographs: Sequence[Path], copies: Copies, seconds: float
) -> Latency:
    """Returns the latency of requests that come one after the other, for about that long."""
    until = time.perf_counter() + seconds
    found: list[float] = []
    for photograph in cycle(photographs):
        new = copies.new(photograph)
        start = time.perf_counter()
        side.collect(side.submit(new))
        found.append(time.perf_counter() - start)
        new.unlink()
        if time.perf_counter() > until and len(found) >= len(photographs):
            return Latency.of(found)
    raise ValueError("there are no photographs")


def load_latency(
    side: Side,
    photographs: Sequence[Path],
    copies: Copies,
    images_per_second: float,
    seconds: float,
) -> Latency:
    """Returns the latency of requests that come at random times, at `LOAD` of a throughput.

    Counted from when a request was due, so that a queue at the submitter's counts too.
    """
    times = random.Random(11)
    rate = LOAD * images_per_second
    count = max(len(photographs), int(rate * seconds))

    def answered(photograph: Path, at: float) -> float:
        time.sleep(max(0.0, at - time.perf_counter()))
        side.collect(side.submit(photograph))
        return time.perf_counter() - at

    with copies.some(photographs, count) as some, ThreadPoolExecutor(_WAITERS) as waiters:
        futures = []
        due = time.perf_counter() + 0.1
        for photograph in some:
            due += times.expovariate(rate)
            futures.append(waiters.submit(answered, photograph, due))
        return Latency.of([future.result() for future in futures])


class MemoryWatch:
    """A context manager that looks at a side's processes; `peak_mb` is the most they had at once.

    In megabytes (10^6 bytes), as the kernel shares pages out among processes (PSS).
    """

    def __init__(self, side: Side) -> None:
        self._side = side
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_mb = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, _memory_mb(self._side.processes))
            if self._stop.wait(_LOOK_SECONDS):
                return

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _memory_mb(processes: Sequence[psutil.Process]) -> float:
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def middle(numbers: Sequence[float]) -> float:
    """Returns the median."""
    return statistics.median(numbers)
