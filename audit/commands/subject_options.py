"""The options that every audit of a dataset takes, and the subject that they stand for."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from audit.commands.inputs import (
    AdapterOption,
    BenignOption,
    ColumnOption,
    ImagesOption,
    RepairOption,
    SkipBadOption,
    TruthOption,
    parse_options,
)
from audit.errors import AuditError
from moderation.output import note, track, working

if TYPE_CHECKING:
    from audit.dataset import Dataset
    from audit.model import StoredEncoder
    from audit.subject import Subject
    from moderation.policy import Policy

#: Threads that decode ahead of the encoder.
THREADS = 2 * (os.cpu_count() or 1)

ModelOption = Annotated[
    str | None,
    typer.Option(
        envvar=["AUDIT_MODEL", "MODERATION_MODEL"],
        help="The model that your workers run: starter, a folder, or hub-id[@revision]. Wins over "
        "what the policies name.",
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(help="Folder where features are kept; else one in the user's cache."),
]
DeviceOption = Annotated[
    str, typer.Option(envvar=["AUDIT_DEVICE", "MODERATION_DEVICE"], help="torch device.")
]
DtypeOption = Annotated[
    str,
    typer.Option(
        envvar=["AUDIT_DTYPE", "MODERATION_DTYPE"],
        help="Number format of the model: auto, float32, bfloat16, float16.",
    ),
]
OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        envvar=["AUDIT_OFFLINE", "MODERATION_OFFLINE"],
        help="Never ask the model hub.",
    ),
]


@dataclass(frozen=True)
class SubjectOptions:
    """What every audit is asked of: dataset, model, store, groups."""

    dataset: Annotated[
        Path,
        typer.Option(
            "--dataset", "-d", metavar="PATH", help="Folder of images, or file of annotations."
        ),
    ]
    model: ModelOption = None
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Sensitive feature, or several with commas between for their intersection. "
            "Repeatable; else each, and each pair."
        ),
    ] = None
    store: StoreOption = None
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0
    adapter: AdapterOption = None
    column: ColumnOption = None
    images: ImagesOption = None
    truth: TruthOption = None
    skip_bad: SkipBadOption = False
    repair: RepairOption = False
    benign: BenignOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = "auto"
    offline: OfflineOption = False

    @property
    def features(self) -> list[tuple[str, ...]] | None:
        """The features and intersections of --by; None for the default."""
        if not self.by:
            return None
        return [tuple(part.strip() for part in text.split(",")) for text in self.by]


def takes_subject(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with the options of `SubjectOptions` in place of its `options`.

    So that they are declared once; typer reads them from the signature.
    """
    hints = get_type_hints(SubjectOptions, include_extras=True)
    names = [field.name for field in fields(SubjectOptions)]
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.name == "dataset" else field.default,
            annotation=hints[field.name],
        )
        for field in fields(SubjectOptions)
    ]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=own_hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "options"
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = SubjectOptions(**{name: given.pop(name) for name in names})
        command(options=options, **given)

    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def find_model(options: SubjectOptions, policies: Sequence[Policy]) -> str:
    """Returns the reference of the one model that an audit runs on.

    Raises:
        AuditError: none is named, or the policies name several.
    """
    named = sorted({policy.model for policy in policies if policy.model})
    if options.model:
        return options.model
    if len(named) == 1 and all(policy.model for policy in policies):
        return named[0]
    what = f"the policies name {', '.join(named)}" if len(named) > 1 else "no model is named"
    raise AuditError(what, "--model", "Name the one that your workers run, such as --model starter")


def load_annotations(options: SubjectOptions) -> Dataset:
    """Returns the dataset as it is annotated; its images are not looked at yet.

    Raises:
        DatasetError: with everything that is wrong with its annotations.
    """
    from audit.adapters import load_dataset

    how = parse_options(
        column=options.column,
        images=options.images,
        truth=options.truth,
        skip_bad=options.skip_bad,
        repair=options.repair,
        benign=options.benign,
    )
    return load_dataset(options.dataset, adapter=options.adapter, options=how)


@contextmanager
def open_encoder(options: SubjectOptions, reference: str) -> Iterator[StoredEncoder]:
    """Yields the model of an audit; it is loaded only where the store does not do.

    Raises:
        ModelError: it cannot be loaded. StoreError: a file of the store is damaged.
    """
    from audit.model import StoredEncoder, default_store
    from moderation.embeddings import EmbeddingStore
    from moderation.encoders import LoadOptions

    store = EmbeddingStore(options.store or default_store())
    how = LoadOptions(options.device, options.dtype, options.offline)
    with working("Looking for the model ..."):
        encoder = StoredEncoder(reference, how, store)
    with encoder:
        yield encoder


@contextmanager
def open_subject(options: SubjectOptions, policies: Sequence[Policy]) -> Iterator[Subject]:
    """Yields what an audit looks at, with every image embedded.

    Raises:
        DatasetError: annotations or images are wrong. ModelError: the model cannot be loaded.
        StoreError: a file of the store is damaged.
    """
    from audit.embedding import embed_dataset, embed_here
    from audit.subject import Subject

    dataset = load_annotations(options)
    with open_encoder(options, find_model(options, policies)) as encoder:
        embedded = embed_dataset(
            dataset,
            encoder.stamp,
            encoder.store,
            embed_here(encoder, threads=THREADS),
            skip_bad=options.skip_bad,
            track=track,
        )
        n = len(embedded.dataset)
        note(f"{n} images; {embedded.embedded} embedded now, the rest from {encoder.store.root}")
        yield Subject.of(
            embedded, encoder, options.features, seed=options.seed, command=typed_command()
        )


def typed_command() -> str:
    """Returns the command line as it was typed."""
    return join(["audit", *sys.argv[1:]])
