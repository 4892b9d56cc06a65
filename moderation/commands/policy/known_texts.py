"""What models make of the texts of policies, where the embedding store has them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.output import working
from moderation.errors import ModerationError
from moderation.policy.lint.linted_policy import LintedPolicy, TextVectors
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.encoders.encoder import Encoder


class _NotKnown(ModerationError):
    """The store lacks a text, or does not know the model."""


def known_vectors(
    linted: LintedPolicy, settings: Settings, store: Path | None, *, embed: bool
) -> TextVectors | None:
    """Returns what a policy's model makes of its texts; None where the store lacks any of them.

    Args:
        linted: the policy, and its model.
        settings: of this process.
        store: folder of the embedding store; None takes that of the settings, or of the user.
        embed: loads the model for texts that the store lacks, and keeps them there.

    Raises:
        ModelError: the model cannot be loaded. PolicyError: the policy does not fit it.
        StoreError: the store is damaged, or cannot be written.
    """
    from moderation.encoders.options import ModelOptions
    from moderation.encoders.registry import load_encoder
    from moderation.features.location import store_folder

    folder = store_folder(store or settings.store)
    if not linted.has_prompts or not (embed or (folder / "models").is_dir()):
        return None
    # With pyarrow, which takes a third of a second.
    from moderation.features import EmbeddingStore, StoredEncoder
    from moderation.scoring.text_vectors import text_vectors

    load = load_encoder if embed else _refuse_to_load
    reference = linted.policy.model or linted.model
    try:
        with working("Looking for the texts ..."):
            encoder = StoredEncoder(
                reference, ModelOptions.of(settings), EmbeddingStore(folder), load=load
            )
        with encoder:
            return text_vectors(linted, encoder)
    except _NotKnown:
        return None


def _refuse_to_load(reference: str, options: object) -> Encoder:
    raise _NotKnown("the store lacks a text", reference)
