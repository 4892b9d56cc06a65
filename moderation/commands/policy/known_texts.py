"""What models make of the texts of policies, where the embedding store has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from moderation.commands.output import working
from moderation.errors import ModerationError
from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.settings import Settings

if TYPE_CHECKING:
    from moderation.encoders.encoder import Encoder
    from moderation.features import StoredEncoder


#: What the store is made of, and the core does not bring.
_OF_THE_STORE = ("pyarrow", "platformdirs")


class _NotKnown(ModerationError):
    """The store lacks a text, or does not know the model."""


def with_vectors(
    linted: list[LintedPolicy], settings: Settings, store: Path | None, *, embed: bool
) -> list[LintedPolicy]:
    """Returns policies with what their models make of their texts, where the store has all of them.

    Args:
        linted: the policies.
        settings: of this process.
        store: folder of the embedding store; None takes that of the settings, or of the user.
        embed: loads the models for texts that the store lacks, and keeps them there.

    Raises:
        ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model.
        StoreError: the store is damaged, or cannot be written.
    """
    try:
        # With pyarrow, which takes a third of a second.
        from moderation.features.location import store_folder
    except ModuleNotFoundError as error:
        if embed or error.name not in _OF_THE_STORE:
            raise
        return linted  # where only the core is installed, no store can be
    folder = store_folder(store or settings.store)
    if not (embed or (folder / "models").is_dir()):
        return linted
    opened = _opener(settings, folder, embed=embed)
    in_turn = sorted(linted, key=lambda each: each.decided_by)
    found = {
        each.policy.file.path: each
        for reference, group in groupby(in_turn, lambda each: each.decided_by)
        for each in _with_vectors_of(list(group), reference, opened)
    }
    return [found[each.policy.file.path] for each in linted]


def _opener(settings: Settings, folder: Path, *, embed: bool) -> Callable[[str], StoredEncoder]:
    from moderation.encoders.options import ModelOptions
    from moderation.encoders.registry import load_encoder
    from moderation.features import EmbeddingStore, StoredEncoder

    store, options = EmbeddingStore(folder), ModelOptions.of(settings)
    load = load_encoder if embed else _refuse_to_load
    return lambda reference: StoredEncoder(reference, options, store, load=load)


def _with_vectors_of(
    linted: list[LintedPolicy], reference: str, opened: Callable[[str], StoredEncoder]
) -> Iterator[LintedPolicy]:
    """Yields the policies of one model."""
    from moderation.scoring.text_vectors import text_vectors

    try:
        with working("Looking for the texts ..."):
            encoder = opened(reference)
    except _NotKnown:
        yield from linted
        return
    with encoder:
        for each in linted:
            try:
                yield replace(each, vectors=text_vectors(each, encoder))
            except _NotKnown:
                yield each


def _refuse_to_load(reference: str, options: object) -> Encoder:
    raise _NotKnown("the store lacks a text", reference)
