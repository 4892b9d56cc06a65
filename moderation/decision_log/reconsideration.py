"""What another policy would have decided on the images of the log: without the images.

A row has the cosines of the look that decided. Where the file had one look, and the new policy's
texts are among the row's, that is exact and needs no model. Otherwise the features of all looks are
taken from the embedding store, where somebody scanned the image on this machine. Otherwise the
deciding look stands for the others, and that is said; or nothing can be said, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from moderation.decision_log.known_cosines import KnownColumns, row_cosines
from moderation.decision_log.replay import DecisionToReplay
from moderation.encoders.encoder import Float32s
from moderation.errors import LogError
from moderation.messages import Action, ModelStamp, Verdict
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions, raised_action
from moderation.scoring.verdict import Decision, decisions, outcomes

#: Decides on a verdict's image by stored features; returns in words why it cannot.
DecideByFeatures = Callable[[Verdict, Conditions], Decision | str]
Way = Literal["similarities", "features", "deciding look"]

#: Decisions that are decided as one matrix.
_AT_ONCE = 500


class Reconsidered(NamedTuple):
    """A decision of the log, and what another policy says of its image.

    Attributes:
        id: of the decision.
        before: as it was answered.
        after: what the other policy says; None where nothing can be said.
        way: how that was found; None where nothing was.
        reason: why nothing can be said, in words; "" otherwise.
    """

    id: str
    before: Verdict
    after: Decision | None
    way: Way | None
    reason: str = ""

    @property
    def action(self) -> Action | None:
        """The action of the other policy; what made the file doubtful then does so still."""
        if self.after is None:
            return None
        return raised_action(self.after.action, self.before.doubts)


def reconsider(
    decided: Iterable[DecisionToReplay],
    policy: Policy,
    *,
    model: str | None,
    by_features: DecideByFeatures,
) -> Iterator[Reconsidered]:
    """Yields what a policy says of the images of decisions, in their order.

    Args:
        decided: from the log.
        policy: that decides instead.
        model: what it is to run on; None where that is what the log's own decisions ran on.
        by_features: the second way; see `DecideByFeatures`.
    """
    known = _KnownByPolicy(policy, model)
    every = iter(decided)
    while batch := tuple(islice(every, _AT_ONCE)):
        rows = [known.cosines(each) for each in batch]
        of_row = _decided_by_similarities(policy, batch, rows)
        for each, row, decision in zip(batch, rows, of_row, strict=True):
            yield _reconsidered(each, row, decision, by_features)


class _RowCosines(NamedTuple):
    """The cosines that a decision's row has for the new policy, or why it has none."""

    cosines: Float32s | None
    reason: str = ""


class _KnownByPolicy:
    """The cosines that rows have for one policy; finds once for each older one where they are."""

    def __init__(self, policy: Policy, model: str | None) -> None:
        self._policy, self._model = policy, model
        self._known: dict[str, tuple[Policy, KnownColumns] | str] = {}

    def cosines(self, decided: DecisionToReplay) -> _RowCosines:
        """Returns the (c,) cosines of the new policy in a row."""
        stamp = decided.verdict.model
        if self._model is not None and not _names(self._model, stamp):
            return _RowCosines(None, f"{stamp.id} decided, and {self._model} is to decide now")
        if self._policy.scoring == "sigmoid" and decided.logit_bias is None:
            return _RowCosines(None, f"sigmoid scoring does not fit {stamp.id}, which decided")
        found = self._of_policy(decided)
        if isinstance(found, str):
            return _RowCosines(None, found)
        old, known = found
        if known.columns is None:
            return _RowCosines(
                None, f"version {old.version} of the policy decided: {known.missing}"
            )
        cosines = row_cosines(old, decided.verdict)
        if cosines is None:
            return _RowCosines(None, "its labels are not those of its policy")
        return _RowCosines(cosines[known.columns])

    def _of_policy(self, decided: DecisionToReplay) -> tuple[Policy, KnownColumns] | str:
        name = decided.verdict.policy.sha256
        if name not in self._known:
            try:
                old = decided.policy()
            except LogError as error:
                self._known[name] = error.what
            else:
                self._known[name] = (old, KnownColumns.of(old, self._policy))
        return self._known[name]


def _names(reference: str, stamp: ModelStamp) -> bool:
    return reference in (stamp.id, f"{stamp.id}@{stamp.revision}", stamp.fingerprint)


def _decided_by_similarities(
    policy: Policy, batch: tuple[DecisionToReplay, ...], rows: list[_RowCosines]
) -> list[Decision | None]:
    """Returns the decision on each row's cosines; None where it has none."""
    found: list[Decision | None] = [None] * len(batch)
    groups: dict[tuple[float, float | None], list[int]] = defaultdict(list)
    for place, (each, row) in enumerate(zip(batch, rows, strict=True)):
        if row.cosines is not None:
            groups[each.logit_scale, each.logit_bias].append(place)
    none = np.empty((0, 0), np.float32)
    for (scale, bias), places in groups.items():
        cosines = np.stack([own for place in places if (own := rows[place].cosines) is not None])
        scores = Classifier(policy, none, scale, bias).scores(cosines)
        fired = outcomes(policy, cosines, scores)
        decided = decisions(policy, cosines, scores, fired)
        for place, decision in zip(places, decided, strict=True):
            found[place] = decision
    return found


def _reconsidered(
    decided: DecisionToReplay,
    row: _RowCosines,
    of_row: Decision | None,
    by_features: DecideByFeatures,
) -> Reconsidered:
    """Returns the best that can be said of one decision's image."""
    verdict = decided.verdict
    if of_row is not None and verdict.looks == 1:
        return Reconsidered(decided.id, verdict, of_row, "similarities")
    found = by_features(verdict, decided.conditions)
    if isinstance(found, Decision):
        return Reconsidered(decided.id, verdict, found, "features")
    if of_row is not None:
        return Reconsidered(decided.id, verdict, of_row, "deciding look")
    return Reconsidered(decided.id, verdict, None, None, f"{row.reason}; {found}")
