"""From options to what an audit looks at: dataset, model, store, features."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shlex import join
from typing import TYPE_CHECKING

from audit.commands.inputs import parse_options
from audit.commands.shared_options import DatasetOptions
from audit.errors import AuditError
from moderation.commands.output import note, track, working
from moderation.encoders.cores import usable
from moderation.visible_text import utf8

if TYPE_CHECKING:
    from audit.datasets.dataset import Dataset
    from audit.embedding.dataset_features import EmbeddedDataset
    from audit.embedding.stored_encoder import StoredEncoder
    from audit.studies.subject import Subject
    from moderation.features.store import Storage
    from moderation.messages import ModelStamp
    from moderation.policy import Policy

#: Threads that decode ahead of the encoder.
THREADS = 2 * usable()


def find_model(options: DatasetOptions, policies: Sequence[Policy]) -> str:
    """Returns the reference of the one model that an audit runs on.

    Raises:
        AuditError: none is named, or the policies name several.
    """
    named = sorted({policy.model for policy in policies if policy.model})
    without = [policy.id for policy in policies if not policy.model]
    if options.model:
        return options.model
    if len(named) == 1 and not without:
        return named[0]
    if len(named) > 1:
        what = f"the policies name {', '.join(named)}"
    elif named:
        what = f"{', '.join(without)} leaves the model open, and another policy names {named[0]}"
    else:
        what = "no model is named"
    raise AuditError(what, "--model", "Name the one that your workers run, such as --model starter")


def load_annotations(options: DatasetOptions) -> Dataset:
    """Returns the dataset as it is annotated, and tells what is to be known of it.

    Its images are not looked at yet.

    Raises:
        DatasetError: with everything that is wrong with its annotations.
    """
    from audit.datasets.adapters import load_dataset

    how = parse_options(
        column=options.column,
        images=options.images,
        truth=options.truth,
        skip_bad=options.skip_bad,
        repair=options.repair,
        benign=options.benign,
    )
    dataset = load_dataset(options.dataset, adapter=options.adapter, options=how)
    for text in dataset.notes:
        note(text)
    return dataset


@contextmanager
def open_encoder(options: DatasetOptions, reference: str) -> Iterator[StoredEncoder]:
    """Yields the model of an audit and names it; it is loaded only where the store does not do.

    Raises:
        ModelError: it cannot be loaded. StoreError: the store is damaged, or cannot be written.
    """
    from audit.embedding.stored_encoder import StoredEncoder, default_store
    from moderation.encoders.options import ModelOptions
    from moderation.features.store import EmbeddingStore

    store = EmbeddingStore(options.store or default_store())
    how = ModelOptions(options.device, options.dtype.value, options.offline, options.runtime.value)
    with working("Looking for the model ..."):
        encoder = StoredEncoder(reference, how, store)
    with encoder:
        note_model(encoder.stamp)
        yield encoder


def note_model(stamp: ModelStamp) -> None:
    """Tells on the terminal which model it is, as the figures are its alone."""
    note(f"Model: {stamp.described}")


def embed_images(
    options: DatasetOptions,
    dataset: Dataset,
    encoder: StoredEncoder,
    storage: Storage = "float32",
) -> EmbeddedDataset:
    """Returns the features of a dataset's images, embedded in this process where they are new.

    Raises:
        DatasetError: images are wrong. ModelError: the model cannot be loaded, or failed.
        StoreError: the store is damaged, or cannot be written.
    """
    from audit.embedding.dataset_features import embed_dataset, embed_here

    return embed_dataset(
        dataset,
        encoder.stamp,
        encoder.store,
        embed_here(encoder, threads=THREADS),
        storage=storage,
        skip_bad=options.skip_bad,
        track=track,
    )


@contextmanager
def open_subject(
    options: DatasetOptions,
    policies: Sequence[Policy],
    *,
    by: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
) -> Iterator[Subject]:
    """Yields what an audit looks at, with every image embedded.

    Args:
        options: of the dataset, the model and the store.
        policies: that will be held; they may name the model.
        by: features and intersections; None takes each, and each pair.
        seed: of every random choice.

    Raises:
        DatasetError: annotations or images are wrong, or there is no such feature.
        ModelError: the model cannot be loaded.
        StoreError: the store is damaged, or cannot be written.
    """
    from audit.studies.subject import Subject

    dataset = load_annotations(options)
    for features in by or ():  # a misspelt one must not cost the time of embedding
        dataset.groups(features)
    with open_encoder(options, find_model(options, policies)) as encoder:
        embedded = embed_images(options, dataset, encoder)
        n = len(embedded.dataset)
        note(f"{n} images; {embedded.embedded} embedded now, the rest from {encoder.store.root}")
        yield Subject.of(embedded, encoder, by, seed=seed, command=typed_command())


def typed_command() -> str:
    """Returns the command line as it was typed."""
    return utf8(join(["audit", *sys.argv[1:]]))
