"""What a policy does to images in practice, in words: what flagged means, and how many it meets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FALSE_POSITIVE, MISCLASSIFIED, TRUE_POSITIVE
from audit.results.formatting import images, of_10000
from audit.results.headline_sentences import done_by
from audit.results.results import Header, LabelRecord, PolicyRecord
from audit.results.rows import Rate
from moderation.visible_text import brief

#: Up to this many categories, and labels of each, are named; of more, only the number is said.
_NAMED = 6

_WHEN = {
    "top_label": "An image is flagged where, of all labels, it resembles one of these most",
    "threshold": "An image is flagged where the score of one of these reaches its threshold",
}


def meaning_sentences(header: Header) -> Iterator[str]:
    """Yields what it means that a policy flags an image; policies that mean the same together."""
    if header.harm == MISCLASSIFIED:
        yield (
            "An image is misclassified where the label that is said of it stands for another class "
            "than its own, as annotated. No label here flags anything."
        )
        return
    meant: dict[str, list[str]] = {}
    for policy in header.policies:
        meant.setdefault(_meaning(policy), []).append(policy.name)
    for meaning, names in meant.items():
        more = len(names) - _NAMED
        shown = " and ".join(names)
        if more > 0:
            shown = f"{', '.join(names[:_NAMED])} and {more:,} more"
        yield f"Under {shown}: {meaning}."
    if header.dataset.benign:
        yield "Nothing in these images should be flagged: each flag is a wrong one."


def _meaning(policy: PolicyRecord) -> str:
    if policy.kind == "decisions":
        return "an image is flagged where it was blocked or sent to review"
    if policy.kind == "scores" and len(policy.labels) == 2 and policy.labels[0].action:
        return "an image is flagged where its score reaches the threshold"
    categories: dict[str, list[LabelRecord]] = {}
    for label in policy.labels:
        if label.action in ("review", "block"):
            categories.setdefault(label.category or label.id, []).append(label)
    if not categories:
        return "nothing is flagged, as no label asks for review or block"
    parts = [
        f"{done_by(labels, policy)} as {category}{_named_labels(category, labels)}"
        for category, labels in list(categories.items())[:_NAMED]
    ]
    more = len(categories) - _NAMED
    parts += [f"as one of {more:,} more categories"] * (more > 1)
    parts += ["as one more category"] * (more == 1)
    when = "" if policy.decision is None else f". {_WHEN[policy.decision]}"
    return f"{', or '.join(parts)}{when}"


def _named_labels(category: str, labels: Sequence[LabelRecord]) -> str:
    names = [label.id for label in labels]
    if names == [category]:
        return ""
    more = len(names) - _NAMED
    return f" ({', '.join(names[:_NAMED])}{f' and {more:,} more' if more > 0 else ''})"


def practice_sentences(
    header: Header,
    rates: Sequence[Rate],
    group: tuple[str, str] | None,
    claimed: Collection[str] = (),
) -> Iterator[str]:
    """Yields how many of 10,000 images like these each policy refuses, and how many wait.

    Args:
        header: of the report.
        rates: of all policies.
        group: a sensitive feature and a group of it of which it is said too.
        claimed: the policies of the largest claim; of very many, it is said of these alone.
    """
    if header.harm == MISCLASSIFIED:
        return  # the summary says how many are; nothing is refused and nothing waits
    for policy in header.policies:
        if header.is_of_many and policy.name not in claimed:
            continue
        own = [rate for rate in rates if rate.policy == policy.name]
        done = _acts_on([rate for rate in own if rate.by == OVERALL], policy)
        text = f"Of 10,000 images such as those of {header.dataset.name}, {policy.name} {done}"
        of_group = [rate for rate in own if (rate.by, rate.group) == group]
        if of_group and of_group[0].support != "suppressed":
            of = f"{of_group[0].by} {of_group[0].group}"
            text += f"; of 10,000 of {of}, it {_acts_on(of_group, policy)}"
        yield f"{text}."
        if not header.dataset.benign:
            yield from _rightly_and_falsely(policy.name, own)


def _rightly_and_falsely(policy: str, rates: Iterable[Rate]) -> Iterator[str]:
    """Yields how many images a policy flags of those that should be, and of those that should not.

    Nothing, if it is known of none.
    """
    whole = {rate.metric: rate for rate in rates if rate.by == OVERALL and rate.n}
    parts = [
        f"of {images(whole[metric].n)} that {should} be flagged, {_counted_of(whole[metric])}"
        for metric, should in ((TRUE_POSITIVE, "should"), (FALSE_POSITIVE, "should not"))
        if metric in whole
    ]
    if parts:
        yield f"{policy} flags, where it is known what it should: {'; '.join(parts)}."


def _acts_on(rates: Iterable[Rate], policy: PolicyRecord) -> str:
    """Returns how many of 10,000 images a policy refuses, and lets wait, as far as it can."""
    counted = {rate.metric: rate for rate in rates}
    if policy.kind != "policy":
        return _flags_of_system(counted, policy)
    blocks = any(label.action == "block" for label in policy.labels)
    waits = any(
        label.action == "review" or label.review_threshold is not None for label in policy.labels
    )
    parts = []
    if blocks and (refused := counted.get("action:block")):
        parts.append(f"refuses {_of_10000(refused)}")
    if waits and (waiting := counted.get("action:review")):
        parts.append(f"lets {_of_10000(waiting)} wait for a person")
    return " and ".join(parts) or "neither refuses any nor lets any wait"


def _flags_of_system(counted: Mapping[str, Rate], policy: PolicyRecord) -> str:
    """Returns how many of 10,000 images a system flags, by what is done where that is known."""
    waiting, blocked = counted["action:review"], counted["action:block"]
    if waiting.count:
        return f"blocks {_of_10000(blocked)} and sends {_of_10000(waiting)} to review"
    does = "blocks" if policy.kind == "decisions" else "flags"
    return f"{does} {_of_10000(blocked)}"


def _counted_of(rate: Rate) -> str:
    if rate.support == "suppressed":
        return f"{rate.count:,}, too few images for a rate"
    return f"{rate.count:,}, or {_of_10000(rate)} of every 10,000"


def _of_10000(rate: Rate) -> str:
    return f"{of_10000(rate.rate)} [{of_10000(rate.low)} to {of_10000(rate.high)}]"


def harm_summary(policy: str, rates: Iterable[Rate], header: Header) -> str:
    """Returns how many images a policy flags, or misclassifies where none can be flagged."""
    whole = next(r for r in rates if (r.policy, r.by, r.metric) == (policy, OVERALL, header.harm))
    does = "falsely flags" if header.dataset.benign else "flags"
    if header.harm == MISCLASSIFIED:
        does = "misclassifies"
    return (
        f"{policy} {does} {whole.count:,} of {images(whole.n)}: {of_10000(whole.rate)} of "
        f"every 10,000 [{of_10000(whole.low)} to {of_10000(whole.high)}]."
    )


def note_sentences(policies: Iterable[PolicyRecord]) -> Iterator[str]:
    """Yields what the file of each policy says of itself: the first part of its comment."""
    for policy in policies:
        if opening := " ".join(policy.notes.split("\n\n")[0].split()):
            yield f"{policy.name}: {brief(opening)}"
