"""How far groups lie apart, in words: each sentence is made from the claim that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from audit.datasets.groups import CROSS
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE
from audit.plurals import counted
from audit.results.finding import CORRECTED, Finding, certainty, strongest_of
from audit.results.formatting import group_named, of_10000, p_text
from audit.results.rows import Difference, Gap, Rate
from audit.statistics.significance import ALPHA

#: What is done to a group more or less often, where a difference in the metric is claimed.
_DONE = {
    FLAG: "flagged",
    FALSE_POSITIVE: "falsely flagged",
    TRUE_POSITIVE: "rightly flagged",
    MISCLASSIFIED: "misclassified",
}


def done_to(metric: str) -> str:
    """Returns what a metric counts that is done to an image: flagged as weapons/blades."""
    kind, _, name = metric.partition(":")
    return {"category": f"flagged as {name}", "fired": f"flagged by the label {name}"}.get(
        kind, _DONE.get(metric, metric)
    )


class _ComparedGroups(NamedTuple):
    """A gap in the rate of the harm, the rates that it is read off, and what is claimed of them."""

    gap: Gap
    rates: Sequence[Rate]
    claims: Sequence[Difference]
    prefix: str

    @property
    def done(self) -> str:
        """What is done to the images that count."""
        return done_to(self.gap.metric)


def gap_findings(
    gaps: Sequence[Gap],
    rates: Sequence[Rate],
    differences: Sequence[Difference],
    *,
    several: bool,
) -> Iterator[Finding]:
    """Yields what is claimed, or not shown, of the groups of each sensitive feature.

    Args:
        gaps: in the rate of the harm.
        rates: of the same policies.
        differences: the same.
        several: whether the summary is of several policies, so that each sentence names its own.
    """
    for gap in gaps:
        own = (gap.policy, gap.by, gap.metric)
        compared = [r for r in rates if (r.policy, r.by, r.metric) == own]
        claims = [d for d in differences if d.claim and (d.policy, d.by, d.metric) == own]
        groups = _ComparedGroups(
            gap,
            [rate for rate in compared if rate.support != "suppressed"],
            sorted(claims, key=certainty),
            gap_prefix(gap.policy, gap.by, several=several),
        )
        yield Finding(_gap_sentence(groups), bool(claims), _rows_of_gap(groups))


def gap_prefix(policy: str, by: str, *, several: bool) -> str:
    """Returns how a sentence on the groups of a feature begins."""
    return f"Under {policy}, by {by}" if several else f"By {by}"


def _gap_sentence(groups: _ComparedGroups) -> str:
    gap = groups.gap
    pair = {gap.worst, gap.best}
    between = [d for d in groups.claims if d.comparison == "between_groups"]
    if any({d.group, d.reference} == pair for d in between):
        return _gap_of_claimed_pair(groups)
    if groups.claims:
        return _gap_of_other_claim(groups)
    if gap.worst is None:
        return f"{groups.prefix} nothing can be said: fewer than two groups have 30 images."
    if not gap.difference:
        return _gap_without_difference(groups)
    return _gap_not_shown(groups)


def _rows_of_gap(groups: _ComparedGroups) -> tuple[Difference, ...]:
    """Returns the claimed rows of which the sentence on a gap speaks."""
    pair = {groups.gap.worst, groups.gap.best}
    between = [d for d in groups.claims if d.comparison == "between_groups"]
    if of_pair := tuple(d for d in between if {d.group, d.reference} == pair):
        return of_pair
    to_others = [d for d in groups.claims if d.comparison == "to_overall"]
    return tuple((to_others or groups.claims)[:1])


def _gap_of_claimed_pair(groups: _ComparedGroups) -> str:
    gap = groups.gap
    return (
        f"{groups.prefix}, {group_named(gap.worst or '')} is {groups.done} more often "
        f"than {group_named(gap.best or '')}: "
        f"{gap.worst_count:,} of {gap.worst_n:,} against {gap.best_count:,} of {gap.best_n:,}, "
        f"{_gap_size(gap)}."
    )


def _gap_size(gap: Gap) -> str:
    more = f"{of_10000(gap.difference)} more of every 10,000"
    if not gap.difference_low:
        return f"{more}, and at most {of_10000(gap.difference_high)}"
    return f"{more} [{of_10000(gap.difference_low)} to {of_10000(gap.difference_high)}]"


def _gap_of_other_claim(groups: _ComparedGroups) -> str:
    """Returns which group is shown to differ, where the two furthest apart are not."""
    gap = groups.gap
    to_others = [d for d in groups.claims if d.comparison == "to_overall"]
    top = (to_others or groups.claims)[0]
    if to_others:
        than = f"all others ({top.count:,} of {top.n:,} against {_counts_of_rest(top)})"
    else:
        rest = f"{top.reference_count:,} of {top.reference_n:,}"
        than = f"{group_named(top.reference)} ({top.count:,} of {top.n:,} against {rest})"
    shown = f"{groups.prefix}, groups are shown to differ: "
    shown += f"{group_named(top.group)} is {groups.done} {often(top)} "
    if not gap.difference:
        return f"{shown}than {than}."
    alone = ", though the interval of that gap, by itself, leaves out 0" * bool(gap.difference_low)
    return (
        f"{shown}than {than}. {_gap_ends(groups)}; that these differ from each other is not "
        f"shown{alone}."
    )


def _counts_of_rest(row: Difference) -> str:
    """Returns how many of all other images count, with which the p of a group compares it."""
    count, n = row.against
    return f"{count:,} of {n:,}"


def often(row: Difference) -> str:
    """Returns whether a group counts more or less often than what it is compared with."""
    return "more often" if (row.difference or 0.0) > 0 else "less often"


def _gap_ends(groups: _ComparedGroups) -> str:
    """Returns the highest and the lowest rate that were counted, and how far they lie apart."""
    known = [rate.rate for rate in groups.rates if rate.rate is not None]
    highest, lowest = (
        _named_groups([rate for rate in groups.rates if rate.rate == end])
        for end in (max(known), min(known))
    )
    return (
        f"The highest rate that was counted is that of {highest}, the lowest that of {lowest}: "
        f"{_gap_size(groups.gap)}"
    )


def _named_groups(rates: Sequence[Rate]) -> str:
    first, others = rates[0], len(rates) - 1
    named = f"{group_named(first.group)} ({first.count:,} of {first.n:,})"
    if not others:
        return named
    return f"{named} and {counted(others, 'other')}"


def _gap_without_difference(groups: _ComparedGroups) -> str:
    """Returns what was counted where it shows no difference, and what may hide behind it."""
    gap, rates = groups.gap, groups.rates
    if not any(rate.count for rate in rates):
        widest = max(rates, key=lambda rate: rate.high or 0.0)
        return (
            f"{groups.prefix}, no image of {len(rates)} groups is {groups.done}; a rate of up to "
            f"{of_10000(widest.high)} of every 10,000 may hide in a group of {widest.n:,}, as "
            f"{widest.group} is."
        )
    if len(rates) == 2:
        counted = " and ".join(f"{r.count:,} of {r.n:,} of {r.group}" for r in rates)
        counted = f"{counted} are {groups.done}"
    else:
        counted = f"{_named_groups(rates)} are {groups.done}, all at the rate that was "
        counted += "counted in each"
    return (
        f"{groups.prefix}, {counted}; their true rates may lie up to "
        f"{of_10000(gap.difference_high)} of every 10,000 apart."
    )


def _gap_not_shown(groups: _ComparedGroups) -> str:
    gap = groups.gap
    alone = ""
    if gap.p is not None and gap.p < ALPHA:
        alone = f" One test of all groups, by itself, gives {p_text(gap.p)}"
    elif gap.difference_low:
        alone = " The interval of this gap, by itself, leaves out 0"
    again = ": look again on other images." if alone else ""
    return (
        f"{groups.prefix}, it is not shown that any group differs in the share "
        f"{groups.done}, {CORRECTED}. {_gap_ends(groups)}.{alone}{again}"
    )


def strongest_claims(
    policies: Sequence[str], differences: Sequence[Difference]
) -> Iterator[Finding]:
    """Yields the most certain claim by category, by truth and by intersection, if there is any.

    Policies of which the same is claimed are named in one sentence.
    """
    found: dict[tuple[str | int, ...], tuple[int, list[Difference]]] = {}
    for policy in policies:
        for top, count in _strongest_of_each_kind(policy, differences):
            key = (top.metric, count, *_difference_of_group(top))
            found.setdefault(key, (count, []))[1].append(top)
    for count, rows in found.values():
        top, names = rows[0], [row.policy for row in rows]
        prefix = gap_prefix(" and ".join(names), top.by, several=len(policies) > 1)
        text = (
            f"{prefix}, {group_named(top.group)} is {done_to(top.metric)} {often(top)} than all "
            f"others: "
            f"{top.count:,} of {top.n:,} against {_counts_of_rest(top)}{strongest_of(count)}."
        )
        yield Finding(text, claimed=True, rows=tuple(rows))


def _strongest_of_each_kind(
    policy: str, differences: Sequence[Difference]
) -> Iterator[tuple[Difference, int]]:
    """Yields the most certain claim of each kind, and how many of the kind there are."""
    own = [d for d in differences if d.policy == policy and d.comparison == "to_overall"]
    known = (TRUE_POSITIVE, MISCLASSIFIED, FALSE_POSITIVE)
    kinds: tuple[Callable[[Difference], bool], ...] = (
        lambda row: row.metric in known,
        lambda row: row.metric.startswith("category:"),
        lambda row: row.metric.startswith("fired:"),
        lambda row: row.metric == FLAG and CROSS in row.by,
    )
    flags = {_difference_of_group(row) for row in own if row.metric == FLAG and row.claim}
    for is_of_kind in kinds:
        claims = [
            row
            for row in own
            if row.claim and is_of_kind(row)
            # What counts the very flags, such as a category that holds all, says nothing new.
            if row.metric == FLAG or _difference_of_group(row) not in flags
        ]
        if claims:
            yield min(claims, key=certainty), len(claims)


def _difference_of_group(row: Difference) -> tuple[str | int, ...]:
    return row.by, row.group, row.count, row.n, row.reference_count, row.reference_n
