"""What differs between two policies, in sentences: each begins with what it is about."""

from __future__ import annotations

from typing import Any

from moderation.policy.difference import PolicyChange
from moderation.policy.schema import Expectation, Policy

#: Of a change without texts that were added or removed, what its value is called.
_NAMES = {
    "id": "the policy's id",
    "version": "version",
    "title": "title",
    "model": "model",
    "scoring": "scoring",
    "decision": "decision",
    "tuned-on": "tuned_on",
    "fitted": "fitted",
    "classifier": "classifier",
    "action": "action",
    "threshold": "threshold",
    "review-threshold": "review_threshold",
    "category": "category",
    "severity": "severity",
    "taxonomy": "taxonomy",
}
#: What stands for nothing, where that means something.
_UNSAID = {"model": "that of the worker", "action": "none (a context label)"}


def change_sentence(change: PolicyChange) -> str:
    """Returns what a change is, such as `gun: threshold 0.8 -> 0.7 (stricter)`."""
    about = f"{change.label}: " if change.label else ""
    turn = f" ({change.direction})" if change.direction else ""
    return f"{about}{_what_changed(change)}{turn}"


def difference_sentences(old: Policy, new: Policy, changes: tuple[PolicyChange, ...]) -> list[str]:
    """Returns all changes in words, and what else must be known of them; never nothing."""
    if not changes:
        return ["Nothing that a worker sees differs: the contents are equal."]
    if changes[0].kind == "order":
        return [
            "Only the order of lists differs: nothing that decides. The hash is another, so images "
            "are decided on again."
        ]
    said = [change_sentence(change) for change in changes]
    reach = {change.reaches for change in changes}
    if "decision" not in reach:
        said.append("No action can change: nothing that decides differs.")
    if reach != {"file"} and old.id == new.id and old.version == new.version:
        said.append(f"The version is {new.version} in both: raise it, so that verdicts tell them.")
    return said


def _what_changed(change: PolicyChange) -> str:
    kind, before, after = change.kind, change.before, change.after
    what, _, turn = kind.rpartition("-")
    if kind == "label-renamed":
        return f"the label {before!r} has a new id, and the same texts"
    if kind == "example-changed":
        return f"example {_image_of(after)}: expects {_expected(before)} -> {_expected(after)}"
    if turn in ("added", "removed"):
        return f"{what} {turn}: {_shown_item(what, after or before)}"
    return f"{_NAMES[kind]} {_shown_value(kind, before)} -> {_shown_value(kind, after)}"


def _shown_item(what: str, item: Any) -> str:
    """Returns a label, a text or an example that was added or removed."""
    if what == "label":
        return _described_label(item)
    if what == "example":
        return f"{_image_of(item)} expects {_expected(item)}"
    return repr(item)


def _described_label(label: dict[str, Any]) -> str:
    """Returns what a label recognises, and what it asks for."""
    if (classifier := label.get("classifier")) is not None:
        texts = f"scored by {_named_classifier(classifier)}"
    else:
        texts = ", ".join(map(repr, label.get("prompts", ())))
    if label.get("negatives"):
        texts += f"; not {', '.join(map(repr, label['negatives']))}"
    if (action := label.get("action")) is None:
        return f"context, {texts}"
    review, threshold = label.get("review_threshold"), label.get("threshold")
    asks = f"{action} from {threshold}" if threshold is not None else str(action)
    asks += f" (review from {review})" if review is not None else ""
    return f"{asks}, {texts}"


def _shown_value(kind: str, value: Any) -> str:
    if value is None:
        return _UNSAID.get(kind, "none")
    if isinstance(value, float):
        return str(value)
    if kind == "classifier":
        return _named_classifier(value)
    if kind == "fitted":
        data = ", ".join(value["data"])
        return f"to {value['model']} on {value['n']} images of {data}, {value['date']}"
    if kind == "taxonomy":
        return ", ".join(f"{key} {name}" for key, name in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return repr(value) if kind == "title" else str(value)


def _named_classifier(classifier: dict[str, Any]) -> str:
    output = classifier["output"]
    return f"{classifier['file']}@{classifier['sha256'][:16]}, output {output['column']}"


def _image_of(example: dict[str, Any]) -> str:
    return example.get("image") or f"sha256 {example['sha256']}"


def _expected(example: dict[str, Any]) -> str:
    return Expectation(**example["expect"]).words
