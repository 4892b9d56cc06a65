"""The groups that an audit looks at: those that are named, or else those that it can bear.

A column of names, of times or of places has a group for every few images. None of these can carry a
claim, and all pairs of them take minutes, gigabytes and a report that no browser opens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from audit.datasets.dataset import Dataset
from audit.datasets.groups import CROSS, Groups
from audit.errors import DatasetError, RowProblem
from audit.plurals import agreeing

#: Groups of a sensitive feature, and of an intersection, that nobody named. Of 100, all pairs take
#: some seconds and 6 MB of report for each policy; of an intersection there are no pairs.
MOST_GROUPS, MOST_CROSSED_GROUPS = 100, 200

#: Those of one that is named: 300 take two minutes, 1 GB and 43 MB.
MOST_NAMED_GROUPS = 300

#: Groups of all intersections together that nobody named: 2,000 take 30 seconds and 50 MB.
_MOST_TOGETHER = 2000

#: Up to this many features, and as many intersections, get a note.
_NOTED = 10


class ChosenGroups(NamedTuple):
    """Partitions of a dataset, the whole first, and notes on what was not taken."""

    partitions: tuple[Groups, ...]
    notes: tuple[str, ...] = ()


def chosen_groups(dataset: Dataset, by: Sequence[Sequence[str]] | None) -> ChosenGroups:
    """Returns the groups of the sensitive features and intersections named in `by`.

    None takes each sensitive feature and each pair of them, without those of too many groups.

    Raises:
        DatasetError: there is no such sensitive feature, or one that is named has too many groups.
    """
    if by is None:
        return _groups_of_default(dataset)
    partitions = tuple(dataset.partitions(by))
    remedy = f"Join its values to at most {MOST_NAMED_GROUPS}, or name another sensitive feature"
    problems = [
        RowProblem(str(dataset.source), 0, f"{_many(part)}, too many to compare", remedy)
        for part in partitions
        if len(part.names) > MOST_NAMED_GROUPS
    ]
    if problems:
        raise DatasetError(problems)
    return ChosenGroups(partitions)


def _groups_of_default(dataset: Dataset) -> ChosenGroups:
    whole, *single = dataset.partitions((name,) for name in dataset.sensitive_features)
    features = [part for part in single if len(part.names) <= _most(part)]
    names = [part.by for part in features]
    pairs = [dataset.groups(pair) for pair in combinations(names, 2)]
    crossed = [part for part in pairs if len(part.names) <= _most(part)]
    notes = [*_too_many(single), *_too_many(pairs)]
    total = sum(len(part.names) for part in crossed)
    if total > _MOST_TOGETHER:
        notes.append(
            f"The {len(crossed):,} intersections have {total:,} groups together, so the audit does "
            "not look at them: name those that matter with --by."
        )
        crossed = []
    return ChosenGroups((whole, *features, *crossed), tuple(notes))


def _too_many(parts: Sequence[Groups]) -> Iterator[str]:
    """Yields notes on the partitions of too many groups."""
    many = [part for part in parts if len(part.names) > _most(part)]
    for part in many[:_NOTED]:
        also = "" if CROSS in part.by else ", nor at its intersections"
        name = part.by.replace(CROSS, ",")
        remedy = f"join its values to at most {_most(part)}"
        if len(part.names) <= MOST_NAMED_GROUPS:
            remedy += f", or name it with --by {name}"
        yield f"{_many(part)}, so the audit does not look at them{also}: {remedy}."
    if more := len(many[_NOTED:]):
        have = agreeing(more, "has", "have")
        yield f"The audit does not look at {more:,} more that {have} as many groups."


def _most(part: Groups) -> int:
    return MOST_CROSSED_GROUPS if CROSS in part.by else MOST_GROUPS


def _many(part: Groups) -> str:
    return f"{part.by} has {len(part.names):,} groups"
