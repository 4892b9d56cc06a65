"""`audit embed`: fill the embedding store, here or on the workers of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit.commands.opening import (
    names_recording,
    open_dataset,
    open_embedded,
    open_encoder,
    open_store,
    say_new_notes,
    seen_of_dataset,
)
from audit.commands.options import DatasetOptions
from audit.errors import AuditError
from audit.results.formatting import images
from moderation.commands.command_line import examples
from moderation.commands.options import takes_options
from moderation.commands.output import note, track

if TYPE_CHECKING:
    from audit.datasets.dataset import Dataset
    from audit.embedding.dataset_features import EmbeddedDataset
    from moderation.features import Storage

EPILOG = examples(
    "audit embed --dataset fairface/ --model starter",
    "audit embed --dataset fairface/ --model starter --on workers --broker redis://queue:6379/0",
    "audit embed --dataset fairface/ --store features/ --storage float16",
)


@takes_options
def embed(
    on: Annotated[
        Literal["here", "workers"],
        typer.Option(help="In this process, or on the Celery workers of a queue."),
    ] = "here",
    broker: Annotated[
        str | None,
        typer.Option(
            envvar=["AUDIT_BROKER", "MODERATION_BROKER_URL"], help="Redis of the workers."
        ),
    ] = None,
    storage: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="Of new features. float16 takes half the room, off by under 0.001."),
    ] = "float32",
    *,
    options: DatasetOptions,
) -> None:
    """Embed a dataset's images once; audits of them then need the model only for new prompts.

    Keep the images: each audit reads them, to see that they are the ones that were embedded.

    Images that are stored are not embedded again, and a run that is stopped keeps what it did.
    """
    if options.no_store:
        raise typer.BadParameter("the store is what it fills", param_hint="--no-store")
    if names_recording(options):
        what = "its features are recorded already, and it has no images"
        raise AuditError(what, str(options.named_dataset), "Audit it as it is")
    reference = options.chosen_model([])
    dataset = open_dataset(options)
    if on == "workers":
        embedded = _embed_on_workers(options, reference, dataset, broker, storage)
    else:
        with open_encoder(options, reference) as encoder:
            embedded = open_embedded(options, dataset, encoder, storage)
    n = len(embedded.dataset)
    note(f"{images(n)}; {embedded.embedded} embedded now, {n - embedded.embedded} were there")
    note(seen_of_dataset(embedded))


def _embed_on_workers(
    options: DatasetOptions,
    reference: str,
    dataset: Dataset,
    broker: str | None,
    storage: Storage,
) -> EmbeddedDataset:
    from audit.embedding.dataset_features import embed_dataset
    from audit.embedding.remote_features import embed_remotely, remote_stamp

    store = open_store(options)
    store.refuse_unwritable()
    stamp = remote_stamp(dataset, reference, broker, looking=options.looking)
    note(f"Model: {stamp.described}")
    embedded = embed_dataset(
        dataset,
        stamp,
        store,
        embed_remotely(reference, stamp, broker),
        looking=options.looking,
        storage=storage,
        skip_bad=options.reading.skip_bad,
        track=track,
    )
    say_new_notes(dataset, embedded.dataset)
    return embedded
