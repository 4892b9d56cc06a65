"""Which pictures a system is wrong about, and what pictures of each name were taken for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from audit.evaluation.evaluated_system import OUTCOMES, EvaluatedSystem
from audit.evaluation.labelled_images import YES, Marks, NamesUnderLabels
from audit.evaluation.targets import BLOCKED, FLAGGED, EvaluationTarget
from audit.metrics.predictions import NO_LABEL
from audit.results.rows import Number, Record
from moderation.messages import Action
from moderation.scoring.verdict import ACTIONS, actions


class WrongPicture(Record):
    """A picture that a system is wrong about: it missed a target, or said it falsely."""

    system: str
    kind: Literal["action", "category", "label"]
    name: str
    error: Literal["missed", "false"]
    image: str
    given: tuple[str, ...] = Field(description="What people call it.")
    score: float = Field(description="For the kind action, logits above the own threshold.")
    threshold: Number
    action: Action
    flagged_by: tuple[str, ...] = Field(description="Labels that ask for review or block.")
    nearest: str | None = Field(description="The label that it looks most like, where one is said.")


class TakenFor(Record):
    """How many pictures of a name a label flagged; or no label did."""

    system: str
    name: str
    label: str
    count: int
    wrong: int = Field(description="How many of them do not show it, as far as that is known.")
    n: int


class DoneInstead(Record):
    """How many pictures that should get one action got which."""

    system: str
    should: Action
    did: Action
    count: int


def wrong_pictures(
    system: EvaluatedSystem, names: NamesUnderLabels, targets: Sequence[EvaluationTarget]
) -> Iterator[WrongPicture]:
    """Yields the wrong pictures of each target, those that are furthest off first."""
    did = actions(system.outcomes)
    ids = np.array([label.id for label in system.labels], object)
    given = np.array(names.images.names, object)
    for target in targets:
        point = target.points[0]
        missed = np.flatnonzero(target.positive & ~point.said)
        false = np.flatnonzero(target.negative & point.said)
        ordered = [
            *(("missed", row) for row in missed[np.argsort(target.scores[missed], kind="stable")]),
            *(("false", row) for row in false[np.argsort(-target.scores[false], kind="stable")]),
        ]
        for error, row in ordered:
            nearest = None if system.nearest is None else system.nearest[row]
            yield WrongPicture(
                system=system.name,
                kind=target.kind,
                name=target.name,
                error=error,
                image=names.images.ids[row],
                given=tuple(given[names.images.marks[row] == YES]),
                score=float(target.scores[row]),
                threshold=point.threshold,
                action=ACTIONS[did[row]],
                flagged_by=tuple(ids[system.outcomes[row] >= OUTCOMES["review"]]),
                nearest=None if nearest is None or nearest < 0 else ids[nearest],
            )


def taken_for(system: EvaluatedSystem, names: NamesUnderLabels) -> Iterator[TakenFor]:
    """Yields what pictures of each name were flagged as, the most frequent first."""
    given = names.images.marks == YES
    fired = system.outcomes >= OUTCOMES["review"]
    negative = np.column_stack(
        [names.truth(each)[1] for each in np.eye(fired.shape[1], dtype=bool)]
    )
    should, _ = names.truth(names.flagging)
    none = ~fired.any(axis=1)
    said = np.column_stack([fired, none])
    wrong = np.column_stack([fired & negative, none & should])
    labels = [*(label.id for label in system.labels), NO_LABEL]
    unclaimed = set(names.unclaimed)
    for place, name in enumerate(names.images.names):
        rows = given[:, place]
        if name in unclaimed:
            continue
        counts, faults = said[rows].sum(axis=0), wrong[rows].sum(axis=0)
        for column in np.argsort(-counts, kind="stable"):
            if counts[column]:
                yield TakenFor(
                    system=system.name,
                    name=name,
                    label=labels[column],
                    count=int(counts[column]),
                    wrong=int(faults[column]),
                    n=int(rows.sum()),
                )


def done_instead(
    system: EvaluatedSystem, targets: Sequence[EvaluationTarget]
) -> Iterator[DoneInstead]:
    """Yields what was done to the pictures that should get each action, where that is known."""
    by_name = {target.name: target for target in targets if target.kind == "action"}
    if FLAGGED not in by_name:
        return
    flagged, blocked = by_name[FLAGGED], by_name.get(BLOCKED)
    block = np.zeros(len(flagged.positive), bool) if blocked is None else blocked.positive
    review = flagged.positive if blocked is None else flagged.positive & blocked.negative
    did = np.array(ACTIONS, object)[actions(system.outcomes)]
    truths: tuple[tuple[Action, Marks], ...] = (
        ("allow", flagged.negative),
        ("review", review),
        ("block", block),
    )
    for should, rows in truths:
        for action in ("allow", "review", "block"):
            if rows.any():
                count = int((did[rows] == action).sum())
                yield DoneInstead(system=system.name, should=should, did=action, count=count)
