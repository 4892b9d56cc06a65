"""y_true -> what a system should say of cells: which labels are right, what should be flagged."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from audit.datasets.spelling import composed
from audit.errors import AuditError
from audit.metrics.truth import Classes, SystemLabel, Truth
from audit.predicted.cell_query import CellPart
from audit.predicted.cells import Cells
from audit.predicted.columns import PredictionOptions
from audit.predicted.flags import matching_labels, unknown_label
from audit.predicted.systems import System
from audit.predicted.texts import CodedTexts
from audit.predicted.words import Decision, class_decisions
from moderation.visible_text import brief

#: Up to this many labels and classes are named in an error.
_NAMED = 12


class Implied(NamedTuple):
    """The class of y_true that a label implies; None where it implies none."""

    classes: Mapping[str, str | None]

    def labels_of(
        self, name: str, labels: Sequence[SystemLabel], classes: Collection[str]
    ) -> list[int]:
        """Returns the columns of the labels that imply one of some classes."""
        implied = (self.classes.get(label.id, label.id) for label in labels)
        return [
            column
            for column, each in enumerate(implied)
            if each == name
            or (each is not None and each not in classes and _plain(each) == _plain(name))
        ]


def _plain(name: str) -> str:
    """Returns a name by which labels and classes meet: Big_Dog is big dog, but -1 is not 1."""
    return re.sub(r"(?<=\w)[\s_/-]+(?=\w)", " ", name.casefold())


def implied_classes(
    systems: Iterable[System], cells: Cells, options: PredictionOptions
) -> dict[str, Implied]:
    """Returns by system which class each of its labels implies: as said, or by its own name.

    Raises:
        AuditError: a label implies two classes, no system says a label, or no row has a class.
    """
    systems = list(systems)
    typed = [text for text in options.implies if not _behind(text).startswith("@")]
    labels = list(dict.fromkeys(label.id for each in systems for label in each.labels))
    by_name = _implied_by_name(typed, labels)
    _refuse_unknown_classes(by_name.values(), [cells.y_true(each.name) for each in systems])
    return {
        system.name: Implied({**by_name, **_implied_by_column(system, cells)}) for system in systems
    }


def _refuse_unknown_classes(named: Iterable[str], truths: Sequence[CodedTexts | None]) -> None:
    """Refuses classes that no row has: a misspelt one would leave its own images out."""
    classes = sorted({name for coded in truths if coded for name in coded.values})
    meant = {_plain(name) for name in classes}
    for name in named:
        if _plain(name) not in meant:
            near = difflib.get_close_matches(name, classes, 1, 0.5)
            remedy = f"Did you mean {near[0]}? " if near else ""
            more = f" and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else ""
            has = f"The classes of y_true are: {', '.join(classes[:_NAMED])}{more}"
            if not classes:
                has = "Name the column of y_true with --truth-column"
            raise AuditError(
                brief(f"no row has the class {name}"), "--implies", brief(remedy + has)
            )


def _behind(text: str) -> str:
    return text.rpartition("=")[2].strip()


def _implied_by_name(typed: Iterable[str], labels: Sequence[str]) -> dict[str, str]:
    """Returns the classes of LABEL=CLASS; one that names a label wins over one with `*`."""
    exact: dict[str, str] = {}
    fitting: dict[str, str] = {}
    for text in typed:
        named, _, name = (composed(part) for part in text.rpartition("="))
        if not named or not name:
            what = f"{text} is not of the form LABEL=CLASS"
            raise AuditError(what, "--implies", "Write such as --implies man=Male")
        own = matching_labels(named, labels)
        if not own:
            raise unknown_label(named, labels, "--implies")
        found = exact if own == [named] else fitting
        for label in own:
            if found.setdefault(label, name) != name:
                what = f"the label {label} implies {found[label]} and {name}"
                raise AuditError(what, "--implies", "Name it alone, as LABEL=CLASS")
    return {**fitting, **exact}


def _implied_by_column(system: System, cells: Cells) -> dict[str, str | None]:
    """Returns the class that stands beside each label of a system, the same in all rows."""
    implied = cells.texts.get(CellPart("implied", system.name))
    if implied is None:
        return {}
    said = cells.texts[CellPart("said", system.name)]
    found: dict[str, str | None] = {}
    for label, place in sorted(set(zip(said.codes.tolist(), implied.codes.tolist(), strict=True))):
        name = implied.values[place] if place >= 0 else None
        if found.setdefault(said.values[label], name) != name:
            both = f"{found[said.values[label]] or 'nothing'} and {name or 'nothing'}"
            what = f"the label {said.values[label]} of {system.name} implies {both} in other rows"
            remedy = "Let each label imply one class, or name the classes themselves with --said"
            raise AuditError(brief(what), "--implies", remedy)
    return found


def system_truth(system: System, cells: Cells, implied: Implied, *, benign: bool) -> Truth:
    """Returns what a system should say of cells, as far as y_true is known and says it.

    A class is the label that implies it; or a word for what should be done, such as allow, or 0.
    """
    n, labels = len(cells), system.labels
    positive, negative = np.zeros(n, bool), np.full(n, benign and system.can_flag)
    meant = np.zeros((n, len(labels)), bool)
    unmatched: dict[str, int] = {}
    coded = cells.y_true(system.name)
    names = coded.values if coded else ()
    own = {name: implied.labels_of(name, system.labels, names) for name in names}
    words = class_decisions([name for name in names if not own[name]])
    for place, name in enumerate(names):
        rows = coded.codes == place if coded else positive
        word = words.get(name)
        if meaning := own[name] or _meant(word, system):
            acts = any(labels[column].acts for column in meaning)
            positive[rows], negative[rows] = acts, system.can_flag and not acts
            meant[:, meaning] |= rows[:, np.newaxis]
        elif word is not None and system.can_flag:
            positive[rows], negative[rows] = word != "allow", word == "allow"
        elif count := int(cells.weights[rows].sum()):
            unmatched[name] = count
    classes = Classes(coded.values, coded.codes.astype(np.intp)) if coded else None
    return Truth(positive, negative, meant, unmatched, classes)


def _meant(word: Decision | None, system: System) -> list[int]:
    """Returns the columns of the labels that a word for what should be decided means.

    Of one score, 1 means its label, and 0 that it is not said.
    """
    if system.columns.kind != "scores" or word is None:
        return []
    if word == "allow":
        return [len(system.labels) - 1]
    return [0] if len(system.columns.scores) == 1 else []


def truth_notes(
    systems: Iterable[System], implied: Mapping[str, Implied], truths: Sequence[Truth]
) -> list[str]:
    """Returns which labels imply no class of y_true, where others do.

    Raises:
        AuditError: of a system with a y_true, no label implies a class.
    """
    notes = []
    for system, truth in zip(systems, truths, strict=True):
        known = bool((truth.positive | truth.negative).any() or truth.meant.any())
        if truth.unmatched and not known:
            raise _nothing_implied(system, truth)
        classes = implied[system.name].classes
        lone = [
            label.id
            for column, label in enumerate(system.labels)
            if truth.meant.any()
            and not truth.meant[:, column].any()
            and system.columns.kind == "labels"
            and classes.get(label.id) is None
        ]
        if lone:
            more = f" and {len(lone) - _NAMED:,} more" if len(lone) > _NAMED else ""
            notes.append(
                f"Labels of {system.name} that imply no class of y_true, and are wrong wherever "
                f"y_true is known: {', '.join(lone[:_NAMED])}{more}."
            )
    return notes


def _nothing_implied(system: System, truth: Truth) -> AuditError:
    classes = ", ".join(list(truth.unmatched)[:_NAMED])
    labels = ", ".join(label.id for label in system.labels[:_NAMED])
    if not system.labels:
        what = f"no class of y_true ({classes}) says what {system.name} should decide"
        return AuditError(brief(what), "y_true", "Say it with --truth CLASS=allow or CLASS=flag")
    first = next(iter(truth.unmatched))
    what = f"no class of y_true ({classes}) is implied by a label of {system.name} ({labels})"
    remedy = (
        f"Say which label implies which class with --implies LABEL={first}, or what a class means "
        f"with --truth {first}=LABEL or --truth {first}=allow"
    )
    return AuditError(brief(what), "y_true", brief(remedy))


def refuse_nothing_to_measure(systems: Sequence[System], truths: Sequence[Truth]) -> None:
    """Refuses systems of which no harm is known, or not the same: to be flagged, or misclassified.

    Raises:
        AuditError: one flags and another does not, or one neither flags nor has a y_true.
    """
    flagging = [system.name for system in systems if system.can_flag]
    others = [system.name for system in systems if not system.can_flag]
    if flagging and others:
        what = f"{flagging[0]} flags images, and {others[0]} does not, so they cannot be compared"
        remedy = f"Name the labels of {others[0]} that flag with --flag, or audit it by itself"
        raise AuditError(brief(what), "--flag", brief(remedy))
    for system, truth in zip(systems, truths, strict=True):
        if not system.can_flag and not truth.unmatched and not truth.meant.any():
            what = f"{system.name} flags nothing, and it is not known what is right"
            remedy = (
                "Name the labels that flag with --flag, or the column of y_true: --truth-column"
            )
            raise AuditError(brief(what), "--flag", remedy)
