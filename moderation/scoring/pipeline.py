"""Image bytes -> verdicts: decode, encode in batches, score, decide.

`scan` and the worker both run this, so they agree. A pipeline holds what lives as long as the
process: the encoders, loaded once, and each policy's label features, computed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Self

from moderation.encoders.encoder import Encoder, Float32s
from moderation.errors import PolicyError, PolicyProblem, RequestError
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Looking, Sight
from moderation.images.rendition import RenditionForm
from moderation.messages import ModelStamp, QueueName, Verdict
from moderation.policy import Policy
from moderation.scoring.batching import Batcher, best_batch
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions, OddityRule, UnseenRule
from moderation.scoring.publication import Publish, published_verdicts
from moderation.scoring.served import LoadedModel, ServedPolicy
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import Basis, make_verdict

#: Called with the id of a model and how many images go through it together.
BatchObserver = Callable[[str, int], None]


class Embedding(NamedTuple):
    """What a pipeline embeds: (v, d) features of the looks at an image, and how they were made."""

    image_sha256: str
    model: ModelStamp
    looking: Looking
    features: Float32s


class SeenImage(NamedTuple):
    """What a pipeline's model sees of an image: (v, d) features, and the sight that they are of."""

    features: Float32s
    sight: Sight


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
        oddities: OddityRule = "review",
        unseen: UnseenRule = "allow",
        form: RenditionForm | None = None,
    ) -> None:
        """Loads each model that the policies need and computes their label features.

        Args:
            policies: by id.
            load: model reference -> encoder.
            decoders: decode the images, and look at as much as they are limited to; closed with
                the pipeline.
            default_model: model of policies that name none.
            override_model: model of all policies, whatever they name.
            batch_size: images that go through an encoder together, at most; None takes what
                suits its device.
            observe: called with the model's id and the number of images of each batch.
            oddities: see `Conditions`.
            unseen: see `Conditions`.
            form: of the renditions that are made; None makes none.

        Raises:
            ModelError: a model cannot be loaded.
            PolicyError: policies do not fit their models; with every problem of all of them.
        """
        self.policies = dict(policies)
        self._decoders = decoders
        self._conditions = Conditions(decoders.limits.looking, oddities, unseen, form)
        model_of = {
            name: override_model or policy.model or default_model
            for name, policy in policies.items()
        }
        encoders = {reference: load(reference) for reference in set(model_of.values())}
        classifiers = _bound_classifiers(policies, model_of, encoders)
        self._models = {
            reference: LoadedModel(
                reference,
                encoder,
                Batcher(
                    encoder.image_features,
                    batch_size=batch_size or best_batch(encoder.stamp),
                    observe=partial(observe, encoder.stamp.id) if observe else None,
                ),
            )
            for reference, encoder in encoders.items()
        }
        self._served = {
            name: self._serve(classifier, self._models[model_of[name]])
            for name, classifier in classifiers.items()
        }

    def _serve(self, classifier: Classifier, model: LoadedModel) -> ServedPolicy:
        basis = Basis(
            policy=classifier.policy,
            model=model.encoder.stamp,
            conditions=self._conditions,
            logit_scale=classifier.logit_scale,
            logit_bias=classifier.logit_bias,
        )
        return ServedPolicy(basis, classifier, model)

    def described(self) -> str:
        """Returns the models in words, for people."""
        return "; ".join(stamp.described for stamp in self.stamps)

    @property
    def stamps(self) -> list[ModelStamp]:
        """The models that are loaded."""
        return [model.encoder.stamp for model in self._models.values()]

    def served(self, policy_ids: Iterable[str]) -> tuple[ServedPolicy, ...]:
        """Returns the policies of these ids; cheap, so ask before fetching an image.

        Raises:
            RequestError: a policy is unknown.
        """
        policy_ids = tuple(policy_ids)
        unknown = [name for name in policy_ids if name not in self._served]
        if unknown:
            raise RequestError(
                f"no policy is called {', '.join(unknown)}",
                "worker",
                f"It serves: {', '.join(sorted(self._served))}. MODERATION_POLICIES sets them",
            )
        return tuple(self._served[name] for name in policy_ids)

    def model(self, reference: str) -> LoadedModel:
        """Returns a model that is loaded; cheap, so ask before fetching an image.

        Raises:
            RequestError: the model is not loaded here.
        """
        if reference not in self._models:
            remedy = f"Start a worker with `--model {reference}`, or with a policy that names it"
            raise RequestError(f"the model {reference} is not loaded here", "worker", remedy)
        return self._models[reference]

    def embed(
        self,
        content: bytes,
        model: LoadedModel,
        *,
        timer: Timer | None = None,
        queue: QueueName = "interactive",
    ) -> Embedding:
        """Returns the features of an image: of the same looks as a verdict on it.

        Raises:
            ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        [seen] = self._seen(content, [model], timer or Timer(), queue).values()
        return Embedding(
            image_sha256=hashlib.sha256(content).hexdigest(),
            model=model.encoder.stamp,
            looking=self._decoders.limits.looking,
            features=seen.features,
        )

    def moderate(
        self,
        content: bytes,
        policies: Sequence[ServedPolicy],
        *,
        request_id: str,
        timer: Timer | None = None,
        queue: QueueName = "interactive",
        image_sha256: str | None = None,
        publish: Publish | None = None,
    ) -> tuple[Verdict, ...]:
        """Returns a verdict for each policy; the image is embedded once for each model.

        The verdicts name the image's rendition if it was published, which it is unless one of them
        is to block it.

        Args:
            content: the image's file.
            policies: what `served` returned, in the order of the verdicts.
            request_id: goes into the verdicts.
            timer: gets what each step takes.
            queue: whose turn it takes.
            image_sha256: of the content, where it is known.
            publish: is given the rendition, if the pipeline makes any.

        Raises:
            ImageError: the image is refused.
            ModelError: the model gave a value that is not finite.
        """
        timer = timer or Timer()
        models, form = [policy.model for policy in policies], self._conditions.rendition
        seen = self._seen(content, models, timer, queue, form=form)
        images = [seen[policy.model.reference] for policy in policies]
        for image in images:
            self._conditions.refuse_oddities(image.sight.oddities)
        with timer.step("decide"):
            pairs = zip(policies, images, strict=True)
            decided = [policy.decide(image.features) for policy, image in pairs]
        image_sha256 = image_sha256 or hashlib.sha256(content).hexdigest()
        verdicts = tuple(
            make_verdict(
                policy.basis.policy,
                decision,
                seen=image.sight.seen(look),
                conditions=policy.basis.conditions,
                model=policy.basis.model,
                request_id=request_id,
                image_sha256=image_sha256,
                timings=timer.seconds,
            )
            for policy, image, (look, decision) in zip(policies, images, decided, strict=True)
        )
        file = images[0].sight.rendition if images else None
        return published_verdicts(verdicts, file, publish, timer)

    def _seen(
        self,
        content: bytes,
        models: Iterable[LoadedModel],
        timer: Timer,
        queue: QueueName,
        form: RenditionForm | None = None,
    ) -> dict[str, SeenImage]:
        """Returns what each model sees of an image, by its reference."""
        each = {model.reference: model for model in models}.values()
        ways = [model.encoder.preprocessing for model in each]
        with timer.step("decode"):
            sights = self._decoders.sights(content, ways, queue, form=form)
        with timer.step("encode"):
            return {
                model.reference: SeenImage(model.batcher.features(sight.squares, queue), sight)
                for model, sight in zip(each, sights, strict=True)
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


def _bound_classifiers(
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
