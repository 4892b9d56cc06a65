"""Why a gate finds too little data, in words: what is missing, what it could be, what to do."""

from __future__ import annotations

import math

from audit.gate.figures import GateCounts
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.results.formatting import percent

_RATIOS = ("ratio", "pass_ratio")
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
    digits = 1 - math.floor(math.log10(100 * (1 - level)))
    return f"{round(100 * level, max(digits, 0)):.10g} %"


def too_few_reason(metric: str, counts: GateCounts) -> str:
    """Says which groups have too few images, and how many of theirs were left out; or nothing."""
    if not counts.too_small:
        return ""
    groups = ", ".join(_with_left_out(name, counts) for name in counts.too_small)
    return f"too few images of {groups}{_COUNTED.get(metric, '')}"


def _with_left_out(name: str, counts: GateCounts) -> str:
    if name not in counts.left_out:
        return name
    lost, every = counts.left_out[name]
    return f"{name} ({lost:,} of {every:,} were left out)"


def no_truth_reason() -> str:
    """Says that no recall can be measured."""
    return (
        "no image is known to be one that the policy should flag, so there is no recall to "
        "check: use a dataset whose y_true names labels that review or block"
    )


def nothing_found_reason() -> str:
    """Says that groups are alike only because nothing is found in any."""
    return (
        "no image of any group that should be flagged is flagged: that is alike, and "
        "no recall. Limit recall_floor too"
    )


def unbounded_reason(limit: str, metric: str, counts: GateCounts) -> str:
    """Says why a ratio has no bound: there is nothing in one group, or in two."""
    shares = counts.shares if limit == "ratio" else counts.shares.complement()
    empty = [name for name, hits in zip(counts.names, shares.count, strict=True) if not hits]
    every = "no" if limit == "ratio" else "every"
    hit = "is flagged" if metric == FLAG else f"counts under {metric}"
    *others, last = empty
    named = f"{', '.join(others)} or {last}" if others else last
    what = f"{every} image of {named} {hit}"
    remedy = "limit gap or worst_group_rate instead"
    if len(empty) > 1:
        return f"{what}, and a ratio of nothing to nothing says nothing: {remedy}"
    return f"{what}, so a ratio to it has no upper bound: {remedy}"


def beyond_reason(limit: str, counts: GateCounts, strict: tuple[float, float], level: float) -> str:
    """Says that a limit is broken by the interval of one group or pair, but not by a strict one."""
    return (
        f"the interval lies beyond the limit, but among {len(counts.names)} groups a fail takes "
        f"that at {gate_level(level)}, {gate_interval(limit, *strict)}"
    )


def left_out_reason(
    limit: str, counts: GateCounts, group: tuple[str, ...], ends: tuple[float, float], status: str
) -> str:
    """Says that what was left out could turn the status, with the numbers.

    Args:
        limit: its key.
        counts: of the groups.
        group: the group, or the two, that decide.
        ends: the figure as the missing images may make it.
        status: what was found without them.
    """
    lost = [
        f"of {name} {counts.left_out[name][0]:,} of {counts.left_out[name][1]:,} images"
        for name in group
        if name in counts.left_out
    ]
    if counts.unplaced:
        lost.append(f"{counts.unplaced:,} images whose group is not known")
    span = " to ".join(gate_figure(limit, end) for end in ends)
    return (
        f"{' and '.join(lost)} were left out: without them this is a {status}, "
        f"but counted in they put the figure anywhere from {span}. Mend what was left out"
    )
