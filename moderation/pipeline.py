"""Image bytes -> verdicts: decode, encode in batches, score, decide.

`scan` and the worker both run this, so they agree. It holds what lives as long as the process:
the encoders, loaded once, and each policy's label features, computed once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np

from moderation.batching import Batcher
from moderation.classifier import Classifier, Encoder, Floats
from moderation.errors import PolicyError, PolicyProblem, RequestError
from moderation.image import Pixels, decode, preprocess
from moderation.messages import ModelStamp, Verdict
from moderation.policy import Policy
from moderation.verdict import decide, make_verdict


class Timer:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to the step's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 6)


def describe(stamp: ModelStamp) -> str:
    """Returns a model in words, with what must be known of it wherever it runs."""
    text = f"{stamp.id} (revision {stamp.revision}, {stamp.dtype} on {stamp.device})"
    if stamp.id == "starter":
        text += ", a small stand-in for trying out: its figures are not CLIP's"
    return text


class Embedding(NamedTuple):
    """A (d,) feature, with the hash of its image and the model that made it."""

    image_sha256: str
    model: ModelStamp
    feature: Floats


class _Model(NamedTuple):
    encoder: Encoder
    batcher: Batcher


class Pipeline:
    """Policies bound to their models, ready to moderate images from many threads."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        load: Callable[[str], Encoder],
        *,
        default_model: str,
        override_model: str | None = None,
        batch_size: int = 32,
        max_pixels: int = 50_000_000,
    ) -> None:
        """Loads each model that the policies need and computes their label features.

        Args:
            policies: by id.
            load: model reference -> encoder.
            default_model: model of policies that name none.
            override_model: model of all policies, whatever they name.
            batch_size: images that go through an encoder together, at most.
            max_pixels: largest image, width times height.

        Raises:
            ModelError: a model cannot be loaded.
            PolicyError: policies do not fit their models; with every problem of all of them.
        """
        self.policies = dict(policies)
        self._max_pixels = max_pixels
        self._model_of = {
            name: override_model or policy.model or default_model
            for name, policy in policies.items()
        }
        encoders = {reference: load(reference) for reference in set(self._model_of.values())}
        self._classifiers = _bind(policies, self._model_of, encoders)
        self._models = {
            reference: _Model(encoder, Batcher(encoder.image_features, batch_size=batch_size))
            for reference, encoder in encoders.items()
        }

    def described(self) -> str:
        """Returns the models in words, for people."""
        return "; ".join(describe(model.encoder.stamp) for model in self._models.values())

    def refuse_unknown(self, policy_ids: Iterable[str]) -> None:
        """Raises RequestError where an id is of no policy here; cheap, so ask before fetching."""
        unknown = [name for name in policy_ids if name not in self.policies]
        if unknown:
            raise RequestError(
                f"no policy is called {', '.join(unknown)}",
                "worker",
                f"It serves: {', '.join(sorted(self.policies))}. MODERATION_POLICIES sets them",
            )

    def refuse_unknown_model(self, reference: str) -> None:
        """Raises RequestError where no such model is loaded; cheap, so ask before fetching."""
        if reference not in self._models:
            remedy = f"Start a worker with `--model {reference}`, or with a policy that names it"
            raise RequestError(f"the model {reference} is not loaded here", "worker", remedy)

    def embed(self, content: bytes, model_reference: str, *, timer: Timer) -> Embedding:
        """Returns the feature of an image, as verdicts are made from it.

        Raises:
            RequestError: the model is not loaded here. ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        self.refuse_unknown_model(model_reference)
        [feature] = self._features(content, [model_reference], timer).values()
        stamp = self._models[model_reference].encoder.stamp
        return Embedding(hashlib.sha256(content).hexdigest(), stamp, feature)

    def moderate(
        self, content: bytes, policy_ids: Iterable[str], *, request_id: str, timer: Timer
    ) -> tuple[Verdict, ...]:
        """Returns a verdict for each policy; the image is embedded once for each model.

        Raises:
            RequestError: a policy is unknown. ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        policy_ids = tuple(policy_ids)
        self.refuse_unknown(policy_ids)
        image_sha256 = hashlib.sha256(content).hexdigest()
        references = [self._model_of[name] for name in policy_ids]
        features = self._features(content, references, timer)
        verdicts = []
        for name in policy_ids:
            reference = self._model_of[name]
            classifier, model = self._classifiers[name], self._models[reference].encoder.stamp
            with timer.step("decide"):
                cosines = classifier.similarities(features[reference][np.newaxis])
                scores = classifier.scores(cosines)
                decision = decide(classifier.policy, cosines[0], scores[0])
            verdicts.append((classifier.policy, decision, model))
        return tuple(
            make_verdict(
                policy,
                decision,
                model=model,
                request_id=request_id,
                image_sha256=image_sha256,
                timings=timer.seconds,
            )
            for policy, decision, model in verdicts
        )

    def _features(
        self, content: bytes, references: Iterable[str], timer: Timer
    ) -> dict[str, Floats]:
        """Returns (d,) image features by model reference."""
        pixels: dict[str, Pixels] = {}
        with timer.step("decode"):
            image = decode(content, max_pixels=self._max_pixels)
            for reference in references:
                if reference not in pixels:
                    how = self._models[reference].encoder.preprocessing
                    pixels[reference] = preprocess(image, how)
        with timer.step("encode"):
            return {
                reference: self._models[reference].batcher.features(square)
                for reference, square in pixels.items()
            }

    def close(self) -> None:
        """Answers all that wait, then stops the encoders."""
        for model in self._models.values():
            model.batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bind(
    policies: Mapping[str, Policy], model_of: Mapping[str, str], encoders: Mapping[str, Encoder]
) -> dict[str, Classifier]:
    classifiers: dict[str, Classifier] = {}
    problems: list[PolicyProblem] = []
    for name, policy in policies.items():
        try:
            classifiers[name] = Classifier.of(policy, encoders[model_of[name]])
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return classifiers
