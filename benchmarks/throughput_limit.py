"""What our steps could do alone, each at its best, and all of them in one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.label_set import LabelSet
from moderation.encoders.cores import usable
from moderation.encoders.options import LoadOptions
from moderation.encoders.registry import load_encoder
from moderation.images.decode.child import Limits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import read_squares
from moderation.policy import load_policy
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings

BATCHES = (1, 8, 16, 32)
_IN_HAND = 64


class InProcess:
    """A context manager: our pipeline in this process, without queue; and its steps alone."""

    def __init__(self, settings: Settings, checkpoint: Path, labels: LabelSet) -> None:
        self._limits = Limits(settings.max_image_pixels, 1, settings.decode_timeout_seconds)
        self._decoders = DecoderPool(settings.decoders or usable(), self._limits)
        policy = load_policy(labels.save(checkpoint.parent / "policy.yaml"))
        self.encoder = load_encoder(str(checkpoint), LoadOptions.of(settings))
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
            list(threads.map(lambda content: self._decoders.squares(content, ways), contents))
        return len(photographs) / (time.perf_counter() - start)

    def encoding(self, photographs: Sequence[Path], images: int) -> dict[int, float]:
        """Returns images per second of the encoder alone, by batch size."""
        ways = [self.encoder.preprocessing]
        squares = [
            read_squares(p.read_bytes(), ways, max_pixels=self._limits.max_pixels)[0][0]
            for p in photographs[: max(BATCHES)]
        ]
        found = {}
        for size in BATCHES:
            batch = np.stack(list(islice(cycle(squares), size)))
            self.encoder.image_features(batch)  # some prepare for each new size
            start = time.perf_counter()
            rounds = max(1, images // size)
            for _ in range(rounds):
                self.encoder.image_features(batch)
            found[size] = rounds * size / (time.perf_counter() - start)
        return found

    def __exit__(self, *_: object) -> None:
        self._pipeline.close()


def limit(decoding: float, encoding: float) -> float:
    """Returns the images per second of cores that do both steps, neither waiting for the other."""
    return 1 / (1 / decoding + 1 / encoding)
