"""The findings of an audit in plain words: counts of every 10,000, and what is not shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audit.datasets.dataset import CROSS, OVERALL
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE
from audit.results.ablation_rows import Ablation, Carried, SplitHalf
from audit.results.formatting import net_of_10000, of_10000, percent, signed_of_10000
from audit.results.results import Header
from audit.results.rows import Gap, Rate, Shift

#: Up to this many groups with too few images are named; of more, only the number is said.
_NAMED = 6

#: Metrics that count only some of a group's images, so that its size does not tell their n.
_OWN_DENOMINATOR = (FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


def run_summary(header: Header, rates: Sequence[Rate], gaps: Sequence[Gap]) -> Iterator[str]:
    """Yields what each policy does to whom."""
    for policy in header.policies:
        yield flagged_summary(policy.name, rates, benign=header.dataset.benign)
        for gap in gaps:
            if (gap.policy, gap.metric) == (policy.name, FLAG) and CROSS not in gap.by:
                yield gap_summary(gap)


def flagged_summary(policy: str, rates: Iterable[Rate], *, benign: bool) -> str:
    """Returns how many images a policy flags."""
    [whole] = [r for r in rates if (r.policy, r.by, r.metric) == (policy, OVERALL, FLAG)]
    falsely = "falsely flags" if benign else "flags"
    return (
        f"{policy} {falsely} {whole.count:,} of {whole.n:,} images: {of_10000(whole.rate)} of "
        f"every 10,000 [{of_10000(whole.low)} to {of_10000(whole.high)}]."
    )


def gap_summary(gap: Gap) -> str:
    """Returns how far the groups of a sensitive feature lie apart, and whether that is shown."""
    if gap.worst is None or gap.best is None:
        return f"By {gap.by} nothing can be said: fewer than two groups have 30 images."
    finding = (
        f"By {gap.by}, {gap.worst} is flagged most ({gap.worst_count:,} of {gap.worst_n:,}) and "
        f"{gap.best} least ({gap.best_count:,} of {gap.best_n:,})"
    )
    if not gap.difference:
        return f"By {gap.by}, all groups are flagged alike ({gap.compared} with 30 images)."
    bounds = f"[{of_10000(gap.difference_low)} to {of_10000(gap.difference_high)}]"
    shown = f"{finding}: {of_10000(gap.difference)} more of every 10,000 {bounds}"
    if gap.difference_low:
        return f"{shown}."
    return f"{shown}; it is not shown that the groups differ."


def compare_summary(
    header: Header, rates: Sequence[Rate], shifts: Sequence[Shift]
) -> Iterator[str]:
    """Yields what changes from the first policy to each other."""
    first, *others = [policy.name for policy in header.policies]
    yield flagged_summary(first, rates, benign=header.dataset.benign)
    for name in others:
        yield flagged_summary(name, rates, benign=header.dataset.benign)
        own = [s for s in shifts if s.after_policy == name and s.metric == FLAG and not s.matched]
        [whole] = [shift for shift in own if shift.by == OVERALL]
        yield (
            f"From {first} to {name}, {whole.entered:,} images come to be flagged and "
            f"{whole.left:,} no longer are, of {whole.n:,}: {net_of_10000(whole.net)} of every "
            f"10,000 [{signed_of_10000(whole.net_low)} to {signed_of_10000(whole.net_high)}]."
        )
        yield _changed_groups_summary(name, [shift for shift in own if shift.by != OVERALL])


def _changed_groups_summary(name: str, shifts: Iterable[Shift]) -> str:
    claims = [s for s in shifts if s.claim and CROSS not in s.by]
    claims.sort(key=lambda shift: -abs(shift.net or 0.0))
    if not claims:
        return (
            f"No group is shown to change under {name}, corrected over the groups of each "
            "sensitive feature; that is not proof that none does."
        )
    named = [
        f"{shift.by} {shift.group} ({net_of_10000(shift.net)} of every 10,000, n = {shift.n:,})"
        for shift in claims[:_NAMED]
    ]
    more = f" and {len(claims) - _NAMED} more groups" if len(claims) > _NAMED else ""
    return f"Shown to change, most first: {', '.join(named)}{more}."


def ablate_summary(
    header: Header,
    rates: Sequence[Rate],
    ablations: Sequence[Ablation],
    carried: Sequence[Carried],
    halves: Sequence[SplitHalf],
) -> Iterator[str]:
    """Yields which label carries the flags, and which change moves them most."""
    for policy in header.policies:
        yield flagged_summary(policy.name, rates, benign=header.dataset.benign)
        yield from (
            f"In {top.category}, the label {top.label} alone carries {top.count:,} of {top.n:,} "
            f"hits ({percent(top.share)})."
            for top in _carrying_labels_summary(c for c in carried if c.policy == policy.name)
        )
        acting = {label.id for label in policy.labels if label.action in ("review", "block")}
        own = [
            a
            for a in ablations
            if (a.policy, a.by, a.metric) == (policy.name, OVERALL, FLAG)
            # That there are fewer flags without a label that flags says nothing.
            if not (a.kind == "without" and a.change in acting)
        ]
        if own:
            yield _most_moving_summary(own)
        yield from _split_half_summary([half for half in halves if half.policy == policy.name])


def _carrying_labels_summary(carried: Iterable[Carried]) -> list[Carried]:
    top: dict[str, Carried] = {}
    for row in carried:
        if row.n and row.count > (top[row.category].count if row.category in top else 0):
            top[row.category] = row
    return list(top.values())


def _most_moving_summary(ablations: Sequence[Ablation]) -> str:
    top = max(ablations, key=lambda row: abs(row.net or 0.0))
    shown = "" if top.claim else " (not shown to differ from chance after correction)"
    return (
        f"Of {len(ablations)} changes of other labels and of wording, `{top.kind} {top.change}` "
        f"moves the flags most: {top.entered:,} images come to be flagged and {top.left:,} no "
        f"longer are, of {top.n:,}: {net_of_10000(top.net)} of every 10,000{shown}."
    )


def _split_half_summary(halves: Sequence[SplitHalf]) -> Iterator[str]:
    for half in (half for half in halves if half.half == "held out"):
        chosen = f"Chosen among {half.searched} on one half of the images, `{half.change}`"
        if half.net:
            bounds = f"[{signed_of_10000(half.net_low)} to {signed_of_10000(half.net_high)}]"
            net = f"{net_of_10000(half.net)} of every 10,000 {bounds}"
            yield f"{chosen} came out best; on the other half it makes {net}."
        else:
            yield f"{chosen} changes no net flag on the other half."


def insufficient_summary(header: Header, rates: Iterable[Rate]) -> Iterator[str]:
    """Yields what has too little data for a claim."""
    for by in header.by:
        cells = [group for group in header.dataset.groups if group.by == by]
        small = [f"{cell.group} (n = {cell.n})" for cell in cells if cell.support == "suppressed"]
        if small:
            named = ", ".join(small) if len(small) <= _NAMED else f"{len(small)} of {len(cells)}"
            yield f"{by}: {named}: fewer than 30 images, so no claim is made."
    few = _few_images_summary(header, rates)
    if few:
        yield f"Fewer than 30 images to count, so no claim is made: {_summary_of_cells(few)}."
    undefined = sorted({f"{r.metric} of {r.group} ({r.policy})" for r in rates if r.n == 0})
    if undefined:
        yield f"Undefined, as there is no image to count: {_summary_of_cells(undefined)}."


def _few_images_summary(header: Header, rates: Iterable[Rate]) -> list[str]:
    """Returns cells with too few images in groups that have enough images themselves."""
    enough = {(g.by, g.group) for g in header.dataset.groups if g.support != "suppressed"}
    return sorted(
        f"{r.metric} of {r.group} ({r.policy}, n = {r.n})"
        for r in rates
        if r.metric in _OWN_DENOMINATOR and r.n > 0 and r.support == "suppressed"
        if (r.by, r.group) in enough
    )


def _summary_of_cells(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _NAMED} more" if len(cells) > _NAMED else ""
    return "; ".join(cells[:_NAMED]) + more


def unmatched_summary(predictions: Iterable[Predictions]) -> Iterator[str]:
    """Yields which classes of the dataset no label of a policy means."""
    for each in predictions:
        if each.truth and each.truth.unmatched:
            classes = ", ".join(f"{name} (n = {n})" for name, n in each.truth.unmatched.items())
            yield f"{each.name} has no label for {classes}: unknown what it should say."


def limits_summary(header: Header) -> Iterator[str]:
    """Yields what the audit cannot say."""
    if header.dataset.benign:
        yield (
            "Nothing in these images should be flagged, so every flag is a false one. What the "
            "policy misses is not measured."
        )
    if header.dataset.sensitive_features:
        yield (
            "Groups are as the dataset's annotators perceived them, which need not be how people "
            "see themselves. The tool reads these labels and infers none."
        )
    yield "The images are from a dataset, not what your users upload: rates there will differ."
    yield "A difference that is not shown may still be there: see the power of each group."
    yield (
        "Published egregious rates of CLIP (Radford et al. 2021) were not reached by independent "
        "replications with released weights (openai/CLIP#157): compare directions, not percentages."
    )
    if header.model.id == "starter":
        yield "The model is starter, a small stand-in for trying out: its figures are not CLIP's."
