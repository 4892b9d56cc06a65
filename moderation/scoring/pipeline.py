"""Image bytes -> verdicts: decode, encode in batches, score, decide.

`scan` and the worker both run this, so they agree. It holds what lives as long as the process:
the encoders, loaded once, and each policy's label features, computed once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Self

from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.registry import best_batch
from moderation.errors import PolicyError, PolicyProblem, RequestError
from moderation.images.decode.pool import DecoderPool
from moderation.messages import ModelStamp, Verdict
from moderation.messages.queues import QueueName
from moderation.policy import Policy
from moderation.scoring.batching import Batcher
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import Basis, Decision, decide, deciding_frame, make_verdict

#: Told the id of a model and how many images go through it together.
BatchObserver = Callable[[str, int], None]


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
    feature: Float32s


class _Model(NamedTuple):
    encoder: Encoder
    batcher: Batcher


class Pipeline:
    """Policies bound to their models, ready to moderate images from many threads."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        load: Callable[[str], Encoder],
        decoders: DecoderPool,
        *,
        default_model: str,
        override_model: str | None = None,
        batch_size: int | None = None,
        observe: BatchObserver | None = None,
    ) -> None:
        """Loads each model that the policies need and computes their label features.

        Args:
            policies: by id.
            load: model reference -> encoder.
            decoders: decode the images; closed with the pipeline.
            default_model: model of policies that name none.
            override_model: model of all policies, whatever they name.
            batch_size: images that go through an encoder together, at most; None takes what
                suits its device.
            observe: told the model's id and the number of images of each batch.

        Raises:
            ModelError: a model cannot be loaded.
            PolicyError: policies do not fit their models; with every problem of all of them.
        """
        self.policies = dict(policies)
        self._decoders = decoders
        self._model_of = {
            name: override_model or policy.model or default_model
            for name, policy in policies.items()
        }
        encoders = {reference: load(reference) for reference in set(self._model_of.values())}
        self._classifiers = _bind(policies, self._model_of, encoders)
        self._models = {
            reference: _Model(
                encoder,
                Batcher(
                    encoder.image_features,
                    batch_size=batch_size or best_batch(encoder.stamp),
                    observe=partial(observe, encoder.stamp.id) if observe else None,
                ),
            )
            for reference, encoder in encoders.items()
        }

    def described(self) -> str:
        """Returns the models in words, for people."""
        return "; ".join(describe(model.encoder.stamp) for model in self._models.values())

    @property
    def stamps(self) -> list[ModelStamp]:
        """The models that are loaded."""
        return [model.encoder.stamp for model in self._models.values()]

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

    def embed(
        self,
        content: bytes,
        model_reference: str,
        *,
        timer: Timer,
        queue: QueueName = "interactive",
    ) -> Embedding:
        """Returns the feature of an image, of its first frame, as verdicts are made from it.

        Raises:
            RequestError: the model is not loaded here. ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        self.refuse_unknown_model(model_reference)
        [frames] = self._features(content, [model_reference], timer, queue, frames=1).values()
        stamp = self._models[model_reference].encoder.stamp
        return Embedding(hashlib.sha256(content).hexdigest(), stamp, frames[0])

    def moderate(
        self,
        content: bytes,
        policy_ids: Iterable[str],
        *,
        request_id: str,
        timer: Timer,
        queue: QueueName = "interactive",
        image_sha256: str | None = None,
    ) -> tuple[Verdict, ...]:
        """Returns a verdict for each policy; the image is embedded once for each model.

        Args:
            content: the image's file.
            policy_ids: in the order of the verdicts.
            request_id: goes into the verdicts.
            timer: gets what each step takes.
            queue: whose turn it takes.
            image_sha256: of the content, where it is known.

        Raises:
            RequestError: a policy is unknown. ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        policy_ids = tuple(policy_ids)
        self.refuse_unknown(policy_ids)
        references = {name: self._model_of[name] for name in policy_ids}
        features = self._features(content, references.values(), timer, queue)
        with timer.step("decide"):
            decided = [self._decide(name, features[references[name]]) for name in policy_ids]
        image_sha256 = image_sha256 or hashlib.sha256(content).hexdigest()
        return tuple(
            make_verdict(
                self.policies[name],
                decision,
                frame=frame,
                model=self._models[references[name]].encoder.stamp,
                request_id=request_id,
                image_sha256=image_sha256,
                timings=timer.seconds,
            )
            for name, (frame, decision) in zip(policy_ids, decided, strict=True)
        )

    def bases(self, policy_ids: Iterable[str], *, frames: int) -> tuple[Basis, ...]:
        """Returns what decisions by these policies rest on beside the image.

        Raises:
            RequestError: a policy is unknown.
        """
        policy_ids = tuple(policy_ids)
        self.refuse_unknown(policy_ids)
        return tuple(self._basis(name, frames) for name in policy_ids)

    def _basis(self, policy_id: str, frames: int) -> Basis:
        classifier = self._classifiers[policy_id]
        return Basis(
            policy=self.policies[policy_id],
            model=self._models[self._model_of[policy_id]].encoder.stamp,
            frames=frames,
            logit_scale=classifier.logit_scale,
            logit_bias=classifier.logit_bias,
        )

    def _decide(self, policy_id: str, features: Float32s) -> tuple[int, Decision]:
        """Returns the frame of (f, d) features that decides, and the decision on it."""
        classifier = self._classifiers[policy_id]
        cosines = classifier.similarities(features)
        scores = classifier.scores(cosines)
        frame = deciding_frame(classifier.policy, cosines, scores)
        return frame, decide(classifier.policy, cosines[frame], scores[frame])

    def _features(
        self,
        content: bytes,
        references: Iterable[str],
        timer: Timer,
        queue: QueueName,
        frames: int | None = None,
    ) -> dict[str, Float32s]:
        """Returns (f, d) features of an image's frames by model reference."""
        models = {reference: self._models[reference] for reference in references}
        ways = [model.encoder.preprocessing for model in models.values()]
        with timer.step("decode"):
            squares = self._decoders.squares(content, ways, queue, frames=frames)
        with timer.step("encode"):
            return {
                reference: model.batcher.features(square, queue)
                for (reference, model), square in zip(models.items(), squares, strict=True)
            }

    def close(self) -> None:
        """Decodes and encodes all that wait, then stops the decoders and the encoders."""
        self._decoders.close()
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
