"""What was left out of a dataset, by group, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from audit.datasets.groups import CROSS, OVERALL
from audit.plurals import agreeing, counted
from audit.results.formatting import percent
from audit.results.results import DatasetRecord, GroupRecord

#: Up to this many groups are named, those that lack the largest share first.
_NAMED = 12

#: And in a summary.
_WORST = 3


def left_out_summary(dataset: DatasetRecord) -> Iterator[str]:
    """Yields how many images were left out, of the whole and of each group."""
    if not dataset.left_out:
        return
    yield (
        f"{_images_left_out(dataset)}. What {agreeing(dataset.left_out, 'it', 'they')} would have "
        "shown is not known; every figure is of the others."
    )
    for by in left_out_features(dataset):
        groups = [group for group in dataset.groups if group.by == by and group.left_out]
        groups.sort(key=_lost_share, reverse=True)
        parts = [_left_out_group(group) for group in groups[:_NAMED]]
        if more := len(groups) - len(parts):
            parts.append(f"and of {counted(more, 'more group')}")
        if unplaced := dataset.unplaced.get(by, 0):
            parts.append(f"{unplaced:,} whose {by} is not known")
        if parts:
            yield f"Left out by {by}: {', '.join(parts)}."


def left_out_finding(dataset: DatasetRecord) -> Iterator[str]:
    """Yields the sentence with which a summary ends where images were left out."""
    if not dataset.left_out:
        return
    by = left_out_features(dataset)
    groups = [group for group in dataset.groups if group.by in by and group.left_out]
    groups.sort(key=_lost_share, reverse=True)
    unplaced = [(name, dataset.unplaced[name]) for name in by if name in dataset.unplaced]
    unplaced.sort(key=lambda each: -each[1])
    them = agreeing(dataset.left_out, "it", "them")
    said = [f"{_images_left_out(dataset)}: no figure is of {them}"]
    if groups:
        parts = [f"{_left_out_group(group)} by {group.by}" for group in groups[:_WORST]]
        lead = "these groups lack most" if len(groups) > _WORST else "by group"
        said.append(f"{lead}: {', '.join(parts)}")
    if unplaced:
        said.append(", ".join(f"of {n:,} the {name} is not known" for name, n in unplaced[:_WORST]))
    yield f"{'; '.join(said)}."


def _lost_share(group: GroupRecord) -> float:
    return group.left_out / (group.n + group.left_out)


def left_out_features(dataset: DatasetRecord) -> list[str]:
    """Returns the sensitive features by which what was left out is shown.

    Intersections, which are many, stay in results.json, unless there is nothing else.
    """
    by = [name for name in dict.fromkeys(group.by for group in dataset.groups) if name != OVERALL]
    return [name for name in by if CROSS not in name] or by


def _left_out_group(group: GroupRecord) -> str:
    return f"{group.group} {_of_all(group.left_out, group.n)}"


def _images_left_out(dataset: DatasetRecord) -> str:
    noun = agreeing(dataset.left_out + dataset.n, "image", "images")
    was = agreeing(dataset.left_out, "was", "were")
    return f"{_of_all(dataset.left_out, dataset.n)} {noun} {was} left out"


def _of_all(left_out: int, kept: int) -> str:
    whole = left_out + kept
    return f"{left_out:,} of {whole:,} ({percent(left_out / whole)})"
