"""`audit embed`: fill the embedding store, here or on the workers of a queue."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import (
    embed_images,
    find_model,
    load_annotations,
    note_model,
    open_encoder,
)
from audit.commands.shared_options import DatasetOptions, takes_options
from moderation.commands.output import note, track

if TYPE_CHECKING:
    from audit.datasets.dataset import Dataset
    from audit.embedding.dataset_features import EmbeddedDataset
    from moderation.features.store import Storage

EPILOG = """Examples:

    audit embed --dataset fairface/ --model starter

    audit embed --dataset fairface/ --model starter --on workers --broker redis://queue:6379/0

    audit embed --dataset fairface/ --store features/ --storage float16
"""


class Place(StrEnum):
    """Where images are embedded."""

    HERE = "here"
    WORKERS = "workers"


class StorageType(StrEnum):
    """How features are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


@takes_options
def embed(
    options: DatasetOptions,
    on: Annotated[
        Place, typer.Option(help="In this process, or on the Celery workers of a queue.")
    ] = Place.HERE,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar=["AUDIT_BROKER", "MODERATION_BROKER_URL"], help="Redis of the workers."
        ),
    ] = None,
    storage: Annotated[
        StorageType,
        typer.Option(help="Of new features. float16 takes half the room, off by under 0.001."),
    ] = StorageType.FLOAT32,
) -> None:
    """Embed a dataset's images once; audits of them then need no model, save for new prompts.

    The images stay needed: each audit reads them, to see that they are the ones that were embedded.

    What is there already is not done again, and what is done is kept whenever it ends.
    """
    reference = find_model(options, [])
    dataset = load_annotations(options)
    if on is Place.WORKERS:
        embedded = _on_workers(options, reference, dataset, broker, storage.value)
    else:
        embedded = _here(options, reference, dataset, storage.value)
    n = len(embedded.dataset)
    note(f"{n} images; {embedded.embedded} embedded now, {n - embedded.embedded} were there")


def _here(
    options: DatasetOptions, reference: str, dataset: Dataset, storage: Storage
) -> EmbeddedDataset:
    with open_encoder(options, reference) as encoder:
        return embed_images(options, dataset, encoder, storage)


def _on_workers(
    options: DatasetOptions,
    reference: str,
    dataset: Dataset,
    broker: str | None,
    storage: Storage,
) -> EmbeddedDataset:
    from audit.embedding.dataset_features import embed_dataset
    from audit.embedding.on_workers import embed_remotely, workers_stamp
    from audit.embedding.stored_encoder import default_store
    from moderation.features.store import EmbeddingStore

    store = EmbeddingStore(options.store or default_store())
    store.refuse_unwritable()
    stamp = workers_stamp(dataset, reference, broker)
    note_model(stamp)
    return embed_dataset(
        dataset,
        stamp,
        store,
        embed_remotely(reference, stamp, broker),
        storage=storage,
        skip_bad=options.skip_bad,
        track=track,
    )
