"""What single changes of a label set do, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FLAG
from audit.plurals import agreeing, counted
from audit.results.ablation_rows import Ablation, Carried, SplitHalf, WordingGap
from audit.results.finding import CORRECTED, Finding
from audit.results.formatting import (
    group_named,
    images,
    moved,
    net_of_10000,
    of_10000,
    percent,
    signed_of_10000,
)
from audit.results.results import PolicyRecord
from audit.statistics.intervals import LEVEL, paired_difference, simultaneous
from audit.statistics.support import SUPPRESSED_BELOW

#: What wordings of a kind are called.
_WORDINGS = {
    "template": "templates",
    "article": "uses of articles",
    "synonym": "wordings of labels",
}


def carried_sentences(carried: Iterable[Carried]) -> Iterator[str]:
    """Yields which label of each category fires most of its hits alone."""
    top: dict[str, Carried] = {}
    for row in carried:
        if row.n and row.count > (top[row.category].count if row.category in top else 0):
            top[row.category] = row
    for row in top.values():
        share = "" if row.n < SUPPRESSED_BELOW else f" ({percent(row.share)})"
        yield (
            f"In {row.category}, the label {row.label} alone makes {row.count:,} of "
            f"{counted(row.n, 'flag')}{share}."
        )


def held_out_sentences(halves: Sequence[SplitHalf]) -> Iterator[str]:
    """Yields what the change that was chosen on one half of the images makes on the other."""
    for chosen in (half for half in halves if half.half == "chosen on"):
        [held] = [h for h in halves if h.half == "held out" and h.policy == chosen.policy]
        if not chosen.lowers:
            yield _none_lowers(chosen)
            continue
        yield (
            f"{_chosen(chosen, held)} there; on the other half, of {images(held.n)}, "
            f"{moved(held.entered, held.left)}: "
            f"{net_of_10000(held.net, held.net_low, held.net_high)}."
        )


def _chosen(chosen: SplitHalf, held: SplitHalf) -> str:
    half = "on one half of the images"
    if chosen.searched == 1:
        return f"The 1 change that was searched {half}, `{held.change}`, lowers the flags"
    return f"Chosen among {chosen.searched:,} {half}, `{held.change}` lowers the flags most"


def _none_lowers(chosen: SplitHalf) -> str:
    if chosen.searched == 1:
        said, they = "The 1 change that was searched does not lower", "it was"
    else:
        said, they = (
            f"None of {counted(chosen.searched, 'change')} that were searched lowers",
            "they were",
        )
    return f"{said} the flags on the half of the images that {they} tried on ({images(chosen.n)})."


def wording_gap_findings(gaps: Iterable[WordingGap]) -> Iterator[Finding]:
    """Yields for each kind of wording which two groups' mean gap over wordings is widest."""
    widest: dict[str, WordingGap] = {}
    for row in gaps:
        if row.comparison == "between_groups" and row.mean and row.low is not None:
            top = widest.setdefault(row.kind, row)
            widest[row.kind] = max(top, row, key=lambda gap: gap.mean or 0.0)
    for row in widest.values():
        yield Finding(_widest_wording_gap(row), claimed=(row.low or 0.0) > 0)


def _widest_wording_gap(row: WordingGap) -> str:
    ends = (row.low, row.high, row.lowest, row.highest)
    low, high, lowest, highest = (signed_of_10000(end or 0.0) for end in ends)
    held = f" and for all {row.together} pairs together" if row.together > 1 else ""
    none = "" if (row.low or 0.0) > 0 else ", so no gap is shown"
    return (
        f"Averaged over {row.wordings} {_WORDINGS[row.kind]}, the gap by {row.by} in the share "
        f"flagged is widest between {group_named(row.group)} and {group_named(row.reference)}: "
        f"{of_10000(row.mean)} of every 10,000 [{low} to {high}, for other wordings as well as "
        f"other images{held}]{none}. With a single one it lies between {lowest} and {highest}."
    )


def largest_move_findings(policy: PolicyRecord, ablations: Iterable[Ablation]) -> Iterator[Finding]:
    """Yields the change with the largest move of the flags, with an interval for all of them."""
    acting = {label.id for label in policy.labels if label.action in ("review", "block")}
    own = [
        row
        for row in ablations
        if (row.policy, row.by, row.metric) == (policy.name, OVERALL, FLAG)
        # That there are fewer flags without a label that flags says nothing.
        if not (row.kind == "without" and row.change in acting)
    ]
    if not own:
        return
    of = f"Of {counted(len(own), 'change')} of other labels and of wording"
    if not any(row.entered + row.left for row in own):
        text = f"{of}, none lets an image come to be flagged or no longer be, of "
        yield Finding(f"{text}{images(own[0].n)}.", claimed=False)
        return
    furthest = max(abs(row.net or 0.0) for row in own)
    top, *tied = [row for row in own if abs(row.net or 0.0) == furthest]
    too = f" (as {agreeing(len(tied), 'does', 'do')} {len(tied):,} more)" if tied else ""
    text = (
        f"{of}, `{top.kind} {top.change}` shows the largest net move of the flags{too}; "
        f"{_largest_move(top, len(own))}."
    )
    yield Finding(text, top.claim, (top,) * (not tied))


def _largest_move(top: Ablation, searched: int) -> str:
    counts = f"of {images(top.n)}, {moved(top.entered, top.left)}"
    if top.support == "suppressed":
        return f"{counts}, too few images for a claim"
    low, high = paired_difference(top.entered, top.left, top.n, simultaneous(LEVEL, searched))
    net = f"{counts}: {net_of_10000(top.net, float(low), float(high))}"
    shown = "" if top.claim else f", which is not shown to be more than chance, {CORRECTED}"
    if searched == 1:
        return f"{net}{shown}"
    return (
        f"{net}, an interval that holds for all of them together{shown}; the largest of many "
        "looks larger than it is"
    )
