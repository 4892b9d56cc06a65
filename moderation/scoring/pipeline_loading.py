"""Settings and policies -> a pipeline with its models. Shared by commands and worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from moderation.encoders.classifiers.loading import load_classifiers
from moderation.encoders.cores import usable
from moderation.encoders.encoder import Encoder, ImageModel
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.rendition import RenditionForm
from moderation.policy import Policy
from moderation.scoring.pipeline import BatchObserver, Pipeline
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.features.stored_models import StoredModels


def load_pipeline(
    settings: Settings,
    policies: Mapping[str, Policy],
    *,
    override_model: str | None = None,
    observe: BatchObserver | None = None,
    on_decoder_end: Callable[[], None] | None = None,
    form: RenditionForm | None = None,
    load: Callable[[str], Encoder] | None = None,
    classifiers: Mapping[str, ImageModel] | None = None,
    stored: StoredModels | None = None,
) -> Pipeline:
    """Returns a pipeline for the policies.

    Args:
        settings: of this process.
        policies: by id.
        override_model: wins over what they name.
        observe: called for each batch.
        on_decoder_end: called each time that an image ends a decoder.
        form: of the renditions that it makes; None makes none.
        load: model reference -> encoder; by default, it is loaded into this process.
        classifiers: that the policies name, by `model_key`; by default they too are loaded here.
        stored: gives the encoders and classifiers instead, and keeps what they make of images.

    Raises:
        ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model, or a
            classifier of it cannot be used. StoreError: the store is damaged.
        TransientError: a decoder does not start.
    """
    if stored is not None:
        load, classifiers = stored.encoder, stored.classifiers(policies.values())
    load = load or partial(load_encoder, options=ModelOptions.of(settings))
    if classifiers is None:
        classifiers = load_classifiers(policies.values(), settings.classifiers, settings.threads)
    limits = DecodeLimits(
        settings.max_image_pixels,
        settings.frames,
        settings.decode_timeout_seconds,
        settings.decoder_memory_bytes,
        settings.views,
    )
    decoders = DecoderPool(settings.decoders or usable(), limits, on_end=on_decoder_end)
    try:
        decoders.start()  # while the model loads
        pipeline = Pipeline(
            policies,
            load,
            decoders,
            default_model=settings.model,
            override_model=override_model,
            batch_size=settings.batch_size,
            observe=observe,
            oddities=settings.oddities,
            unseen=settings.unseen,
            form=form,
            classifiers=classifiers,
            stored=stored,
        )
        decoders.wait_until_ready()
    except BaseException:
        decoders.close()
        raise
    return pipeline
