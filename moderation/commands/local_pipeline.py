"""A pipeline in a command's own process, for pictures of the person who types it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.output import working
from moderation.policy import Policy
from moderation.settings import Settings

if TYPE_CHECKING:
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
    """Yields a pipeline for the policies, and says what it loads.

    Args:
        settings: of this process.
        policies: by id.
        model: wins over what they name.
        store: folder of the embedding store; None takes that of the settings, or of the user.
        no_store: neither reads nor keeps features.
        form: of the renditions that it makes; None makes none.

    Raises:
        ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model.
        TransientError: a decoder does not start.
    """
    from moderation.scoring.pipeline_loading import load_pipeline

    with working("Loading the model ..."):
        loaded = load_pipeline(settings, policies, override_model=model, form=form)
    with loaded as pipeline:
        yield pipeline
