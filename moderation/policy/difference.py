"""What differs between two policies in what they mean, whatever the layout of their files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from moderation.messages import Action
from moderation.policy.authored import AuthoredRecord
from moderation.policy.label import Label
from moderation.policy.schema import Example, Policy

ChangeKind = Literal[
    "id",
    "version",
    "title",
    "model",
    "scoring",
    "decision",
    "tuned-on",
    "fitted",
    "order",
    "template-added",
    "template-removed",
    "label-added",
    "label-removed",
    "label-renamed",
    "prompt-added",
    "prompt-removed",
    "look-alike-added",
    "look-alike-removed",
    "classifier",
    "action",
    "threshold",
    "review-threshold",
    "category",
    "severity",
    "taxonomy",
    "example-added",
    "example-removed",
    "example-changed",
]
Direction = Literal["stricter", "more lenient"]

#: What changes no action, but what a verdict says beside it.
_IN_THE_VERDICT = ("id", "version", "fitted", "category", "severity", "label-renamed")
#: What no verdict shows: it is for authors, auditors and whoever reports decisions.
_BESIDE_IT = (
    *("title", "tuned-on", "taxonomy", "order"),
    *("example-added", "example-removed", "example-changed"),
)
_SEVERITY: dict[Action | None, int] = {None: 0, "allow": 0, "review": 1, "block": 2}


class PolicyChange(NamedTuple):
    """One thing that differs between two policies.

    Attributes:
        kind: what it is.
        label: the id of its label, in the new policy if it is there; None of the whole policy.
        before: in the old policy, as plain data; None where there was nothing.
        after: in the new one.
        direction: whether it asks for more or for less than before, where that is certain.
    """

    kind: ChangeKind
    label: str | None
    before: Any
    after: Any
    direction: Direction | None = None

    @property
    def reaches(self) -> Literal["decision", "verdict", "file"]:
        """How far it goes: it can change actions, or only what verdicts say, or only the file."""
        if self.kind in _IN_THE_VERDICT:
            return "verdict"
        return "file" if self.kind in _BESIDE_IT else "decision"


def policy_difference(old: Policy, new: Policy) -> tuple[PolicyChange, ...]:
    """Returns what differs; nothing where a worker and an author read both as one.

    A label of another id with the very texts or classifier of one that is gone is the same label,
    renamed. Where nothing but the order of lists differs, that is the one change.
    """
    changes = (*_policy_changes(old, new), *_label_changes(old, new), *_example_changes(old, new))
    if not changes and old.content != new.content:
        return (PolicyChange("order", None, None, None),)
    return changes


def _policy_changes(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    fields: tuple[tuple[ChangeKind, str], ...] = (
        ("id", "id"),
        ("version", "version"),
        ("title", "title"),
        ("model", "model"),
        ("scoring", "scoring"),
        ("decision", "decision"),
    )
    for kind, name in fields:
        yield from _replaced(kind, None, getattr(old, name), getattr(new, name))
    yield from _replaced("fitted", None, _plain(old.fitted), _plain(new.fitted))
    before, after = sorted(old.tuned_on), sorted(new.tuned_on)
    yield from _replaced("tuned-on", None, before, after)
    yield from _texts_changed(
        ("template-removed", "template-added"), None, old.templates, new.templates
    )


def _label_changes(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    before = {label.id: label for label in old.labels}
    after = {label.id: label for label in new.labels}
    renamed = _renamed_labels(before, after)
    for name, label in before.items():
        if name not in after and name not in renamed.values():
            yield PolicyChange("label-removed", name, _plain(label), None)
    for name, label in after.items():
        former = renamed.get(name, name)
        if former not in before:
            yield PolicyChange("label-added", name, None, _plain(label))
            continue
        yield from _replaced("label-renamed", name, former, name)
        yield from _changes_of_label(before[former], label)


def _renamed_labels(before: dict[str, Label], after: dict[str, Label]) -> dict[str, str]:
    """Returns the former id of each label that was renamed, by its new one."""
    gone = {_what_scores(each): name for name, each in before.items() if name not in after}
    come = {_what_scores(each): name for name, each in after.items() if name not in before}
    return {name: gone[scorer] for scorer, name in come.items() if scorer in gone}


def _what_scores(label: Label) -> tuple[frozenset[str], frozenset[str], str]:
    classifier = json.dumps(_plain(label.classifier), sort_keys=True)
    return frozenset(label.prompts), frozenset(label.negatives), classifier


def _changes_of_label(old: Label, new: Label) -> Iterator[PolicyChange]:
    """Yields what differs in a label; nothing of its id."""
    name = new.id
    yield from _texts_changed(("prompt-removed", "prompt-added"), name, old.prompts, new.prompts)
    yield from _texts_changed(
        ("look-alike-removed", "look-alike-added"), name, old.negatives, new.negatives
    )
    yield from _replaced("classifier", name, _plain(old.classifier), _plain(new.classifier))
    if old.action != new.action:
        turn = _direction(_SEVERITY[new.action] - _SEVERITY[old.action])
        yield PolicyChange("action", name, old.action, new.action, turn)
    thresholds: tuple[tuple[ChangeKind, float | None, float | None], ...] = (
        ("threshold", old.threshold, new.threshold),
        ("review-threshold", old.review_threshold, new.review_threshold),
    )
    for kind, before, after in thresholds:
        if before != after:
            turn = _threshold_direction(kind, before, after)
            asks = _SEVERITY[new.action] > 0 and old.action == new.action
            yield PolicyChange(kind, name, before, after, turn if asks else None)
    if old.category or new.category:  # otherwise it is the label's id
        yield from _replaced("category", name, old.reported_category, new.reported_category)
    yield from _replaced("severity", name, old.severity, new.severity)
    yield from _replaced("taxonomy", name, _plain(old.taxonomy), _plain(new.taxonomy))


def _threshold_direction(
    kind: ChangeKind, before: float | None, after: float | None
) -> Direction | None:
    """Returns where a threshold moves: a lower one is reached by more.

    Without a threshold, which top_label allows, any score reaches it; without a review threshold
    none does.
    """
    missing = 0.0 if kind == "threshold" else float("inf")
    start = missing if before is None else before
    end = missing if after is None else after
    return _direction((start > end) - (start < end))


def _direction(severity: int) -> Direction | None:
    if severity == 0:
        return None
    return "stricter" if severity > 0 else "more lenient"


def _example_changes(old: Policy, new: Policy) -> Iterator[PolicyChange]:
    before, after = _examples_by_image(old.examples), _examples_by_image(new.examples)
    for image, example in before.items():
        if image not in after:
            yield PolicyChange("example-removed", None, example, None)
    for image, example in after.items():
        if image not in before:
            yield PolicyChange("example-added", None, None, example)
        else:
            yield from _replaced("example-changed", None, before[image], example)


def _examples_by_image(examples: Iterable[Example]) -> dict[str, Any]:
    """Returns examples as plain data by the image that they name; of two of one image both."""
    found: dict[str, Any] = {}
    for example in examples:
        name = named = example.image or f"sha256 {example.sha256}"
        count = 1
        while name in found:
            count += 1
            name = f"{named} ({count})"
        found[name] = _plain(example)
    return found


def _texts_changed(
    kinds: tuple[ChangeKind, ChangeKind],
    label: str | None,
    before: Sequence[str],
    after: Sequence[str],
) -> Iterator[PolicyChange]:
    """Yields the texts of a list that are gone, and then those that are new, whatever their order.

    Args:
        kinds: of a text that is gone, and of one that is new.
        label: whose they are.
        before: in the old policy.
        after: in the new one.
    """
    gone, come = kinds
    for text in before:
        if text not in after:
            yield PolicyChange(gone, label, text, None)
    for text in after:
        if text not in before:
            yield PolicyChange(come, label, None, text)


def _replaced(
    kind: ChangeKind, label: str | None, before: object, after: object
) -> Iterator[PolicyChange]:
    if before != after:
        yield PolicyChange(kind, label, before, after)


def _plain(record: AuthoredRecord | None) -> Any:
    return None if record is None else record.model_dump(mode="json", exclude_none=True)
