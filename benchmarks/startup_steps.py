"""The steps of a worker's start one after the other, in this process; prints their seconds as JSON.

    python -m benchmarks.startup_steps MODEL

A worker starts its decoders while the model loads; here each step has the machine to itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any


class Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Records how long the block takes."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def take_steps(model: str) -> dict[str, float]:
    """Returns the seconds of each step; imports stand here because they are what is measured."""
    clock = Clock()
    with clock.step("import the command line"):
        import_module("moderation.commands.app")
    with clock.step("read three policies"):
        policy = import_module("moderation.policy")
        policies = policy.load_policies(policy.starter_policies(), model=model)
    with clock.step("import Celery and the worker"):
        import_module("moderation.worker.tasks")
        import_module("moderation.scoring.pipeline_loading")
    with clock.step("import torch"):
        import_module("torch")
    with clock.step("import transformers and the encoder"):
        import_module("moderation.encoders.clip")
    with clock.step("load the model"):
        encoders = import_module("moderation.encoders.registry")
        encoder = encoders.load_encoder(model, encoders.ModelOptions(offline=True))
    with clock.step("of that: hash the weights"):
        import_module("moderation.encoders.hub").snapshot_fingerprint(Path(model))
    with clock.step("label features of the policies"):
        for policy in policies.values():
            import_module("moderation.scoring.classifier").Classifier.of(policy, encoder)
    _decode_and_encode(clock, encoder)
    return clock.seconds


def _decode_and_encode(clock: Clock, encoder: Any) -> None:
    """Adds the first image, for which a decoder's process starts and torch chooses its kernels."""
    from PIL import Image

    from moderation.images.decode.child import DecodeLimits
    from moderation.images.decode.pool import DecoderPool

    file = BytesIO()
    Image.effect_noise((640, 480), 50).convert("RGB").save(file, "JPEG")
    decoders = DecoderPool(1, DecodeLimits(max_pixels=50_000_000, frames=1, seconds=10.0))
    try:
        with clock.step("start a decoder and decode"):
            decoders.start()
            [sight] = decoders.sights(file.getvalue(), [encoder.preprocessing], "interactive")
    finally:
        decoders.close()
    with clock.step("encode the first image"):
        encoder.image_features(sight.squares)


def main() -> None:
    """Takes the steps and prints their seconds."""
    print(json.dumps(take_steps(sys.argv[1])))


if __name__ == "__main__":
    main()
