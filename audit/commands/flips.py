"""What `moderation policy diff --on` looks at: a dataset with its features, under two policies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands.opening import (
    names_recording,
    open_dataset,
    open_embedded,
    open_encoder,
    open_outputs,
    open_recording,
    seen_of_dataset,
)
from audit.commands.options import DatasetOptions, ReadingOptions
from audit.errors import AuditError
from audit.results.formatting import images
from moderation.commands.options import ModelOption
from moderation.commands.output import note
from moderation.policy import Policy

if TYPE_CHECKING:
    from audit.datasets.dataset import Dataset
    from audit.embedding.dataset_features import EmbeddedDataset
    from audit.flips.dataset_flips import SeenUnder
    from audit.flips.flips import Flips
    from moderation.encoders.encoder import TextEncoder


@dataclass(frozen=True)
class PictureOptions(ReadingOptions):
    """How pictures are read of which it does not matter what they show; bad ones are left out."""

    truth: list[str] | None = field(default=None, init=False)
    skip_bad: bool = field(default=True, init=False)
    benign: bool | None = field(default=None, init=False)


@dataclass(frozen=True)
class FlipOptions(DatasetOptions):
    """The options of a dataset, which is `--on`, with the groups to look at."""

    dataset: Annotated[
        Path | None,
        typer.Option(
            "--on",
            metavar="PATH",
            help="Pictures to decide on again: a folder, or a dataset as audits take it.",
        ),
    ] = None
    model: ModelOption = None
    reading: PictureOptions = PictureOptions()
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="With --on: sensitive feature, or several with commas between for their "
            "intersection. Repeatable; by default each, and each pair."
        ),
    ] = None

    @property
    def sensitive_features(self) -> list[tuple[str, ...]] | None:
        """The sensitive features and intersections of --by; None for the default."""
        if not self.by:
            return None
        return [tuple(part.strip() for part in text.split(",")) for text in self.by]


def flips_on(
    old: Policy, new: Policy, options: FlipOptions, default_model: str, former: Mapping[str, str]
) -> Flips:
    """Returns which pictures get another action under the new policy, and whose they are.

    Pictures with something wrong are left out, and named. Each policy runs on its own model, as
    a worker would run it.

    Args:
        old: the policy before the edit.
        new: the policy after it.
        options: of the pictures, the model and the embedding store.
        default_model: of a policy that names none.
        former: the old ids of labels that were renamed, by the new one.

    Raises:
        DatasetError: there are no pictures, or no such sensitive feature.
        ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model.
        StoreError: the store is damaged, or cannot be written.
    """
    from audit.datasets.chosen_groups import chosen_groups
    from audit.flips.dataset_flips import SeenUnder, dataset_flips

    named = [options.model or policy.model or default_model for policy in (old, new)]
    with ExitStack() as stack:
        opened = {
            reference: stack.enter_context(_pictures_under(options, (old, new), reference))
            for reference in dict.fromkeys(named)
        }
        before, after = (
            SeenUnder(policy, *opened[reference])
            for policy, reference in zip((old, new), named, strict=True)
        )
        _refuse_other_pictures(before, after)
        groups, notes = chosen_groups(after.embedded.dataset, options.sensitive_features)
        found = dataset_flips(before, after, groups, former)
        return found._replace(notes=(*found.notes, *notes))


def _refuse_other_pictures(before: SeenUnder, after: SeenUnder) -> None:
    """Refuses pictures of which one model reads some that the other cannot read."""
    if before.embedded.sha256 != after.embedded.sha256:
        what = "one of the two models cannot read a picture that the other reads"
        where = str(after.embedded.dataset.source)
        raise AuditError(what, where, "Name one model with --model, or leave this picture out")


@contextmanager
def _pictures_under(
    options: FlipOptions, policies: Collection[Policy], reference: str
) -> Iterator[tuple[EmbeddedDataset, TextEncoder]]:
    """Yields the pictures with what a model and the classifiers of policies make."""
    if names_recording(options):
        from audit.embedding.recorded_encoder import RecordedEncoder, embedded_recording

        recording = open_recording(options)
        yield embedded_recording(recording), RecordedEncoder(recording)
        return
    dataset = _open_pictures(options)
    with open_encoder(options, reference) as encoder:
        embedded = open_embedded(options, dataset, encoder)
        n = len(embedded.dataset)
        note(f"{images(n)}; {embedded.embedded} embedded now, the rest from {encoder.store.root}")
        note(seen_of_dataset(embedded))
        yield open_outputs(options, embedded, policies), encoder


def _open_pictures(options: FlipOptions) -> Dataset:
    """Returns the pictures of a dataset, or of any folder."""
    from audit.datasets.adapters.pictures import is_plain_folder, load_pictures

    path, reading = options.named_dataset, options.reading
    if reading.adapter is not None or not is_plain_folder(path):
        return open_dataset(options)
    dataset = load_pictures(path, reading.load_options())
    for text in dataset.notes:
        note(text)
    return dataset
