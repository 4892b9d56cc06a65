"""How high the labels of policies score on a set of images, for `moderation policy lint --on`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audit.commands.opening import (
    names_recording,
    open_embedded,
    open_encoder,
    open_outputs,
    open_pictures,
    open_subject,
    say_embedded,
)
from audit.commands.options import DatasetOptions

if TYPE_CHECKING:
    from audit.audits.subject import Subject
    from moderation.policy import Policy
    from moderation.policy.lint.linted_policy import HighestScores


def highest_scores(
    options: DatasetOptions, policies: Mapping[str, Policy]
) -> dict[str, HighestScores]:
    """Returns the highest score of each label of policies over images, by the policies' names.

    Raises:
        DatasetError: images are wrong. ModelError: the model cannot be loaded.
        PolicyError: a policy does not fit the model, or a classifier cannot be used.
        StoreError: the store is damaged, or cannot be written.
    """
    from moderation.policy.lint.linted_policy import HighestScores

    found = {}
    with _open_images(options, policies) as subject:
        for said in subject.predict(policies):
            highest = said.every_look.scores.max(axis=0).tolist()
            scores = {label.id: score for label, score in zip(said.labels, highest, strict=True)}
            found[said.name] = HighestScores(scores, len(subject.dataset), subject.dataset.name)
    return found


@contextmanager
def _open_images(options: DatasetOptions, policies: Mapping[str, Policy]) -> Iterator[Subject]:
    """Yields the images of a dataset, or all below a folder."""
    from audit.audits.subject import Subject

    if names_recording(options):
        with open_subject(options, policies.values(), by=()) as subject:
            yield subject
        return
    dataset = open_pictures(options)
    with open_encoder(options, options.chosen_model(policies.values())) as encoder:
        embedded = open_embedded(options, dataset, encoder)
        say_embedded(embedded, encoder)
        embedded = open_outputs(options, embedded, policies.values())
        yield Subject.of(embedded, encoder, ())
