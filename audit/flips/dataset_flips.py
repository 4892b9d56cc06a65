"""The flips of a dataset between two policies, from the features of its pictures."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from audit.datasets.dataset import IMAGE_ID
from audit.datasets.groups import OVERALL, Groups, Marks
from audit.embedding.dataset_features import EmbeddedDataset
from audit.flips.flips import (
    MILDEST_FIRST,
    EstimatedShare,
    Flip,
    Flips,
    GroupFlips,
    action_matrix,
    changed_labels,
)
from audit.metrics.predictions import Predictions, predict
from audit.metrics.rates import FLAG
from audit.metrics.shift import shift_table
from moderation.encoders.encoder import Float32s, Rows, TextEncoder, widened
from moderation.messages import Action
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.served import DecidedLook, decided_looks
from moderation.scoring.verdict import ACTIONS, LookCounts, first_looks

#: The encoder's features among those of an image's models; no classifier has this key.
_ENCODER = "encoder"
_CAUTIONS = {"suppressed": "too few pictures to say", "indicative": "few pictures"}
_WITHOUT_DOUBTS = (
    "Doubts about files are not looked for: a scan sends such a picture to review at least"
)


class SeenUnder(NamedTuple):
    """A policy with what its model makes of a dataset's pictures."""

    policy: Policy
    embedded: EmbeddedDataset
    encoder: TextEncoder

    def predictions(self) -> Predictions:
        """Returns what the policy says of every picture."""
        seen = self.embedded
        return predict(
            self.policy, self.encoder, seen.features, looks=seen.looks, outputs=seen.outputs
        )

    def decided(self, images: Sequence[int]) -> list[DecidedLook]:
        """Returns the whole decision on some pictures, as production makes it."""
        seen = self.embedded
        rows: dict[str, tuple[Rows, LookCounts | None]] = {_ENCODER: (seen.features, seen.looks)}
        rows |= {key: (each.rows, each.looks) for key, each in seen.outputs.items()}
        parts = {key: _rows_of_images(*each, images) for key, each in rows.items()}
        given: list[Mapping[str, Float32s]] = [
            {key: every[place] for key, every in parts.items()} for place in range(len(images))
        ]
        classifier = Classifier.of(self.policy, self.encoder)
        return decided_looks(classifier, _ENCODER, given) if given else []


def dataset_flips(
    old: SeenUnder, new: SeenUnder, groups: Sequence[Groups], former: Mapping[str, str]
) -> Flips:
    """Returns which pictures of a dataset get another action, and whose they are.

    Args:
        old: the old policy; its pictures are those of the new one, in the same order.
        new: the new one.
        groups: partitions of the pictures; the whole is passed over.
        former: the old ids of labels that were renamed, by the new one.

    Raises:
        PolicyError: a policy does not fit its model. ModelError: a score is not finite.
    """
    before, after = old.predictions(), new.predictions()
    actions = [[ACTIONS[each] for each in said.actions.tolist()] for said in (before, after)]
    pairs = list(zip(*actions, strict=True))
    changed = [place for place, (was, now) in enumerate(pairs) if was != now]
    seen = new.embedded
    names = seen.dataset.table[IMAGE_ID].tolist()
    flips = [
        Flip(
            image=names[place],
            sha256=seen.sha256[place] if seen.sha256 else None,
            before=pairs[place][0],
            after=pairs[place][1],
            labels=changed_labels(was.decision.labels, now.decision.labels, former),
        )
        for place, was, now in zip(changed, old.decided(changed), new.decided(changed), strict=True)
    ]
    flagged = before.flagged, after.flagged
    return Flips(
        n=len(pairs),
        matrix=action_matrix(pairs),
        flips=tuple(flips),
        by_group=tuple(_flipped_groups(pairs, flagged, groups)),
        notes=(_WITHOUT_DOUBTS,),
        left_out=tuple((each.path, each.message) for each in seen.dataset.left_out),
    )


def _rows_of_images(rows: Rows, looks: LookCounts | None, images: Sequence[int]) -> list[Float32s]:
    counts = np.ones(len(rows), np.intp) if looks is None else looks
    starts = first_looks(counts)
    return [widened(rows[starts[image] : starts[image] + counts[image]]) for image in images]


def _flipped_groups(
    pairs: Sequence[tuple[Action, Action]], flagged: tuple[Marks, Marks], groups: Sequence[Groups]
) -> Iterator[GroupFlips]:
    """Yields the groups of which a picture gets another action, the worst first.

    The worst is the one whose flagged share rises most; of equals, the one with most flips.
    """
    parts = [part for part in groups if part.by != OVERALL]
    if not parts:
        return
    steps = np.array([MILDEST_FIRST.index(now) - MILDEST_FIRST.index(was) for was, now in pairs])
    found = []
    for part in parts:
        table = shift_table({FLAG: flagged}, [part])
        stricter, milder = part.count(steps > 0), part.count(steps < 0)
        for row, up, down in zip(table.to_dict("records"), stricter, milder, strict=True):
            if up or down:
                found.append(_group_flips(row, int(up), int(down)))
    yield from sorted(found, key=_worst_first)


def _group_flips(row: Mapping[Hashable, Any], stricter: int, milder: int) -> GroupFlips:
    before, after, change = (
        EstimatedShare(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
        for name in ("before", "after", "net")
    )
    return GroupFlips(
        feature=str(row["by"]),
        group=str(row["group"]),
        n=int(row["n"]),
        stricter=stricter,
        milder=milder,
        before=before,
        after=after,
        change=change,
        caution=_CAUTIONS.get(str(row["support"]), ""),
    )


def _worst_first(group: GroupFlips) -> tuple[float, int, str, str]:
    rise = group.change.value
    flips = group.stricter + group.milder
    return (-rise if rise == rise else np.inf, -flips, group.feature, group.group)
