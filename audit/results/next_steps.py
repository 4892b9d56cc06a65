"""What to do next, and for whom, in words; and what to be careful of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from audit.metrics.rates import FLAG
from audit.plurals import agreeing
from audit.results.ablation_rows import Ablation
from audit.results.formatting import images, of_10000
from audit.results.largest_claim import SizedClaim
from audit.results.results import Header, LabelRecord, PolicyRecord
from audit.results.rows import Difference, Power, Rate, Shift

_AUTHOR = "Who writes the policy"
_DECIDES = "Who decides whether it goes live"

#: Up to this many labels are named; of more, only the number is said.
_NAMED = 6


def next_steps(
    header: Header, claim: SizedClaim | None, rates: Sequence[Rate], power: Sequence[Power]
) -> Iterator[str]:
    """Yields what to do next, each step with whom it is for."""
    if claim is None:
        yield from _steps_without_claim(header, power)
    elif isinstance(claim.row, Difference):
        [policy] = [each for each in header.policies if each.name == claim.row.policy]
        yield from _steps_of_difference(claim, claim.row, policy, rates)
    else:
        yield from _steps_of_change(claim.row)
    if header.model.id == "starter":
        yield (
            "Who runs the workers: audit again with the model that they use (`--model`); what "
            "holds for starter need not hold for it."
        )
    yield (
        "Who publishes a figure: give its interval and its n, and measure it on images of your own "
        f"service too. These are {images(header.dataset.n)} of {header.dataset.name}."
    )


def _steps_without_claim(header: Header, power: Sequence[Power]) -> Iterator[str]:
    yield (
        f"{_DECIDES}: this does not prove that nobody fares worse: {_shown_rise(power)}. More "
        "images of the smaller groups make smaller differences visible; `audit datasets balance` "
        "draws a balanced sample."
    )
    yield f"{_AUTHOR}: {_how_to_ablate(header.policies[0])}"


def _shown_rise(power: Sequence[Power]) -> str:
    """Returns which rise the group with the least power would have shown, or why none is named."""
    enough = [row for row in power if row.support != "suppressed"]
    known = [row for row in enough if row.smallest_difference is not None]
    if known:
        worst = max(known, key=lambda row: row.smallest_difference or 0.0)
        return (
            f"in {worst.group} ({images(worst.n)}) a rise of less than "
            f"{of_10000(worst.smallest_difference)} of every 10,000 would probably not have been "
            "shown"
        )
    none_named = "no rise can be named that would have been shown"
    groups = Counter(by for by, _ in {(row.by, row.group) for row in enough})
    if max(groups.values(), default=0) < 2:
        return f"{none_named}, as no sensitive feature by itself has two groups with enough images"
    return f"{none_named}, with so few images of these groups that are flagged, or that are not"


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
        carried += f"{row.group}. "
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


def _steps_of_change(row: Shift | Ablation) -> Iterator[str]:
    more = (row.net or 0.0) > 0
    if isinstance(row, Ablation):
        wanted = "leave that part of the policy as it is" if more else "try that change"
        yield (
            f"{_AUTHOR}: {wanted}; images that should be flagged then tell whether it misses what "
            "it should find (`audit compare` with both policies)."
        )
        return
    rise = "more" if more else "fewer"
    kept = row.before_policy if more else row.after_policy
    yield (
        f"{_DECIDES}: with {row.after_policy}, {rise} of these images are flagged. Where none of "
        f"them should be, {kept} is the better of the two; only images that should be flagged tell "
        "whether it misses what it should find."
    )
