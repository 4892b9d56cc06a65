"""What `moderation policy diff --on` looks at: a dataset with its features, under two policies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from audit.commands.opening import (
    names_recording,
    open_embedded,
    open_encoder,
    open_outputs,
    open_pictures,
    open_recording,
    say_embedded,
)
from audit.commands.options import ReadingOptions, SubjectOptions
from audit.errors import AuditError
from moderation.commands.options import ModelOption
from moderation.commands.output import working
from moderation.errors import ImageError
from moderation.policy import Policy

if TYPE_CHECKING:
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
class FlipOptions(SubjectOptions):
    """The options of a dataset, which is `--on`, with the groups to look at."""

    dataset: Annotated[
        Path | None,
        typer.Option(
            "--on",
            metavar="PATH",
            envvar="MODERATION_POLICY_DIFF_ON",
            help="Pictures to decide on again: a folder, or a dataset as audits take it.",
        ),
    ] = None
    model: ModelOption = None
    reading: PictureOptions = PictureOptions()


class FlipPictures:
    """The pictures of `--on`, each policy on its own model, as a worker would run it.

    A context manager: what was opened once stays in memory until the block ends, so that another
    edit of a policy costs its new texts alone. Pictures with something wrong are left out, and
    named.
    """

    def __init__(self, options: FlipOptions, default_model: str) -> None:
        """Opens nothing yet.

        Args:
            options: of the pictures, the model and the embedding store.
            default_model: of a policy that names none.
        """
        self._options, self._default_model = options, default_model
        self._opened: dict[str, tuple[EmbeddedDataset, TextEncoder]] = {}
        self._stack = ExitStack()

    def flips(self, old: Policy, new: Policy, former: Mapping[str, str]) -> Flips:
        """Returns which pictures get another action under the new policy, and whose they are.

        Args:
            old: the policy before the edit.
            new: the policy after it.
            former: the old ids of labels that were renamed, by the new one.

        Raises:
            DatasetError: there are no pictures, or no such sensitive feature.
            ModelError: a model cannot be loaded. PolicyError: a policy does not fit its model.
            StoreError: the store is damaged, or cannot be written.
        """
        from audit.datasets.chosen_groups import chosen_groups
        from audit.flips.dataset_flips import SeenUnder, dataset_flips

        before, after = (SeenUnder(each, *self._seen_for(each, (old, new))) for each in (old, new))
        _refuse_other_pictures(before, after)
        groups, notes = chosen_groups(after.embedded.dataset, self._options.sensitive_features)
        found = dataset_flips(before, after, groups, former)
        return found._replace(notes=(*found.notes, *notes))

    def load_models(self) -> None:
        """Loads the models of texts now, so that the first edit does not wait for them."""
        from moderation.features import StoredEncoder

        for _, encoder in self._opened.values():
            if isinstance(encoder, StoredEncoder):
                with working("Loading the model ..."):
                    encoder.load()

    def thumbnails(self, names: Collection[str]) -> dict[str, str]:
        """Returns small pictures as data URIs, by their names.

        Raises:
            AuditError: a picture is gone, or was recorded as features alone.
        """
        from audit.evaluation.thumbnails import picture_thumbnails

        embedded, _ = next(iter(self._opened.values()))
        where = str(embedded.dataset.source)
        if embedded.recording is not None:
            raise AuditError("no picture is recorded", where, "Leave out --thumbnails")
        try:
            return picture_thumbnails(embedded.dataset, names)
        except (OSError, ImageError) as error:
            what = f"a picture cannot be shown: {error}"
            raise AuditError(what, where, "Leave out --thumbnails") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _seen_for(
        self, policy: Policy, policies: Collection[Policy]
    ) -> tuple[EmbeddedDataset, TextEncoder]:
        """Returns the pictures with what a policy's model, and all policies' classifiers, make."""
        reference = self._options.model or policy.model or self._default_model
        if reference not in self._opened:
            opening = _pictures_under(self._options, reference)
            self._opened[reference] = self._stack.enter_context(opening)
        embedded, encoder = self._opened[reference]
        asked = {e.model_key for each in policies for e in each.classified_labels.values()}
        if embedded.recording is None and asked - embedded.outputs.keys():
            embedded = open_outputs(self._options, embedded, policies)
            self._opened[reference] = embedded, encoder
        return embedded, encoder


def _refuse_other_pictures(before: SeenUnder, after: SeenUnder) -> None:
    """Refuses pictures of which one model reads some that the other cannot read."""
    if before.embedded.sha256 != after.embedded.sha256:
        what = "one of the two models cannot read a picture that the other reads"
        where = str(after.embedded.dataset.source)
        raise AuditError(what, where, "Name one model with --model, or leave this picture out")


@contextmanager
def _pictures_under(
    options: FlipOptions, reference: str
) -> Iterator[tuple[EmbeddedDataset, TextEncoder]]:
    """Yields the pictures with what a model makes of them, and the model."""
    if names_recording(options):
        from audit.embedding.recorded_encoder import RecordedEncoder, embedded_recording

        recording = open_recording(options)
        yield embedded_recording(recording), RecordedEncoder(recording)
        return
    dataset = open_pictures(options)
    with open_encoder(options, reference) as encoder:
        embedded = open_embedded(options, dataset, encoder)
        say_embedded(embedded, encoder)
        yield embedded, encoder
