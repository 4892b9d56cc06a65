"""The findings of an audit in plain words: counts of every 10,000, and what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from audit.datasets.groups import CROSS
from audit.metrics.predictions import PolicyPredictions, Predictions
from audit.metrics.rates import FALSE_POSITIVE, MISCLASSIFIED, TRUE_POSITIVE
from audit.results.ablation_rows import Ablation, Carried, SplitHalf, WordingGap
from audit.results.ablation_sentences import (
    carried_sentences,
    held_out_sentences,
    largest_move_findings,
    wording_gap_findings,
)
from audit.results.finding import Finding
from audit.results.gap_sentences import gap_findings, strongest_claims
from audit.results.largest_claim import Claimable, largest_claim
from audit.results.many_sentences import many_findings
from audit.results.practice_sentences import harm_summary
from audit.results.results import Header
from audit.results.robustness_sentences import ClaimsHold, robustness_findings
from audit.results.rows import CommonImages, Difference, Gap, Rate, Shift
from audit.results.shift_sentences import (
    common_images_sentences,
    group_changes,
    harm_changes,
    truth_changes,
)
from moderation.visible_text import brief

#: Up to this many groups with too few images are named; of more, only the number is said.
_NAMED = 6

#: Metrics that count only some of a group's images, so that its size does not tell their n.
_OWN_DENOMINATOR = (FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


class Disparities(NamedTuple):
    """How far the groups of each policy lie apart, and how far what is claimed of them holds."""

    rates: Sequence[Rate]
    gaps: Sequence[Gap]
    differences: Sequence[Difference]
    holds: ClaimsHold = ClaimsHold()
    critical_p: float | None = None


def run_findings(header: Header, apart: Disparities) -> Iterator[Finding]:
    """Yields how much each policy flags, then what is claimed of groups, and what is not."""
    yield from _flagged_findings(header, apart)
    yield from _disparity_findings(header, apart)


def _flagged_findings(header: Header, apart: Disparities) -> Iterator[Finding]:
    for policy in () if header.is_of_many else header.policies:
        text = harm_summary(policy.name, apart.rates, header)
        yield Finding(text, claimed=True)


def _disparity_findings(header: Header, apart: Disparities) -> Iterator[Finding]:
    """Yields what is claimed of the groups under each policy by itself, and what is not shown."""
    if header.is_of_many:
        yield from many_findings(header, apart.rates, apart.gaps)
    else:
        yield from _gap_findings_of_each(header, apart)
    to_others = [row for row in apart.differences if row.comparison == "to_overall"]
    claim = largest_claim(header, Claimable(to_others, critical_p=apart.critical_p))
    if claim and isinstance(claim.row, Difference):
        several = len(header.policies) > 1
        yield from robustness_findings(claim.row, apart.holds, several=several)


def _gap_findings_of_each(header: Header, apart: Disparities) -> Iterator[Finding]:
    """Yields what is claimed of the groups under each policy in a sentence of its own."""
    several = len(header.policies) > 1
    harms = [gap for gap in apart.gaps if gap.metric == header.harm]
    single = [gap for gap in harms if CROSS not in gap.by] or harms
    yield from gap_findings(single, apart.rates, apart.differences, several=several)
    names = [policy.name for policy in header.policies]
    yield from strongest_claims(names, apart.differences)


def compare_findings(
    header: Header, apart: Disparities, shifts: Sequence[Shift], common: Sequence[CommonImages]
) -> Iterator[Finding]:
    """Yields what is claimed, then what is counted; and in what no group is shown to change.

    What changes on images of known truth comes before what changes in the flags.
    """
    first, *others = [policy.name for policy in header.policies]
    categories = [{label.category or "" for label in each.labels} for each in header.policies]
    yield from truth_changes(first, shifts, header.nouns)
    yield from harm_changes(first, shifts, header.harm)
    for name, own in zip(others, categories[1:], strict=True):
        yield from group_changes(name, shifts, categories[0] & own)
    yield from (each for each in _disparity_findings(header, apart) if each.claimed)
    yield from (
        Finding(text, claimed=True) for text in common_images_sentences(common, header.noun)
    )
    yield from _flagged_findings(header, apart)


def ablate_findings(
    header: Header,
    apart: Disparities,
    ablations: Sequence[Ablation],
    carried: Sequence[Carried],
    halves: Sequence[SplitHalf],
    wording_gaps: Sequence[WordingGap],
) -> Iterator[Finding]:
    """Yields what is claimed, which label carries the flags, and which change moves them most.

    The change that was chosen on one half of the images comes first, as it is on the other.
    """
    yield from (each for each in _disparity_findings(header, apart) if each.claimed)
    for policy in header.policies:
        flagged = harm_summary(policy.name, apart.rates, header)
        own = [row for row in carried if row.policy == policy.name]
        of_policy = [half for half in halves if half.policy == policy.name]
        for text in (flagged, *carried_sentences(own), *held_out_sentences(of_policy)):
            yield Finding(text, claimed=True)
        yield from wording_gap_findings(row for row in wording_gaps if row.policy == policy.name)
        yield from largest_move_findings(policy, ablations)


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
            classes = [f"{name} (n = {n})" for name, n in each.truth.unmatched.items()]
            named = _summary_of_cells(classes)
            how = "`--truth CLASS=LABEL`, a category or `allow`"
            if not isinstance(each, PolicyPredictions):
                how = (
                    "`--truth CLASS=LABEL` or `allow`, or which label with `--implies LABEL=CLASS`"
                )
            right = "their flags are" if each.can_flag else "what is said of them is"
            yield (
                f"{each.name} has no label for the classes {named}: whether {right} right "
                f"is unknown. Say what each means with {how}."
            )


def limits_summary(header: Header) -> Iterator[str]:
    """Yields what the audit cannot say."""
    if header.dataset.benign:
        yield (
            "Nothing in these images should be flagged, so every flag is a false one. What the "
            f"{header.noun} misses is not measured."
        )
    yield from _limits_of_groups(header)
    yield from _limits_of_images(header)
    yield "A difference that is not shown may still be there: see the power of each group."
    if header.model is not None:
        yield (
            "Published egregious rates of CLIP (Radford et al. 2021) were not reached by "
            "independent replications with released weights (openai/CLIP#157): compare directions, "
            "not percentages."
        )
    if header.is_of_starter:
        yield "The model is starter, a small stand-in for trying out: its figures are not CLIP's."


def _limits_of_groups(header: Header) -> Iterator[str]:
    if header.dataset.sensitive_features:
        whose = "the dataset's annotators perceived them"
        if header.noun == "system":
            whose = "the files have them, by whomever they were noted"
        yield (
            f"Groups are as {whose}, which need not be how people "
            "see themselves. The tool reads these labels and infers none."
        )


def _limits_of_images(header: Header) -> Iterator[str]:
    """Yields what other images, and single ones, would show."""
    if header.noun == "system":
        yield "What other images would show is not known: rates of other files will differ."
        yield (
            "Not measured, as each image's own scores and features were not kept: how well scores "
            "separate (areas under curves), calibration, other thresholds and near-duplicates."
        )
    else:
        yield "The images are from a dataset, not what your users upload: rates there will differ."
    if header.recording is not None:
        yield (
            f"The features were recorded. That {brief(header.recording.model_id)} made them of "
            "these images was claimed and cannot be checked, and how much of each image it saw is "
            "not known: production may look at more of it."
        )
