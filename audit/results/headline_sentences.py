"""The largest claim of a report in words; or that there is none."""

from __future__ import annotations

from collections.abc import Sequence

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE
from audit.plurals import agreeing, counted
from audit.results.ablation_rows import Ablation
from audit.results.formatting import group_named, images, moved, net_of_10000, of_10000
from audit.results.gap_sentences import done_to
from audit.results.largest_claim import (
    Claimable,
    SizedClaim,
    changed_of_all,
    changed_of_others,
    is_of_resemblance,
)
from audit.results.results import Header, LabelRecord, PolicyRecord
from audit.results.rows import Correction, Difference, Shift
from audit.statistics.significance import ALPHA

#: What images come to be, or no longer are, by metric.
_BECOME = {
    **dict.fromkeys((FLAG, FALSE_POSITIVE, TRUE_POSITIVE), "flagged"),
    MISCLASSIFIED: "misclassified",
}

#: Which images a change of a rate that needs the truth is counted on.
_KNOWN = {FALSE_POSITIVE: " that should not be flagged", TRUE_POSITIVE: " that should be flagged"}


def _size(claim: SizedClaim) -> str:
    """Returns how far it lies apart; where the interval ends at 0, how far at most."""
    if claim.low and claim.high:
        return net_of_10000(claim.apart, claim.low, claim.high)
    furthest = max(claim.high, -claim.low)
    more = "more" if claim.apart > 0 else "fewer"
    return f"{of_10000(abs(claim.apart))} {more} of every 10,000, and at most {of_10000(furthest)}"


def claim_sentence(
    claim: SizedClaim, header: Header, correction: Correction, tested: Claimable
) -> str:
    """Returns the largest claim in words: who, how many of how many, and how sure that is."""
    row = claim.row
    if isinstance(row, Difference):
        said = _difference_sentence(claim, row, header)
    elif isinstance(row, Shift) and row.matched:
        said = _matched_sentence(row, tested.shifts)
    else:
        said = _change_sentence(row, header)
    size = _size(claim)
    of_all = "" if isinstance(row, Difference) else _of_all(row, tested)
    others = f" It is the largest of {claim.others + 1:,} claims." if claim.others else ""
    shown = "what images resemble" if header.noun == "policy" else "the labels that are said"
    only = f"Nothing is shown to differ in what is {done_to(header.harm)}, only in {shown}. "
    first = only if is_of_resemblance(row) else ""
    return f"{first}{said}, {size}.{of_all} {_by_chance(correction)}{others}"


def _by_chance(tested: Correction) -> str:
    """Returns how rarely a report claims something where nothing differs."""
    number = counted(tested.hypotheses, "difference")
    were = agreeing(tested.hypotheses, "was", "were")
    return (
        f"By chance alone, at most 1 of {1 / ALPHA:.0f} such reports would claim anything; "
        f"{number} {were} tested."
    )


def _of_all(row: Shift | Ablation, tested: Claimable) -> str:
    """Returns what the change of a group is among all images."""
    entered, left, n = changed_of_all(row, tested)
    if row.by == OVERALL or not n or (isinstance(row, Shift) and row.matched):
        return ""
    return f" Of all {images(n)}, {entered:,} and {left:,}."


def _difference_sentence(claim: SizedClaim, row: Difference, header: Header) -> str:
    several = len(header.policies) > 1
    under = f"Under {' and '.join(claim.policies)}, by" if several else "By"
    often = "more often" if claim.apart > 0 else "less often"
    than = row.reference if row.comparison == "between_groups" else "all others"
    count, n = row.against
    return (
        f"{under} {row.by}, {group_named(row.group)} is "
        f"{_done(row.metric, header, claim.policies)} {often} "
        f"than {group_named(than)}: {row.count:,} of {images(row.n)} against {count:,} of {n:,}"
    )


def _done(metric: str, header: Header, policies: Sequence[str]) -> str:
    """Returns what a metric counts: blocked as weapons/blades."""
    kind, _, name = metric.partition(":")
    if kind == "category":
        own = [policy for policy in header.policies if policy.name in policies]
        labels = [
            label
            for policy in own
            for label in policy.labels
            if label.category == name and label.action in ("review", "block")
        ]
        return f"{done_by(labels, *own)} as {name}"
    return done_to(metric)


def done_by(labels: Sequence[LabelRecord], *policies: PolicyRecord) -> str:
    """Returns what labels do to an image that they flag: blocked, sent to review, or either.

    Of what is done with the labels and scores of other systems no more is known than that.
    """
    if all(policy.kind != "policy" for policy in policies):
        waits = any(label.action == "review" or label.review_threshold for label in labels)
        return "flagged or sent to review" if waits else "flagged"
    if all(label.action == "review" for label in labels):
        return "sent to review"
    if all(label.action == "block" and label.review_threshold is None for label in labels):
        return "blocked"
    return "blocked or sent to review"


def _change_sentence(row: Shift | Ablation, header: Header) -> str:
    if isinstance(row, Shift):
        from_to = f"From {row.before_policy} to {row.after_policy}"
    else:
        from_to = f"With one change of {row.policy}, {_change_named(row)}"
    whose = "" if row.by == OVERALL else f" of {group_named(row.group)} (by {row.by})"
    kind, _, name = row.metric.partition(":")
    if kind == "label":
        come = agreeing(row.entered, "comes", "come") + f" to resemble the label {name} most"
        if header.noun != "policy":
            come = agreeing(row.entered, "gets", "get") + f" the label {name}"
        do = agreeing(row.left, "does", "do")
        counts = f"{row.entered:,} {come} and {row.left:,} no longer {do}"
    else:
        become = _BECOME.get(row.metric) or f"flagged as {name}"
        counts = moved(row.entered, row.left, become)
    return f"{from_to}, of {images(row.n)}{_KNOWN.get(row.metric, '')}{whose}, {counts}"


def _change_named(row: Ablation) -> str:
    if row.kind == "without":
        return f"its label {row.change} left out"
    if row.kind == "negative":
        label, _, text = row.change.partition(": ")
        return f"the look-alike “{text}” of its label {label} left out"
    return f"`{row.kind} {row.change}`"


def _matched_sentence(row: Shift, shifts: Sequence[Shift]) -> str:
    entered, left, n = changed_of_others(row, shifts)
    gains = "gains" if (row.net or 0.0) > 0 else "loses"
    counts = f"of {images(row.n)} {moved(row.entered, row.left)}"
    return (
        f"From {row.before_policy} to {row.after_policy}, with both set to flag as many images, "
        f"{group_named(row.group)} (by {row.by}) {gains} flags against all others: "
        f"{counts}, of {counted(n, 'other')} {entered:,} and {left:,}"
    )


def no_claim_sentence(header: Header, tested: Correction) -> str:
    """Returns that no difference and no change is shown, and what that does not mean."""
    if not tested.hypotheses and not header.by:
        return "The images are in no groups, so this report cannot say whom that hits."
    if not tested.hypotheses:
        done = done_to(header.harm)
        return f"Nothing could be tested: no group has enough images, or none is {done}."
    if tested.hypotheses == 1:
        return "The one difference that was tested is not shown; that is not proof of none."
    return (
        f"None of the {tested.hypotheses:,} differences that were tested is shown to be more than "
        "chance; that is not proof that there is none."
    )
