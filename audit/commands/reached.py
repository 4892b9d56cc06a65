"""How high the labels of policies score on a set of images, for `moderation policy lint --on`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from audit.commands.opening import open_subject
from audit.commands.options import DatasetOptions

if TYPE_CHECKING:
    from moderation.policy import Policy
    from moderation.policy.lint.linted_policy import HighestScores


def highest_scores(
    options: DatasetOptions, policies: Mapping[str, Policy]
) -> dict[str, HighestScores]:
    """Returns the highest score of each label of policies over a dataset, by their names.

    Raises:
        DatasetError: images are wrong. ModelError: the model cannot be loaded.
        PolicyError: a policy does not fit the model, or a classifier cannot be used.
        StoreError: the store is damaged, or cannot be written.
    """
    from moderation.policy.lint.linted_policy import HighestScores

    with open_subject(options, policies.values(), by=()) as subject:
        said = subject.predict(policies)
        n, name = len(subject.dataset), subject.dataset.name
    return {
        each.name: HighestScores(
            {
                label.id: float(score)
                for label, score in zip(
                    policies[each.name].labels, each.every_look.scores.max(axis=0), strict=True
                )
            },
            n,
            name,
        )
        for each in said
    }
