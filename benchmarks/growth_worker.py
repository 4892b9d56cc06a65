"""What an image costs a worker as its labels and policies grow.

All of it is the code that a worker runs; only the model is left out.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import yaml

from benchmarks.growth_fit import Point, typical_seconds
from moderation.commands.demo import sample_photographs
from moderation.encoders.encoder import Float32s, unit
from moderation.images.decode.child import Limits
from moderation.images.decode.pool import DecoderPool
from moderation.images.pixels import Pixels, Preprocessing
from moderation.messages import ModelStamp, ModerationResponse, Verdict
from moderation.policy import parse_policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.pipeline import Pipeline, Timer
from moderation.scoring.verdict import decide, deciding_frame, make_verdict

WIDTH = 512
LABELS_OF_A_POLICY = 20
#: One label in so many acts; the others compete.
ACTS = 5


class GivenFeatures:
    """An encoder that answers with random rows of unit length, made beforehand."""

    context_length = 77
    logit_scale = 100.0
    logit_bias: float | None = None
    preprocessing = Preprocessing(224, (224, 224), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    stamp = ModelStamp(
        id="random",
        revision="1",
        fingerprint="0" * 16,
        preprocessing=preprocessing.fingerprint,
        dtype="float32",
        device="cpu",
    )

    def __init__(self, rows: int) -> None:
        self._rows = random_rows(rows)

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, 512) rows of unit length."""
        return self._rows[: len(pixels)]

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, 512) rows of unit length."""
        return self._rows[: len(texts)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of words, and two marks."""
        return [len(text.split()) + 2 for text in texts]


def random_rows(n: int) -> Float32s:
    """Returns (n, 512) rows of unit length."""
    return unit(np.random.default_rng(0).standard_normal((n, WIDTH), dtype=np.float32))


def policy_text(labels: int, name: str = "growth") -> bytes:
    """Returns a policy file with that many labels."""
    acting = {"action": "block", "threshold": 0.5, "review_threshold": 0.3, "severity": "high"}
    rows: list[dict[str, Any]] = [
        {"id": f"label-{i}", "prompts": [f"a thing of kind {i}"]} | (acting if not i % ACTS else {})
        for i in range(labels)
    ]
    policy = {"schema_version": 1, "id": name, "version": 1, "title": "-", "labels": rows}
    return yaml.safe_dump(policy, sort_keys=False).encode()


def labels(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields the cost of one image, and of a policy's start, for label sets of k labels."""
    for k in sizes:
        text, encoder = policy_text(k), GivenFeatures(max(k, 1))
        policy = parse_policy(text, "growth.yaml")
        classifier = Classifier.of(policy, encoder)
        feature = random_rows(1)
        verdict = _verdict(classifier, feature)
        response = ModerationResponse(request_id="-", verdicts=(verdict,))
        timed: dict[str, Callable[[], Any]] = {
            "image: scores, decision, verdict": partial(_verdict, classifier, feature),
            "image: answer to JSON values and back": partial(_sent_and_read, response),
            "start: policy file parsed": partial(parse_policy, text, "growth.yaml"),
            "start: policy bound, without the model": partial(Classifier.of, policy, encoder),
        }
        for quantity, action in timed.items():
            yield Point("labels", quantity, k, typical_seconds(action, runs))
        size = len(verdict.model_dump_json().encode())
        yield Point("labels", "verdict as JSON", k, size, "B")


def _verdict(classifier: Classifier, feature: Float32s) -> Verdict:
    """Returns the verdict on one (1, d) feature, as the pipeline makes it."""
    policy, cosines = classifier.policy, classifier.similarities(feature)
    scores = classifier.scores(cosines)
    frame = deciding_frame(policy, cosines, scores)
    return make_verdict(
        policy,
        decide(policy, cosines[frame], scores[frame]),
        frame=frame,
        model=GivenFeatures.stamp,
        request_id=str(uuid.UUID(int=0)),
        image_sha256="0" * 64,
        timings={},
    )


def _sent_and_read(response: ModerationResponse) -> ModerationResponse:
    """Returns a response as a host reads what a worker answers; the text in between is left out."""
    return ModerationResponse.read(response.model_dump(mode="json"))


def policies(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields the cost of one image after its feature is there, for m policies of 20 labels."""
    sizes = list(sizes)
    names = [f"policy-{i}" for i in range(max(sizes))]
    texts = {name: policy_text(LABELS_OF_A_POLICY, name) for name in names}
    served = {name: parse_policy(text, f"{name}.yaml") for name, text in texts.items()}
    encoder = GivenFeatures(LABELS_OF_A_POLICY)
    photo = min((path.read_bytes() for path in sample_photographs()), key=len)
    decoders = DecoderPool(1, Limits(max_pixels=50_000_000, frames=1, seconds=10.0))
    with Pipeline(served, lambda _: encoder, decoders, default_model="random") as pipeline:
        for m in sizes:
            took = []
            for _ in range(max(5 * runs, 1)):
                seconds, verdicts = _after_the_feature(pipeline, photo, names[:m])
                took.append(seconds)
            yield Point("policies", "image: all verdicts", m, statistics.median(took))
            response = ModerationResponse(request_id="-", verdicts=verdicts)
            answered = typical_seconds(partial(_sent_and_read, response), runs)
            yield Point("policies", "image: answer to JSON values and back", m, answered)
            size = len(response.model_dump_json().encode())
            yield Point("policies", "answer as JSON", m, size, "B")


def _after_the_feature(
    pipeline: Pipeline, photo: bytes, names: Sequence[str]
) -> tuple[float, tuple[Verdict, ...]]:
    """Returns the verdicts on a photo, and the seconds that they took beside decode and encode."""
    timer = Timer()
    start = time.perf_counter()
    verdicts = pipeline.moderate(photo, pipeline.served(names), request_id="-", timer=timer)
    whole = time.perf_counter() - start
    return whole - sum(timer.seconds.values()) + timer.seconds["decide"], verdicts
