"""Labelled pictures + systems -> how well each system finds what the pictures show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from audit.errors import AuditError
from audit.evaluation.evaluated_system import EvaluatedSystem
from audit.evaluation.figures import TargetFigures, target_figures
from audit.evaluation.labelled_images import YES, LabelledImages, NamesUnderLabels
from audit.evaluation.paired import PairedDifference, paired_differences
from audit.evaluation.sentences import finding_sentences, paired_sentences
from audit.evaluation.targets import evaluation_targets
from audit.evaluation.wrong_pictures import (
    DoneInstead,
    TakenFor,
    WrongPicture,
    done_instead,
    taken_for,
    wrong_pictures,
)
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
    notes: tuple[str, ...]
    cautions: tuple[str, ...]
    names: tuple[NameCount, ...]
    systems: tuple[EvaluatedRecord, ...]
    finding: tuple[str, ...] = Field(description="What the figures say, in words.")
    figures: tuple[TargetFigures, ...]
    paired: tuple[PairedDifference, ...] = Field(description="Each system against the first.")
    taken_for: tuple[TakenFor, ...]
    done_instead: tuple[DoneInstead, ...]
    wrong: tuple[WrongPicture, ...]

    def to_json(self) -> str:
        """Returns the evaluation as JSON."""
        return self.model_dump_json(indent=2) + "\n"


def evaluate(
    images: LabelledImages, systems: Sequence[EvaluatedSystem], *, notes: Iterable[str] = ()
) -> Evaluation:
    """Returns how well each system finds what the pictures show.

    A policy is `EvaluatedSystem.of_policy(predict(policy, encoder, features, looks=...))`; anything
    else is `EvaluatedSystem.of_scores(name, [SystemLabel(...)], scores)`. Labels of systems are
    the same where their ids are. For example:

        images = LabelledImages.of_names(["a.jpg", "b.jpg"], [["handgun"], ["pass"]])
        labels = [SystemLabel("handgun", "block", "weapons/firearms", threshold=0.5)]
        system = EvaluatedSystem.of_scores("mine", labels, [[0.9], [0.2]])
        figures = evaluate(images, [system]).figures

    Args:
        images: n pictures with what people say they show.
        systems: each with what it says of these n pictures, in their order.
        notes: what a reader must know of the pictures.

    Raises:
        AuditError: no system knows any of the names, or two have one name.
        ValueError: a system says something of more or fewer pictures.
    """
    _refuse_wrong_systems(images, systems)
    under = [images.under(system.labels) for system in systems]
    pairs = zip(systems, under, strict=True)
    looked_for = [list(evaluation_targets(system, names)) for system, names in pairs]
    if not any(target.known.any() for each in looked_for for target in each):
        what = f"no label or category is called {', '.join(images.names) or '(nothing)'}"
        remedy = f"Name pictures by: {', '.join(known_names(systems))}"
        raise AuditError(what, images.source or "the pictures", remedy)
    each = list(zip(systems, under, looked_for, strict=True))
    figures = tuple(target_figures(system.name, t) for system, _, own in each for t in own)
    paired = paired_differences([system.name for system in systems], looked_for)
    return Evaluation(
        source=images.source,
        n=len(images),
        notes=tuple(notes),
        cautions=tuple(dict.fromkeys(c for system in systems for c in system.cautions)),
        names=tuple(_name_counts(images)),
        systems=tuple(_evaluated(system, names) for system, names, _ in each),
        finding=(*finding_sentences(figures), *paired_sentences(paired)),
        figures=figures,
        paired=paired,
        taken_for=tuple(row for system, names, _ in each for row in taken_for(system, names)),
        done_instead=tuple(row for system, _, own in each for row in done_instead(system, own)),
        wrong=tuple(row for one in each for row in wrong_pictures(*one)),
    )


def _name_counts(images: LabelledImages) -> Iterator[NameCount]:
    for name, n in zip(images.names, (images.marks == YES).sum(axis=0).tolist(), strict=True):
        yield NameCount(name=name, n=n)


def _evaluated(system: EvaluatedSystem, names: NamesUnderLabels) -> EvaluatedRecord:
    return EvaluatedRecord(
        name=system.name,
        about=system.about,
        labels=tuple(label.id for label in system.labels),
        unclaimed=names.unclaimed,
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
