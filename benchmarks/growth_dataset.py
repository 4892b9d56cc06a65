"""What an audit costs as the dataset grows; each size has its own process, whose memory counts."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from audit.datasets.groups import Groups, overall_group
from audit.metrics.predictions import predict
from audit.metrics.rates import rate_table
from benchmarks import program
from benchmarks.growth_points import Point, Skipped, typical_seconds
from benchmarks.growth_requests import policy_text
from benchmarks.random_encoder import AT_A_TIME, SPACE, WIDTH, RandomEncoder, fill_store, image_keys
from moderation.encoders.encoder import Float32s
from moderation.features import EmbeddingStore
from moderation.policy import parse_policy

LABELS, GROUPS = 22, 126

Figures = dict[str, float]


@dataclass(frozen=True)
class Budget:
    """How much one size may take.

    Attributes:
        seconds: of one pass over the dataset.
        memory: bytes at the peak.
    """

    seconds: float = 90.0
    memory: float = 6e9


def dataset(
    sizes: Iterable[int], runs: int, budget: Budget
) -> Generator[Point | Skipped, None, None]:
    """Yields what label sets and rates cost for n features in memory, and reading them."""
    sizes = list(sizes)
    audited = partial(_in_its_own_process, audit_figures, runs=runs)
    yield from _within_budget(sizes, "audit", audited, budget)
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        reading = partial(_store_read_back, folder=Path(folder), runs=runs)
        yield from _within_budget(sizes, "store", reading, budget)


def _within_budget(
    sizes: Iterable[int], what: str, measure: Callable[[int], Figures], budget: Budget
) -> Iterator[Point | Skipped]:
    """Yields the figures of each size, up to the first that would exceed the budget."""
    last: tuple[int, Figures] | None = None
    for n in sizes:
        if last and (why := _over_budget(*last, n, budget)):
            yield Skipped("dataset", what, n, why)
            continue
        figures = measure(n)
        last = n, figures
        for quantity, value in figures.items():
            yield Point("dataset", quantity, n, value, "B" if "memory" in quantity else "s")


def _over_budget(before: int, figures: Figures, n: int, budget: Budget) -> str | None:
    """Returns why n images would be too many, judging by what fewer took."""
    ratio = n / before
    seconds = ratio * max(v for name, v in figures.items() if "memory" not in name)
    memory = ratio * max(v for name, v in figures.items() if "memory" in name)
    if seconds > budget.seconds:
        return f"would take about {seconds:.0f} s"
    if memory > min(budget.memory, psutil.virtual_memory().available):
        return f"would take about {memory / 1e9:.1f} GB"
    return None


def _store_read_back(n: int, folder: Path, runs: int) -> Figures:
    fill_store(folder / str(n), n, "float16")
    return _in_its_own_process(store_figures, folder / str(n), n, runs)


def _in_its_own_process(measure: Callable[..., Figures], *given: Any, **named: Any) -> Figures:
    # Ctrl-C ends the child at once; the parent cleans up.
    quiet = (signal.SIGINT, signal.SIG_DFL)
    with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, quiet) as pool:
        return pool.submit(measure, *given, **named).result()


def audit_figures(n: int, runs: int) -> Figures:
    """Returns seconds of scores and decisions and of the rates of n images, and the peak memory."""
    features = _random_rows(n)
    rng = np.random.default_rng(1)
    names = tuple(f"cell {i}" for i in range(GROUPS))
    cells = [overall_group(n), Groups("cell", names, rng.integers(GROUPS, size=n))]
    policy, encoder = parse_policy(policy_text(LABELS), "growth.yaml"), RandomEncoder(LABELS)
    predictions = predict(policy, encoder, features)
    swept = typical_seconds(lambda: predict(policy, encoder, features), runs)

    def rates() -> None:
        # Made again each time, since predictions keep what they have computed once.
        rate_table(replace(predictions), cells)

    counted = typical_seconds(rates, runs)
    return {
        "a label set's scores, decisions": swept,
        "a label set's rates by group": counted,
        "memory, audit": program.peak_bytes(),
    }


def store_figures(folder: Path, n: int, runs: int) -> Figures:
    """Returns seconds of opening a store and reading n rows of it, and the peak memory."""
    keys = image_keys(range(n))

    def read() -> None:
        _, found = EmbeddingStore(folder).open(SPACE).get(keys)
        assert found.all()

    return {
        "store opened and read": typical_seconds(read, runs),
        "memory, store": program.peak_bytes(),
    }


def _random_rows(n: int) -> Float32s:
    """Returns (n, 512) random rows of unit length, made in place so that the peak is not theirs."""
    rows = np.empty((n, WIDTH), np.float32)
    rng = np.random.default_rng(0)
    for start in range(0, n, AT_A_TIME):
        some = rows[start : start + AT_A_TIME]
        rng.standard_normal(dtype=np.float32, out=some)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
    return rows
