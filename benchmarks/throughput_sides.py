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
from celery import Celery

from benchmarks import program
from benchmarks.label_set import POLICY_ID, PROMPTS, LabelSet
from benchmarks.rivals import create_rival_app, task_name
from moderation.client.client import Client, collect_pauses
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

#: The longest that one image may take on the slowest side, with its wait.
_ANSWER_SECONDS = 300.0

BATCHES = (1, 8, 16, 32)
_IN_HAND = 64

Scores = dict[str, float]


@dataclass(frozen=True)
class Rival:
    """A worker of `benchmarks.rivals` that is ready to answer."""

    name: str
    app: Celery
    process: subprocess.Popen[bytes]

    @classmethod
    @contextmanager
    def started(cls, name: str, settings: Settings, checkpoint: Path) -> Iterator[Self]:
        """Yields the worker of a side, which ends with the block."""
        url = settings.broker_url.get_secret_value()
        with program.child("-m", "benchmarks.rivals", name, url, str(checkpoint)) as process:
            yield cls(name, create_rival_app(name, url), process)

    def submit(self, photograph: Path) -> str:
        """Returns the id of a new task."""
        queue = f"rival-{self.name}"
        sent = self.app.send_task(task_name(self.name), args=[str(photograph)], queue=queue)
        return str(sent.id)

    def collect(self, request_id: str) -> Scores:
        """Returns what the task returned; raises where it failed or the worker ended."""
        for pause in collect_pauses(_ANSWER_SECONDS):
            meta = self.app.backend.get_task_meta(request_id)
            if meta["status"] == "SUCCESS":
                return dict(meta["result"])
            if meta["status"] == "FAILURE":
                raise RuntimeError(f"{self.name}: {meta['result']}")
            if self.process.poll() is not None:
                raise RuntimeError(f"the worker of {self.name} ended with {self.process.poll()}")
            time.sleep(pause)
        raise TimeoutError(f"{self.name} did not answer")


@dataclass(frozen=True)
class Ours:
    """A `moderation worker` that is ready to answer."""

    client: Client
    labels: LabelSet
    process: subprocess.Popen[bytes]
    name: str = "ours"

    @classmethod
    @contextmanager
    def started(cls, settings: Settings, checkpoint: Path, labels: LabelSet) -> Iterator[Self]:
        """Yields our worker, which ends with the block."""
        folder = checkpoint.parent
        environment = {
            "MODERATION_ALLOWED_ROOTS": str(folder),
            "MODERATION_RUNTIME": settings.runtime,
            "MODERATION_LOG_LEVEL": "warning",
        }
        options = ["--model", str(checkpoint), "--policy", str(labels.save(folder / "policy.yaml"))]
        with EmbeddedWorker(settings, options, environment) as worker:
            yield cls(Client(settings), labels, worker.process)

    def submit(self, photograph: Path) -> str:
        """Returns the id of a new request."""
        return self.client.submit(photograph, POLICY_ID)

    def collect(self, request_id: str) -> Scores:
        """Returns the scores of the verdict."""
        [verdict] = self.client.collect(request_id, timeout_seconds=_ANSWER_SECONDS)
        scores = (label.score for label in verdict.labels)
        return dict(zip(PROMPTS, scores, strict=True))


Side = Rival | Ours


class InProcess:
    """A context manager: our pipeline in this process, without a queue, and its steps alone."""

    def __init__(self, settings: Settings, checkpoint: Path, labels: LabelSet) -> None:
        self._limits = DecodeLimits(settings.max_image_pixels, 1, settings.decode_timeout_seconds)
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
        """Returns images per second of the encoder alone, by batch size."""
        ways = [self.encoder.preprocessing]
        squares = [
            read_sights(p.read_bytes(), ways, max_pixels=self._limits.max_pixels)[0].squares[0]
            for p in photographs[: max(BATCHES)]
        ]
        found = {}
        for size in BATCHES:
            batch = np.stack(list(islice(cycle(squares), size)))
            self.encoder.image_features(batch)  # some prepare themselves for each new size
            start = time.perf_counter()
            rounds = max(1, images // size)
            for _ in range(rounds):
                self.encoder.image_features(batch)
            found[size] = rounds * size / (time.perf_counter() - start)
        return found

    def __exit__(self, *_: object) -> None:
        self._pipeline.close()


def limit(decoding: float, encoding: float) -> float:
    """Returns the images per second of cores that do both steps without waiting for either."""
    return 1 / (1 / decoding + 1 / encoding)
