"""Labelled pictures + systems -> how well each system finds what the pictures show."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from audit.errors import AuditError
from audit.evaluation.evaluated_system import EvaluatedSystem
from audit.evaluation.figures import TargetFigures, target_figures
from audit.evaluation.labelled_images import YES, LabelledImages
from audit.evaluation.targets import EvaluationTarget, evaluation_targets
from audit.results.rows import Record


class NameCount(Record):
    """A name that pictures have, and how many have it."""

    name: str
    n: int


class EvaluatedRecord(Record):
    """A system that was evaluated."""

    name: str
    about: str
    labels: tuple[str, ...]
    unclaimed: tuple[str, ...] = Field(
        description="Names that it does not know: what it should say there is unknown."
    )


class Evaluation(Record):
    """How well some systems find what labelled pictures show; this is the JSON of `evaluate`."""

    source: str
    n: int
    names: tuple[NameCount, ...]
    systems: tuple[EvaluatedRecord, ...]
    figures: tuple[TargetFigures, ...]


def evaluate(images: LabelledImages, systems: Sequence[EvaluatedSystem]) -> Evaluation:
    """Returns how well each system finds what the pictures show.

    A policy is `EvaluatedSystem.of_policy(predict(policy, encoder, features, looks=...))`; anything
    else is `EvaluatedSystem.of_scores(name, [EvaluatedLabel(...)], scores)`. Labels of systems are
    the same where their ids are. For example:

        images = LabelledImages.of_names(["a.jpg", "b.jpg"], [["handgun"], ["pass"]])
        labels = [EvaluatedLabel("handgun", "weapons/firearms", "block", threshold=0.5)]
        system = EvaluatedSystem.of_scores("mine", labels, [[0.9], [0.2]])
        figures = evaluate(images, [system]).figures

    Args:
        images: n pictures with what people say they show.
        systems: each with what it says of these n pictures, in their order.

    Raises:
        AuditError: no system knows any of the names, or two have one name.
        ValueError: a system says something of more or fewer pictures.
    """
    _refuse_wrong_systems(images, systems)
    under = [images.under(system.labels) for system in systems]
    looked_for: list[list[EvaluationTarget]] = [
        list(evaluation_targets(system, names))
        for system, names in zip(systems, under, strict=True)
    ]
    if not any(target.known.any() for each in looked_for for target in each):
        what = f"no label or category is called {', '.join(images.names) or '(nothing)'}"
        remedy = f"Name pictures by: {', '.join(known_names(systems))}"
        raise AuditError(what, images.source or "the pictures", remedy)
    counts = (images.marks == YES).sum(axis=0).tolist()
    return Evaluation(
        source=images.source,
        n=len(images),
        names=tuple(
            NameCount(name=name, n=n) for name, n in zip(images.names, counts, strict=True)
        ),
        systems=tuple(
            EvaluatedRecord(
                name=system.name,
                about=system.about,
                labels=tuple(label.id for label in system.labels),
                unclaimed=names.unclaimed,
            )
            for system, names in zip(systems, under, strict=True)
        ),
        figures=tuple(
            target_figures(system.name, target)
            for system, each in zip(systems, looked_for, strict=True)
            for target in each
        ),
    )


def known_names(systems: Sequence[EvaluatedSystem]) -> list[str]:
    """Returns the ids and categories of all labels."""
    labels = [label for system in systems for label in system.labels]
    return sorted({name for each in labels for name in (each.id, each.reported_category)})


def _refuse_wrong_systems(images: LabelledImages, systems: Sequence[EvaluatedSystem]) -> None:
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        what = f"two systems are called {next(n for n in names if names.count(n) > 1)}"
        raise AuditError(what, images.source or "the pictures", "Give each a name of its own")
    for system in systems:
        if len(system.scores) != len(images):
            what = f"{system.name} says something of {len(system.scores)} pictures"
            raise ValueError(f"{what}, and there are {len(images)}")
