"""The pictures that get another action under another policy, as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from moderation.messages import Action, LabelScore

#: The mildest first; rows and columns of a matrix are in this order.
MILDEST_FIRST: tuple[Action, ...] = ("allow", "review", "block")


class LabelChange(NamedTuple):
    """What a label asks for of one picture before and after, where these differ.

    Attributes:
        label: its id.
        before: the outcome under the old policy; None where it did not fire, or was not there.
        after: the same under the new one.
        score_before: None where the old policy has no such label.
        score_after: None where the new one has none.
        prompt: of its prompts the most similar one, after; None where that is not known.
    """

    label: str
    before: Action | None
    after: Action | None
    score_before: float | None
    score_after: float | None
    prompt: str | None


class Flip(NamedTuple):
    """A picture that gets another action, and what its labels have to do with it."""

    image: str
    sha256: str | None
    before: Action
    after: Action
    labels: tuple[LabelChange, ...]

    @property
    def is_stricter(self) -> bool:
        """Whether the new action is the more severe one."""
        return MILDEST_FIRST.index(self.after) > MILDEST_FIRST.index(self.before)


class EstimatedShare(NamedTuple):
    """A share, or a difference of shares, with its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


class GroupFlips(NamedTuple):
    """The pictures of one group that get another action.

    Attributes:
        feature: what is annotated, such as `race`.
        group: a value of it.
        n: pictures of the group.
        stricter: how many of them get a more severe action.
        milder: how many a milder one.
        before: the share that is flagged (review or block) under the old policy.
        after: the same under the new one.
        change: the paired difference of these.
        caution: why nothing should be read from it, such as few data; "" otherwise.
    """

    feature: str
    group: str
    n: int
    stricter: int
    milder: int
    before: EstimatedShare
    after: EstimatedShare
    change: EstimatedShare
    caution: str = ""


class Flips(NamedTuple):
    """All pictures under two policies.

    Attributes:
        n: how many there are.
        matrix: (3, 3) how many of them get each action before (rows) and after (columns).
        flips: those that get another action.
        by_group: groups of which one does, the worst first.
        notes: what must be known of it, in sentences.
        left_out: pictures of which nothing can be said, by their names, with the reason.
    """

    n: int
    matrix: npt.NDArray[np.intp]
    flips: tuple[Flip, ...]
    by_group: tuple[GroupFlips, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def by_label(self) -> Mapping[str, tuple[Flip, ...]]:
        """The flipped pictures of each label that asks for something else of them; most first."""
        found: dict[str, list[Flip]] = {}
        for flip in self.flips:
            for change in flip.labels:
                found.setdefault(change.label, []).append(flip)
        ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        return {label: tuple(flips) for label, flips in ordered}


def changed_labels(
    before: Iterable[LabelScore],
    after: Iterable[LabelScore],
    former: Mapping[str, str] | None = None,
) -> tuple[LabelChange, ...]:
    """Returns the labels that ask for something else of a picture, the highest new score first.

    Args:
        before: of the old policy.
        after: of the new one.
        former: the old ids of labels that were renamed, by the new one.
    """
    old = {label.label: label for label in before}
    changes = []
    for new in after:
        was = old.pop((former or {}).get(new.label, new.label), None)
        outcome, score = (was.outcome, was.score) if was else (None, None)
        if outcome != new.outcome:
            change = LabelChange(new.label, outcome, new.outcome, score, new.score, new.prompt)
            changes.append(change)
    changes += [
        LabelChange(gone.label, gone.outcome, None, gone.score, None, None)
        for gone in old.values()
        if gone.outcome
    ]
    return tuple(sorted(changes, key=lambda change: -(change.score_after or 0.0)))


def action_matrix(pairs: Iterable[tuple[Action, Action]]) -> npt.NDArray[np.intp]:
    """Returns (3, 3) how many pictures get each action before and after."""
    matrix = np.zeros((3, 3), np.intp)
    for before, after in pairs:
        matrix[MILDEST_FIRST.index(before), MILDEST_FIRST.index(after)] += 1
    return matrix
