"""What to do next, and for whom, in words; and what to be careful of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.plurals import agreeing
from audit.results.ablation_rows import Ablation
from audit.results.formatting import group_named, images, of_10000
from audit.results.largest_claim import SizedClaim, is_of_resemblance
from audit.results.results import DatasetRecord, Header, LabelRecord, PolicyRecord
from audit.results.rows import Correction, Difference, Power, Rate, Shift

_AUTHOR = "Who writes the policy"
_DECIDES = "Who decides whether it goes live"

#: Up to this many labels are named; of more, only the number is said.
_NAMED = 6


def next_steps(
    header: Header, claim: SizedClaim | None, rates: Sequence[Rate], power: Sequence[Power]
) -> Iterator[str]:
    """Yields what to do next, each step with whom it is for."""
    steps = list(_steps(header, claim, rates, power))
    if all(map(_is_for_audits, header.policies)):
        must_not = "it must not, as its file says never to enforce it"
        if len(header.policies) > 1:
            must_not = "none of these may, as their files say never to enforce them"
        yield (
            f"{_DECIDES}: {must_not}. Take what is found here as a warning about such words and "
            "this model."
        )
        steps = [step for step in steps if not step.startswith(_DECIDES)]
    yield from steps
    if header.model.id == "starter":
        yield (
            "Who runs the workers: audit again with the model that they use (`--model`); what "
            "holds for starter need not hold for it."
        )
    yield (
        "Who publishes a figure: give its interval and its n, and measure it on images of your own "
        f"service too. These are {images(header.dataset.n)} of {header.dataset.name}."
    )


def _steps(
    header: Header, claim: SizedClaim | None, rates: Sequence[Rate], power: Sequence[Power]
) -> Iterator[str]:
    if claim is None and not header.by:
        yield (
            f"{_DECIDES}: audit it on images whose groups are annotated too, or nobody knows whom "
            "it hits."
        )
    elif claim is None:
        yield from _steps_without_claim(header, power)
    elif isinstance(claim.row, Difference):
        [policy] = [each for each in header.policies if each.name == claim.row.policy]
        yield from _steps_of_difference(claim, claim.row, policy, rates)
    elif is_of_resemblance(claim.row):
        yield (
            f"{_DECIDES}: the finding alone changes nothing for anybody, as it flags no image. The "
            'figures of each policy under "In practice" are what people meet.'
        )
    else:
        yield from _steps_of_change(claim.row, benign=header.dataset.benign)


def _is_for_audits(policy: PolicyRecord) -> bool:
    """Whether the file of a policy forbids to enforce it, in the comment that it begins with."""
    return "never enforce" in " ".join(policy.notes.casefold().split())


def _steps_without_claim(header: Header, power: Sequence[Power]) -> Iterator[str]:
    enough = [row for row in power if row.support != "suppressed"]
    known = [row for row in enough if row.smallest_difference is not None]
    seen = "so little is flagged here that no rise can be named that would have been shown"
    if known:
        worst = max(known, key=lambda row: row.smallest_difference or 0.0)
        seen = (
            f"if {group_named(worst.group)} ({images(worst.n)}) were flagged in up to "
            f"{of_10000(worst.smallest_difference)} more of every 10,000, this would probably not "
            "have shown it"
        )
    yield (
        f"{_DECIDES}: this does not prove that nobody fares worse; {seen}. Audit more images of "
        "the smallest groups."
    )
    yield f"{_AUTHOR}: {_how_to_ablate(header.policies[0])}"


def _how_to_ablate(policy: PolicyRecord) -> str:
    called = policy.path or policy.name
    return f"`audit ablate {called}` shows how far each label and the wording move whom it flags."


def _steps_of_difference(
    claim: SizedClaim, row: Difference, policy: PolicyRecord, rates: Iterable[Rate]
) -> Iterator[str]:
    labels = _labels_of(row.metric, policy)
    fired = _strongest_labels(row, labels, rates)
    carried = ""
    if fired:
        names = " and ".join(rate.metric.partition(":")[2] for rate in fired)
        each = agreeing(len(fired), ", which flags", ": each flags")
        carried = f"begin with {names}{each} {fired[0].count:,} of {images(fired[0].n)} of "
        carried += f"{group_named(row.group)}. "
    yield f"{_AUTHOR}: {carried}{_how_to_ablate(policy)}"
    blocks = [label.id for label in labels if label.action == "block"]
    if blocks and claim.apart > 0:
        yield (
            f"{_DECIDES}: until the difference is mended or explained, let a person look before "
            f"anything is refused for it: `action: review` for {_named(blocks)}."
        )
    elif labels:
        yield (
            f"{_DECIDES}: whoever reviews should know of the difference, and look at what these "
            f"labels flag with it in mind: {_named([label.id for label in labels])}."
        )


def _labels_of(metric: str, policy: PolicyRecord) -> list[LabelRecord]:
    """Returns the labels of which a metric counts what they flag."""
    kind, _, name = metric.partition(":")
    flagging = [label for label in policy.labels if label.action in ("review", "block")]
    if kind == "category":
        return [label for label in flagging if label.category == name]
    if kind == "fired":
        return [label for label in flagging if label.id == name]
    return flagging


def _strongest_labels(
    row: Difference, labels: Sequence[LabelRecord], rates: Iterable[Rate]
) -> list[Rate]:
    """Returns the labels that flag most images of a group, of several that the claim is about."""
    metrics = {f"fired:{label.id}" for label in labels}
    kind = row.metric.partition(":")[0]
    if len(metrics) < 2 or kind not in (FLAG, "category"):
        return []
    group = (row.policy, row.by, row.group)
    own = [r for r in rates if r.metric in metrics and (r.policy, r.by, r.group) == group]
    most = max((rate.count for rate in own), default=0)
    return [rate for rate in own if rate.count == most] if most else []


def _named(labels: Sequence[str]) -> str:
    more = len(labels) - _NAMED
    return ", ".join(labels[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _steps_of_change(row: Shift | Ablation, *, benign: bool) -> Iterator[str]:
    more = (row.net or 0.0) > 0
    if isinstance(row, Ablation):
        falsely = "wrongly " if benign else ""
        if more:
            wanted = f"do not make that change: more images are {falsely}flagged with it"
        else:
            wanted = f"try that change: fewer images are {falsely}flagged with it"
        yield (
            f"{_AUTHOR}: {wanted}. Whether the policy then finds what it should, only images that "
            "should be flagged tell."
        )
        return
    rise = "more" if more else "fewer"
    kept = row.before_policy if more else row.after_policy
    yield (
        f"{_DECIDES}: with {row.after_policy}, {rise} of these images are flagged. Where none of "
        f"them should be, {kept} is the better of the two; only images that should be flagged tell "
        "whether it misses what it should find."
    )


def cautions(
    header: Header, rates: Iterable[Rate], tested: Correction, *, claimed: bool
) -> Iterator[str]:
    """Yields how to read the ranges, and what makes the figures of a report less than they look."""
    allows = ""
    if claimed and tested.hypotheses > 1:
        allows = (
            f"; that of the first finding is wider, as it allows for all {tested.hypotheses:,} "
            "differences that were tested"
        )
    yield f"Brackets hold the range in which the true figure probably lies (95 %){allows}."
    if not header.dataset.benign:
        yield _caution_of_truth(rates)
    if header.model.id == "starter":
        yield "The model is starter, a small stand-in for trying out: its figures are not CLIP's."
    for policy in header.policies:
        if name := tuned_on(policy, header.dataset):
            yield (
                f"The wording or the thresholds of {policy.name} were chosen on {name}, as its "
                "file says, and these images are from it: expect more flags on other images."
            )


def _caution_of_truth(rates: Iterable[Rate]) -> str:
    """Returns what a flag does not say where some images should be flagged."""
    if any(rate.metric in (TRUE_POSITIVE, FALSE_POSITIVE) and rate.n for rate in rates):
        return (
            "Some of these images should be flagged, of some groups perhaps more: only wrong and "
            "missed flags are errors."
        )
    return "It is not known which of these images should be flagged, so a flag may be right."


def tuned_on(policy: PolicyRecord, dataset: DatasetRecord) -> str:
    """Returns what a policy's file calls the dataset, where it says that it was tuned on it."""
    names = (dataset.name, dataset.name.rpartition(":")[2], dataset.adapter)
    known = {_slug(name) for name in (*names, dataset.sha256, dataset.images_sha256)}
    return next((name for name in policy.tuned_on if _slug(name) in known), "")


def _slug(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")
