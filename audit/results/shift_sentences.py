"""What changes from one label set to another, in words: each sentence makes the claim of a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from audit.datasets.groups import CROSS, OVERALL
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE
from audit.plurals import agreeing, counted
from audit.results.finding import CORRECTED, Finding, certainty, strongest_of
from audit.results.formatting import images, moved, net_of_10000
from audit.results.rows import CommonImages, Shift

#: Up to this many groups that are shown to change are named; of more, only the number is said.
_NAMED = 6

#: Which images a change of a rate that needs the truth is counted on.
_KNOWN = {FALSE_POSITIVE: "should not be flagged", TRUE_POSITIVE: "should be flagged"}

#: What a group is shown to change in.
_IN = {
    FLAG: "the share flagged",
    MISCLASSIFIED: "the share misclassified",
    FALSE_POSITIVE: "false positives",
    TRUE_POSITIVE: "true positives",
}


def truth_changes(
    first: str, shifts: Sequence[Shift], nouns: str = "policies"
) -> Iterator[Finding]:
    """Yields how many true and false positives come and go, on the images of known truth."""
    policies = 1 + len({row.after_policy for row in shifts})
    under = "both" if policies == 2 else f"all {policies} {nouns}"
    for row in shifts:
        if row.by == OVERALL and row.metric in _KNOWN and not row.matched:
            text = (
                f"From {first} to {row.after_policy}, of {images(row.n)} that "
                f"{_KNOWN[row.metric]} under {under}, {_shift_counts(row)}."
            )
            yield Finding(" ".join([text, *_shifts_by_group(row, shifts)]), row.claim, (row,))


def _shifts_by_group(whole: Shift, shifts: Sequence[Shift]) -> Iterator[str]:
    """Yields how many come and go in each group of a sensitive feature, if any do."""
    of = (whole.after_policy, whole.metric, False)
    rows = [
        row
        for row in shifts
        if (row.after_policy, row.metric, row.matched) == of
        and row.by != OVERALL
        and CROSS not in row.by
        and row.support != "suppressed"
    ]
    for by in dict.fromkeys(row.by for row in rows):
        own = sorted((row for row in rows if row.by == by), key=lambda row: -abs(row.net or 0.0))
        if any(row.entered + row.left for row in own):
            named = ", ".join(
                f"{row.group} {row.entered:,} and {row.left:,} of {row.n:,}" for row in own[:_NAMED]
            )
            more = len(own) - _NAMED
            others = f" and {counted(more, 'more group')}" * (more > 0)
            yield f"By {by}, come and go: {named}{others}."


def harm_changes(first: str, shifts: Sequence[Shift], harm: str) -> Iterator[Finding]:
    """Yields how many images come to be flagged, or misclassified, and how many no longer are."""
    for row in shifts:
        if row.by == OVERALL and row.metric == harm and not row.matched:
            counted = _shift_counts(row)
            text = f"From {first} to {row.after_policy}, of {images(row.n)}, {counted}."
            yield Finding(text, row.claim, (row,))


def _shift_counts(row: Shift) -> str:
    become = "misclassified" if row.metric == MISCLASSIFIED else "flagged"
    counts = moved(row.entered, row.left, become)
    if row.support == "suppressed":
        return f"{counts}, too few images for a claim"
    net = f"{counts}: {net_of_10000(row.net, row.net_low, row.net_high)}"
    if row.claim or not row.entered + row.left:
        return net
    return f"{net}, which is not shown to be more than chance, {CORRECTED}"


def common_images_sentences(common: Sequence[CommonImages], noun: str = "policy") -> Iterator[str]:
    """Yields how many images the rates that need the truth are compared on, where some are not."""
    for metric, kind in _KNOWN.items():
        rows = [row for row in common if row.metric == metric]
        if not any(row.n > row.common for row in rows):
            continue
        alone = " and ".join(f"{row.n:,} under {row.policy}" for row in rows)
        against = max(row.contradicted for row in rows)
        opposite = f" (of {images(against)} another {noun} says the opposite)" if against else ""
        if shared := rows[0].common:
            they = agreeing(shared, "it", "they")
            known = f"Every {noun} knows of {images(shared)} that {they} {kind}, and only on these"
            yield f"{known} is that compared: by itself, {alone}{opposite}."
        else:
            yield (
                f"Of no image every {noun} knows that it {kind}, so that is not compared: by "
                f"itself, {alone}{opposite}."
            )


def group_changes(name: str, shifts: Sequence[Shift], categories: Set[str]) -> Iterator[Finding]:
    """Yields which groups are shown to change under a policy, and in what none is.

    Args:
        name: of the policy.
        shifts: of all policies.
        categories: those that the first policy has too; another comes or goes with its name.
    """
    own = [row for row in shifts if row.after_policy == name and row.by != OVERALL]
    unshown = []
    for metric, what in _IN.items():
        rows = [row for row in own if row.metric == metric and not row.matched]
        if claims := [row for row in rows if row.claim]:
            text = f"Shown to change in {what} under {name}, most first: {_changed_groups(claims)}."
            yield Finding(text, claimed=True, rows=_only(claims))
        elif rows:
            unshown.append(what)
    shared = {f"category:{category}" for category in categories}
    yield from _strongest_change_in_a_category(name, own, shared)
    if claims := [row for row in own if row.matched and row.claim]:
        text = (
            f"At one overall flag rate, shown to gain or to lose flags against all others under "
            f"{name}, most first: {_changed_groups(claims)}."
        )
        yield Finding(text, claimed=True, rows=_only(claims))
    if unshown:
        text = (
            f"No group is shown to change in {' or '.join(unshown)} under {name}, {CORRECTED}; "
            "that is not proof that none does."
        )
        yield Finding(text, claimed=False)


def _only(claims: Sequence[Shift]) -> tuple[Shift, ...]:
    """Returns the row of a sentence that speaks of one alone; of several, each is news."""
    return tuple(claims) if len(claims) == 1 else ()


def _changed_groups(claims: Sequence[Shift]) -> str:
    ordered = sorted(claims, key=lambda row: (CROSS in row.by, -abs(row.net or 0.0)))
    named = [
        f"{row.by} {row.group} ({row.entered:,} entered, {row.left:,} left, of {row.n:,})"
        for row in ordered[:_NAMED]
    ]
    more = len(claims) - _NAMED
    return ", ".join(named) + (f" and {counted(more, 'more group')}" * (more > 0))


def _strongest_change_in_a_category(
    name: str, own: Sequence[Shift], shared: Set[str]
) -> Iterator[Finding]:
    flags = {_shift_of_group(row) for row in own if row.metric == FLAG and not row.matched}
    claims = [
        row
        for row in own
        if row.claim and row.metric in shared
        # A category that holds all flags of a group says nothing new of it.
        if _shift_of_group(row) not in flags
    ]
    if claims:
        top = min(claims, key=certainty)
        text = (
            f"Shown to change in the share flagged as {top.metric.partition(':')[2]} under {name}: "
            f"{top.by} {top.group}, {top.before_count:,} before and {top.after_count:,} after, of "
            f"{top.n:,}{strongest_of(len(claims))}."
        )
        yield Finding(text, claimed=True, rows=_only(claims))


def _shift_of_group(row: Shift) -> tuple[str | int, ...]:
    return row.by, row.group, row.before_count, row.after_count, row.entered, row.left
