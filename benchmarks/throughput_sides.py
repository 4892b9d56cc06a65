"""What the throughput benchmark compares: workers behind Redis, and our steps in this process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks import program
from benchmarks.echo_task import ECHO
from benchmarks.host_process import OURS
from benchmarks.hosts import Hosts
from benchmarks.label_set import LabelSet
from moderation.embedded_servers import EmbeddedWorker
from moderation.encoders.cores import usable
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import read_sights
from moderation.policy import load_policy
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings

BATCHES = (1, 8, 16, 32)
_IN_HAND = 64
#: Celery's workers print a banner.
_QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}


@dataclass(frozen=True)
class Side:
    """A worker that is ready to answer, and the hosts that ask it.

    Attributes:
        ready_seconds: what it took to start one of ours; 0 for others, which are not waited for.
    """

    name: str
    process: subprocess.Popen[bytes]
    hosts: Hosts
    ready_seconds: float = 0.0


@contextmanager
def started_rival(name: str, settings: Settings, checkpoint: Path) -> Iterator[Side]:
    """Yields the worker of `benchmarks.rivals` for another side, which ends with the block."""
    url = settings.broker_url.get_secret_value()
    words = ("-m", "benchmarks.rivals", name, url, str(checkpoint))
    with program.child(*words, **_QUIET) as process, Hosts.started(name, url, process) as hosts:
        yield Side(name, process, hosts)


@contextmanager
def started_echo(settings: Settings) -> Iterator[Side]:
    """Yields the worker of `benchmarks.echo_task`, which ends with the block."""
    url = settings.broker_url.get_secret_value()
    words = ("-m", "benchmarks.echo_task", url)
    with program.child(*words, **_QUIET) as process, Hosts.started(ECHO, url, process) as hosts:
        yield Side(ECHO, process, hosts)


class NamedThreadsWorker(EmbeddedWorker):
    """A context manager; a `moderation worker` process whose threads have names for the system.

    Those of line processes have none.
    """

    def __init__(
        self, settings: Settings, options: list[str], environment: dict[str, str], processes: int
    ) -> None:
        super().__init__(settings, options, environment, processes=processes)
        python, dash_m, *words = self._command
        self._command = [python, dash_m, "benchmarks.thread_names", *words]


@contextmanager
def started_ours(
    settings: Settings, checkpoint: Path, labels: LabelSet, processes: int = 1
) -> Iterator[Side]:
    """Yields a `moderation worker`, which ends with the block.

    Args:
        settings: what it is given of them: broker, database, runtime, threads, views.
        checkpoint: the model; its folder's folder is for images and the policy.
        labels: of the policy.
        processes: how many lines it has.
    """
    folder = checkpoint.parent
    environment = {
        "MODERATION_ALLOWED_ROOTS": str(folder),
        "MODERATION_RUNTIME": settings.runtime,
        "MODERATION_VIEWS": str(settings.views),
        "MODERATION_LOG_LEVEL": "warning",
    }
    if settings.threads:
        environment["MODERATION_THREADS"] = str(settings.threads)
    if settings.database_url:
        environment["MODERATION_DATABASE_URL"] = settings.database_url.get_secret_value()
    options = ["--model", str(checkpoint), "--policy", str(labels.save(folder / "policy.yaml"))]
    begun = time.monotonic()
    with NamedThreadsWorker(settings, options, environment, processes) as worker:
        ready = time.monotonic() - begun
        url = settings.broker_url.get_secret_value()
        with Hosts.started(OURS, url, worker.process) as hosts:
            yield Side(OURS, worker.process, hosts, ready)


class InProcess:
    """A context manager: our pipeline in this process, without a queue, and its steps alone."""

    def __init__(self, settings: Settings, checkpoint: Path, labels: LabelSet) -> None:
        self._limits = DecodeLimits(
            settings.max_image_pixels,
            settings.frames,
            settings.decode_timeout_seconds,
            views=settings.views,
        )
        self._decoders = DecoderPool(settings.decoders or usable(), self._limits)
        policy = load_policy(labels.save(checkpoint.parent / "policy.yaml"))
        self.encoder = load_encoder(str(checkpoint), ModelOptions.of(settings))
        self._pipeline = Pipeline(
            {policy.id: policy},
            lambda _: self.encoder,
            self._decoders,
            default_model="",
            batch_size=settings.batch_size,
        )
        self._policies = self._pipeline.served([policy.id])

    def __enter__(self) -> Self:
        self._decoders.start()
        return self

    def throughput(self, photographs: Sequence[Path]) -> float:
        """Returns images per second through the whole pipeline, many at a time."""
        start = time.perf_counter()
        with ThreadPoolExecutor(_IN_HAND) as threads:
            list(threads.map(self._moderate, photographs))
        return len(photographs) / (time.perf_counter() - start)

    def single_seconds(self, photographs: Sequence[Path]) -> list[float]:
        """Returns the seconds of computing each photograph alone."""
        return [self._seconds(photograph) for photograph in photographs]

    def _seconds(self, photograph: Path) -> float:
        start = time.perf_counter()
        self._moderate(photograph)
        return time.perf_counter() - start

    def _moderate(self, photograph: Path) -> None:
        self._pipeline.moderate(photograph.read_bytes(), self._policies, request_id="benchmark")

    def decoding(self, photographs: Sequence[Path]) -> float:
        """Returns images per second of decoding alone; no decoder ever waits for a file."""
        ways = [self.encoder.preprocessing]
        contents = [photograph.read_bytes() for photograph in photographs]
        start = time.perf_counter()
        with ThreadPoolExecutor(_IN_HAND) as threads:
            list(threads.map(lambda content: self._decoders.sights(content, ways), contents))
        return len(photographs) / (time.perf_counter() - start)

    def encoding(self, photographs: Sequence[Path], images: int) -> dict[int, float]:
        """Returns images per second of the encoder alone, by the looks in a batch."""
        ways = [self.encoder.preprocessing]
        looking, most = self._limits.looking, self._limits.max_pixels
        looks = [
            read_sights(p.read_bytes(), ways, looking, max_pixels=most)[0].squares
            for p in photographs[: max(BATCHES)]
        ]
        squares, looks_each = np.concatenate(looks), sum(map(len, looks)) / len(looks)
        found = {}
        for size in BATCHES:
            batch = np.stack(list(islice(cycle(squares), size)))
            self.encoder.image_features(batch)  # some prepare themselves for each new size
            start = time.perf_counter()
            rounds = max(1, images // size)
            for _ in range(rounds):
                self.encoder.image_features(batch)
            found[size] = rounds * size / looks_each / (time.perf_counter() - start)
        return found

    def __exit__(self, *_: object) -> None:
        self._pipeline.close()


def limit(decoding: float, encoding: float) -> float:
    """Returns the images per second of cores that do both steps without waiting for either."""
    return 1 / (1 / decoding + 1 / encoding)
