"""What to do next, and for whom, in words; and what to be careful of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from audit.metrics.rates import FLAG
from audit.plurals import agreeing
from audit.results.ablation_rows import Ablation
from audit.results.formatting import group_named, images, of_10000
from audit.results.gap_sentences import done_to
from audit.results.largest_claim import SizedClaim, is_of_resemblance
from audit.results.results import Header, LabelRecord, PolicyRecord
from audit.results.rows import Difference, Power, Rate, Shift

_AUTHOR, _RUNS = "Who writes the policy", "Who runs the system"
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
    if header.is_of_starter:
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
        yield from _steps_of_change(claim.row, done_to(header.harm), benign=header.dataset.benign)


def _is_for_audits(policy: PolicyRecord) -> bool:
    """Whether the file of a policy forbids to enforce it, in the comment that it begins with."""
    return "never enforce" in " ".join(policy.notes.casefold().split())


def _steps_without_claim(header: Header, power: Sequence[Power]) -> Iterator[str]:
    yield (
        f"{_DECIDES}: this does not prove that nobody fares worse; "
        f"{_shown_rise(power, done_to(header.harm))}. Audit "
        "more images of the smallest groups."
    )
    policy = header.policies[0]
    yield f"{_author(policy)}: {_how_to_ablate(policy)}"


def _shown_rise(power: Sequence[Power], done: str) -> str:
    """Returns which rise the group with the least power would have shown, or why none is named."""
    enough = [row for row in power if row.support != "suppressed"]
    known = [row for row in enough if row.smallest_difference is not None]
    if known:
        worst = max(known, key=lambda row: row.smallest_difference or 0.0)
        return (
            f"if {group_named(worst.group)} ({images(worst.n)}) were {done} in up to "
            f"{of_10000(worst.smallest_difference)} more of every 10,000, this would probably not "
            "have shown it"
        )
    none_named = "no rise can be named that would have been shown"
    groups = Counter(by for by, _ in {(row.by, row.group) for row in enough})
    if max(groups.values(), default=0) < 2:
        return f"{none_named}, as no sensitive feature by itself has two groups with enough images"
    return f"{none_named}, with so few images of these groups that are {done}, or that are not"


def _author(policy: PolicyRecord) -> str:
    """Returns who can change what is audited."""
    return _AUTHOR if policy.kind == "policy" else _RUNS


def _how_to_ablate(policy: PolicyRecord) -> str:
    if policy.kind != "policy":
        return (
            "`audit compare --predictions` shows for whom a further system, label set or version "
            "does better on these images."
        )
    if all(label.action not in ("review", "block") for label in policy.labels):
        return "`audit compare` shows for whom another label set does better on these images."
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
    yield f"{_author(policy)}: {carried}{_how_to_ablate(policy)}"
    blocks = [label.id for label in labels if label.action == "block"]
    if (blocks or policy.kind == "decisions") and claim.apart > 0:
        review = "`action: review` for " if policy.kind == "policy" else ""
        what = f": {review}{_named(blocks)}" if blocks else ""
        yield (
            f"{_DECIDES}: until the difference is mended or explained, let a person look before "
            f"anything is refused for it{what}."
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


def _steps_of_change(row: Shift | Ablation, done: str, *, benign: bool) -> Iterator[str]:
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
    only = (
        "; only images that should be flagged tell whether it misses what it should find"
        if done == "flagged"
        else ""
    )
    yield (
        f"{_DECIDES}: with {row.after_policy}, {rise} of these images are {done}. Where none of "
        f"them should be, {kept} is the better of the two{only}."
    )
