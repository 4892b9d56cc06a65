"""Why a gate finds too little data, in words: what is missing, what it could be, what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from audit.gate.counts import GateCounts
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.plurals import agreeing, counted
from audit.results.formatting import percent

_RATIOS = ("ratio", "pass_ratio")
#: So many groups or classes are named.
_NAMED = 6
_NAME_TRUTH = (
    "Name in y_true what they show; what a class means that no label does, "
    "with --truth CLASS=LABEL or CLASS=allow"
)
#: Which images a metric could count.
_COUNTED = {
    TRUE_POSITIVE: " that should be flagged",
    FALSE_POSITIVE: " that should not be flagged",
}


def gate_figure(limit: str, value: float) -> str:
    """Formats a figure of a limit: a ratio, or a share in percent."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "no limit"
    return f"{value:.2f}" if limit in _RATIOS else percent(value, 2)


def gate_interval(limit: str, low: float, high: float) -> str:
    """Formats an interval of a limit's figure."""
    return f"[{gate_figure(limit, low)}, {gate_figure(limit, high)}]"


def gate_level(level: float) -> str:
    """Formats the level of an interval, with as many digits as tell it from 100 %."""
    if level == 1:
        return "100 %"
    digits = 1 - math.floor(math.log10(100 * (1 - level)))
    return f"{round(100 * level, max(digits, 0)):.10g} %"


def too_few_reason(metric: str, counts: GateCounts) -> str:
    """Says which groups have too few images, how many, and what is missing of them; or nothing."""
    if not counts.too_small:
        return ""
    groups = some_named([_with_number(name, counts) for name in counts.too_small])
    return (
        f"too few images of {groups}{_COUNTED.get(metric, '')}: min_group_size asks for "
        f"{counts.needed:,} of each. Add images of them, or name them in ignored_groups"
        + (f". {_NAME_TRUTH}" if counts.untold.keys() & counts.too_small.keys() else "")
    )


def _with_number(name: str, counts: GateCounts) -> str:
    """Returns a group that is too small with how many images it has, and could have had."""
    said = [f"{counts.too_small[name]:,}"]
    if name in counts.left_out:
        lost, whole = counts.left_out[name]
        said.append(f"{lost:,} of {whole:,} {agreeing(lost, 'was', 'were')} left out")
    if name in counts.untold:
        said.append("the truth of {:,} of {:,} is not known".format(*counts.untold[name]))
    return f"{name} ({'; '.join(said)})"


def some_named(names: Sequence[str], noun: str = "group", several: str = "") -> str:
    """Returns the first few names, and the number of the others: there may be hundreds."""
    others = counted(len(names) - _NAMED, f"other {noun}", several and f"other {several}")
    more = f" and {others}" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def no_groups_reason(limit: str, counts: GateCounts) -> str:
    """Says that too few groups are left to check, though none is too small."""
    if not counts.names:
        return f"ignored_groups names every group of {counts.by}: name fewer there"
    [only] = counts.names
    return (
        f"{limit} compares two groups, and of {counts.by} only {only} is checked: name a feature "
        "with two groups or more, and not all but one in ignored_groups"
    )


def too_near_reason(counts: GateCounts, group: Sequence[str], *, showable: bool) -> str:
    """Says that a limit lies within an interval, of how many images, and what helps."""
    sizes = dict(zip(counts.names, counts.n.astype(int).tolist(), strict=True))
    of = " and ".join(f"{counted(sizes[name], 'image')} of {name}" for name in group)
    gaps = _gaps(counts, group)
    despite = f", and {' and '.join(gaps)}" if gaps else ""
    help_ = f"Add images of {' or '.join(group)}" if showable else "No number of images shows it"
    return (
        f"the limit lies within the interval: the figure lies too near it for {of}{despite}. "
        f"{help_}{', or' if showable else ':'} set another limit"
    )


def no_truth_reason() -> str:
    """Says that no recall can be measured."""
    return (
        "no image is known to be one that should be flagged, so there is no recall to "
        "check: use a dataset whose y_true names labels that review or block, or say what a class "
        "of it means with --truth CLASS=LABEL"
    )


def nothing_found_reason(limit: str) -> str:
    """Says that groups are alike only because nothing is found in any."""
    ratio = "a ratio of nothing to nothing says nothing, and there is no recall"
    what = ratio if limit == "ratio" else "that is alike, and no recall"
    return (
        f"no image of any group that should be flagged is flagged: {what}. Limit recall_floor too"
    )


def unbounded_reason(limit: str, metric: str, counts: GateCounts) -> str:
    """Says why a ratio has no bound: there is nothing in one group, or in two."""
    shares = counts.shares if limit == "ratio" else counts.shares.complement()
    empty = [name for name, hits in zip(counts.names, shares.count, strict=True) if not hits]
    every = "no" if limit == "ratio" else "every"
    hit = "is flagged" if metric == FLAG else f"counts under {metric}"
    *others, last = empty
    named = f"{', '.join(others)} or {last}" if others else last
    if len(empty) > _NAMED:
        named = some_named(empty)
    what = f"{every} image of {named} {hit}"
    remedy = "limit gap or worst_group_rate instead"
    if len(empty) > 1:
        return f"{what}, and a ratio of nothing to nothing says nothing: {remedy}"
    return f"{what}, so a ratio to it has no upper bound: {remedy}"


def beyond_reason(limit: str, counts: GateCounts, strict: tuple[float, float], level: float) -> str:
    """Says that a limit is broken by the interval of one group or pair, but not by a strict one."""
    return (
        f"the interval lies beyond the limit, but among {len(counts.names)} groups a fail takes "
        f"that at {gate_level(level)}, {gate_interval(limit, *strict)}. Mend what is gated, or "
        "add images to tell"
    )


def unreachable_reason(limit: str, group: str, n: int, end: float, level: float) -> str:
    """Says that a group is too small for any policy to show a limit at a level.

    Args:
        limit: its key.
        group: the group.
        n: its images that the metric could count.
        end: how far its interval reaches in the best case.
        level: of the interval.
    """
    best = "as few as" if limit == "recall_floor" else "as many as"
    return (
        f"nothing can pass with {n:,} images of {group}: in the best case {best} "
        f"{gate_figure(limit, end)} are within the interval at {gate_level(level)}. Add images of "
        f"{group}, or set another limit"
    )


def used_up_reason() -> str:
    """Says that no level is left, so that nothing passes."""
    return "so much was gated on this dataset that no level is left. Gate on another dataset"


def left_out_reason(
    limit: str, counts: GateCounts, group: tuple[str, ...], ends: tuple[float, float], status: str
) -> str:
    """Says that what was left out, or whose truth is not known, could turn the status.

    Args:
        limit: its key.
        counts: of the groups.
        group: the group, or the two, that decide.
        ends: the figure as the missing images may make it.
        status: what was found without them.
    """
    gaps = _gaps(counts, group)
    remedies = ["Mend what was left out"] if counts.left_out or counts.unplaced else []
    if counts.untold:
        remedies.append(_NAME_TRUTH)
    if not gaps:  # of other groups, which are too small now
        gaps = _gaps(
            counts, [name for name in counts.too_small if name in counts.left_out][:_NAMED]
        )
        needed = counted(counts.needed, "image")
        more = f"with them more groups may have {needed}, and take more for a fail"
        return f"{' and '.join(gaps)}: without them this is a {status}, but {more}. {remedies[0]}"
    span = " to ".join(gate_figure(limit, end) for end in ends)
    return (
        f"{' and '.join(gaps)}: without them this is a {status}, "
        f"but counted in they put the figure anywhere from {span}. {'. '.join(remedies)}"
    )


def _gaps(counts: GateCounts, group: Sequence[str]) -> list[str]:
    """Returns how many images of groups were left out, and of how many the truth is not known."""
    lost = [
        f"of {name} {_of_images(*counts.left_out[name])}"
        for name in group
        if name in counts.left_out
    ]
    if counts.unplaced:
        lost.append(f"{counted(counts.unplaced, 'image')} whose group is not known")
    untold = [
        f"of {name} the truth of {_of_images(*counts.untold[name])}"
        for name in group
        if name in counts.untold
    ]
    missing = counts.unplaced + sum(counts.left_out.get(name, (0, 0))[0] for name in group)
    said = [f"{' and '.join(lost)} {agreeing(missing, 'was', 'were')} left out"] if lost else []
    return said + ([f"{' and '.join(untold)} is not known"] if untold else [])


def _of_images(part: int, whole: int) -> str:
    return f"{part:,} of {counted(whole, 'image')}"
