"""A pipeline in a command's own process, for pictures of the person who types it.

Unless that is unwanted, it keeps features in the embedding store, and takes those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.output import note, working
from moderation.errors import ModerationError, StoreError
from moderation.policy import Policy
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.features.stored_models import StoredModels
    from moderation.images.rendition import RenditionForm
    from moderation.scoring.pipeline import Pipeline


@contextmanager
def open_local_pipeline(
    settings: Settings,
    policies: Mapping[str, Policy],
    *,
    model: str | None,
    store: Path | None = None,
    no_store: bool = False,
    form: RenditionForm | None = None,
) -> Iterator[Pipeline]:
    """Yields a pipeline for the policies, and says what it loads and, at the end, what it embedded.

    Args:
        settings: of this process.
        policies: by id.
        model: wins over what they name.
        store: folder of the embedding store; None takes that of the settings, or of the user.
        no_store: neither reads nor keeps features.
        form: of the renditions that it makes; None makes none.

    Raises:
        ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model.
        StoreError: the store is damaged, or one that was named cannot be written.
        TransientError: a decoder does not start.
    """
    from moderation.scoring.pipeline_loading import load_pipeline

    kept = None if no_store else _stored_models(settings, store or settings.store)
    with kept or nullcontext():
        with working("Loading the model ..." if kept is None else "Looking for the model ..."):
            loaded = load_pipeline(settings, policies, override_model=model, form=form, stored=kept)
        with loaded as pipeline:
            yield pipeline
    if kept is not None:
        note(_embedding_told(kept))


def fails_for_all(pipeline: Pipeline, error: ModerationError) -> bool:
    """Returns whether what failed on an image would on all others: the store, or the model."""
    no_model = pipeline.stored is not None and pipeline.stored.failure is not None
    return no_model or isinstance(error, StoreError)


def _stored_models(settings: Settings, named: Path | None) -> StoredModels | None:
    """Returns the models over the store; None, and says so, where the user's cannot be written."""
    from moderation.encoders.options import ModelOptions
    from moderation.features import EmbeddingStore
    from moderation.features.location import store_folder
    from moderation.features.stored_models import StoredModels
    from moderation.images.looks import Looking

    store = EmbeddingStore(store_folder(named))
    try:
        store.refuse_unwritable()
    except StoreError as error:
        if named is not None:
            raise
        note(f"{error.where}: {error.what}, so none are kept. --store names another folder")
        return None
    looking = Looking(settings.frames, settings.views)
    return StoredModels(store, ModelOptions.of(settings), looking, classifiers=settings.classifiers)


def _embedding_told(kept: StoredModels) -> str:
    """Returns in words how many images went through a model, and where features are kept."""
    images = f"{kept.asked} image{'s' * (kept.asked != 1)}"
    loaded = "" if kept.loaded else "; no model was loaded"
    return f"{images}: {kept.embedded} embedded now, the rest from {kept.store.root}{loaded}"
