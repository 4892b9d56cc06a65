"""Image bytes -> verdicts: decode, encode in batches, score, decide.

`scan` and the worker both run this, so they agree. A pipeline holds what lives as long as the
process: the encoders, loaded once, and each policy's label features, computed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Self

from moderation.encoders.encoder import Encoder, Float32s, ImageModel
from moderation.errors import ModerationError, RequestError
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Sight
from moderation.images.rendition import RenditionForm
from moderation.messages import ModelStamp, QueueName, Verdict
from moderation.policy import Policy
from moderation.scoring.batching import Batcher, best_batch
from moderation.scoring.conditions import Conditions, OddityRule, UnseenRule
from moderation.scoring.publication import Publish, published_verdicts
from moderation.scoring.served import LoadedModel, ServedPolicy, bound_classifiers, models_of
from moderation.scoring.sighted import Embedding, SeenImages, Sighted, future_features
from moderation.scoring.timer import Timer
from moderation.scoring.verdict_batch import batch_verdicts

if TYPE_CHECKING:
    from moderation.features.stored_models import StoredModels

#: Called with the id of a model and how many images go through it together.
BatchObserver = Callable[[str, int], None]


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
        classifiers: Mapping[str, ImageModel] | None = None,
        stored: StoredModels | None = None,
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
            classifiers: that the policies name, by `model_key`; None where they name none.
            stored: keeps what the models make of images, and knows what they made before; it
                is what `load` and `classifiers` come from. None keeps nothing.

        Raises:
            ModelError: a model cannot be loaded.
            PolicyError: policies do not fit their models; with every problem of all of them.
        """
        self.policies = dict(policies)
        self._decoders, self.stored = decoders, stored
        if stored is not None and stored.looking != decoders.limits.looking:
            raise ValueError(f"kept are looks at {stored.looking}, not {decoders.limits.looking}")
        self._conditions = Conditions(decoders.limits.looking, oddities, unseen, form)
        model_of = models_of(policies, default_model=default_model, override_model=override_model)
        encoders = {reference: load(reference) for reference in set(model_of.values())}
        bound = bound_classifiers(policies, model_of, encoders)
        self.encoders = encoders
        self._models = {
            reference: LoadedModel(
                reference,
                network,
                Batcher(
                    network.image_features,
                    batch_size=batch_size or best_batch(network.stamp),
                    observe=partial(observe, network.stamp.id) if observe else None,
                    more_to_come=lambda: decoders.is_busy,
                ),
            )
            for reference, network in {**encoders, **(classifiers or {})}.items()
        }
        self._served = {
            name: ServedPolicy.of(classifier, self._conditions, self._models, model_of[name])
            for name, classifier in bound.items()
        }

    def described(self) -> str:
        """Returns the models in words, for people."""
        return "; ".join(stamp.described for stamp in self.stamps)

    @property
    def unfitted(self) -> list[str]:
        """Which policies' thresholds are not known to fit their models, and why, in words."""
        found = {
            name: served.basis.policy.unfitted_words(served.basis.model)
            for name, served in self._served.items()
        }
        return [f"{name} is {words}" for name, words in found.items() if words]

    @property
    def stamps(self) -> list[ModelStamp]:
        """The models that are loaded."""
        return [model.network.stamp for model in self._models.values()]

    @property
    def decoders(self) -> int:
        """How many images are decoded at the same time."""
        return self._decoders.processes

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
        """Returns an encoder that is loaded; cheap, so ask before fetching an image.

        Raises:
            RequestError: the model is not loaded here.
        """
        if reference not in self.encoders:
            remedy = f"Start a worker with `--model {reference}`, or with a policy that names it"
            raise RequestError(f"the model {reference} is not loaded here", "worker", remedy)
        return self._models[reference]

    def look(
        self,
        content: bytes,
        policies: Sequence[ServedPolicy],
        timer: Timer,
        queue: QueueName = "interactive",
        *,
        image_sha256: str | None = None,
    ) -> Sighted:
        """Returns an image decoded for policies; waits for a decoder.

        Args:
            content: the image's file.
            policies: what `served` returned, in the order of the verdicts.
            timer: gets what decoding takes.
            queue: whose turn it takes.
            image_sha256: of the content, where it is known.

        Raises:
            ImageError: the image is refused, or has oddities that are.
            DecodingFailed: it takes too long, or crashes the decoder.
            TransientError: no decoder starts, or the pipeline is closed.
        """
        models = [model for policy in policies for model in policy.models]
        form = self._conditions.rendition
        sights = self._sights(content, models, timer, queue, form)
        for sight in sights.values():
            self._conditions.refuse_oddities(sight.oddities)
        digest = image_sha256 or hashlib.sha256(content).hexdigest()
        return Sighted(digest, tuple(policies), sights)

    def look_for_embedding(
        self, content: bytes, model: LoadedModel, timer: Timer, queue: QueueName = "interactive"
    ) -> Sighted:
        """Returns an image decoded for a model: the same looks as for a verdict on it.

        The arguments and errors are those of `look`, but no oddity is refused.
        """
        sights = self._sights(content, [model], timer, queue, None)
        return Sighted(hashlib.sha256(content).hexdigest(), (), sights)

    def _sights(
        self,
        content: bytes,
        models: Iterable[LoadedModel],
        timer: Timer,
        queue: QueueName,
        form: RenditionForm | None,
    ) -> dict[str, Sight]:
        """Returns what each model is shown of an image, by its reference."""
        ways = {model.reference: model.network.preprocessing for model in models}
        with timer.step("decode"):
            sights = self._decoders.sights(content, [*ways.values()], queue, form=form)
        return dict(zip(ways, sights, strict=True))

    def encode(self, sighted: Sighted, queue: QueueName = "interactive") -> Future[SeenImages]:
        """Returns at once what will be a decoded image as its models see it.

        It becomes a ModelError if a feature is not finite, and an EncoderFailed if an encoder fails
        on it. Whatever waits for it is called on an encoder's thread, so must be short.

        Raises:
            TransientError: the pipeline is closed. StoreError: the store is damaged.
        """
        encoding = {
            reference: self._encode_looks(reference, sighted.image_sha256, sight, queue)
            for reference, sight in sighted.sights.items()
        }
        return future_features(sighted, encoding)

    def _encode_looks(
        self, reference: str, image_sha256: str, sight: Sight, queue: QueueName
    ) -> Future[Float32s]:
        put = partial(self._models[reference].batcher.put, sight.squares, queue)
        if self.stored is None:
            return put()
        return self.stored.encoded(reference, image_sha256, len(sight.squares), put)

    def recall(
        self, image_sha256: str, policies: Sequence[ServedPolicy]
    ) -> dict[str, Float32s] | None:
        """Returns the (v, d) features of an image's looks by model reference, from the store alone.

        None where the store lacks what any model of the policies made of it, or there is no store.

        Raises:
            StoreError: the store is damaged.
        """
        if self.stored is None:
            return None
        models = (model.reference for policy in policies for model in policy.models)
        return self.stored.recall(image_sha256, models)

    def verdicts(
        self, seen: Sequence[SeenImages], request_ids: Sequence[str], timers: Sequence[Timer]
    ) -> list[tuple[Verdict, ...] | ModerationError]:
        """Returns the verdicts on each image, or why it gets none; see `batch_verdicts`."""
        return batch_verdicts(seen, request_ids, timers)

    def embedding(self, seen: SeenImages, model: LoadedModel) -> Embedding:
        """Returns the features of an image that a model has seen, with what made them."""
        return Embedding(
            image_sha256=seen.sighted.image_sha256,
            model=model.network.stamp,
            looking=self._decoders.limits.looking,
            features=seen.features[model.reference],
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
        is to block it. `request_id` goes into the verdicts, and `publish` is given the rendition if
        the pipeline makes any; other arguments, and the errors, are those of `look` and `encode`.
        """
        timer = timer or Timer()
        sighted = self.look(content, policies, timer, queue, image_sha256=image_sha256)
        with timer.step("encode"):
            seen = self.encode(sighted, queue).result()
        [verdicts] = self.verdicts([seen], [request_id], [timer])
        if isinstance(verdicts, ModerationError):
            raise verdicts
        return published_verdicts(verdicts, sighted.rendition, publish, timer)

    def close(self) -> None:
        """Decodes and encodes all that wait, then stops the decoders and the encoders."""
        self._decoders.close()
        for model in self._models.values():
            model.batcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
