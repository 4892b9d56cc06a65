"""The rules on what scores a label: prompts with their look-alikes, or a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from moderation.policy.plain_data import (
    BrokenRule,
    compared_text,
    label_has,
    policy_texts,
    repetition_rule,
)
from moderation.policy.yaml_source import Location


def source_rules(
    location: Location, label: dict[str, Any], data: dict[str, Any]
) -> Iterator[BrokenRule]:
    """Yields what is wrong with what scores a label: prompts or a classifier, and never both."""
    if not label_has(label, "classifier"):
        if "prompts" not in label:
            yield BrokenRule(location, "the key 'prompts' is missing", "Add prompts: ...")
        elif label["prompts"] in ([], ()):
            message = f"labels[{location[1]}].prompts: the list needs more items"
            yield BrokenRule((*location, "prompts"), message, "Give at least 1")
        return
    where = (*location, "classifier")
    if label.get("prompts"):
        message = "a label is scored by its prompts or by a classifier, not by both"
        remedy = "Make two labels of one category"
        yield BrokenRule(where, message, remedy)
    if not label_has(label, "action"):
        message = "a label without an action has no use for a classifier"
        remedy = "Give it an action: it would compete with nothing, since its score is its own"
        yield BrokenRule(where, message, remedy)
    if data.get("decision") == "top_label":
        message = "top_label needs scores that compete, and a classifier's do not compete"
        yield BrokenRule(where, message, "Use decision: threshold, or a policy of its own")
    yield from _crop_rules(where, label["classifier"])


def _crop_rules(where: Location, classifier: Any) -> Iterator[BrokenRule]:
    """Yields where more of a picture is kept than there is of it."""
    how = classifier.get("preprocessing") if isinstance(classifier, dict) else None
    if not isinstance(how, dict):
        return
    resize, crop = how.get("resize"), how.get("crop")
    sides = (resize, resize) if isinstance(resize, int) else resize
    if not (_is_size(sides) and _is_size(crop)):
        return
    if crop[0] > sides[0] or crop[1] > sides[1]:
        message = f"crop {list(crop)} is larger than what resize {resize} leaves"
        remedy = "Crop to that size or less: [height, width]"
        yield BrokenRule((*where, "preprocessing", "crop"), message, remedy)


def _is_size(value: Any) -> TypeGuard[Sequence[int]]:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(isinstance(side, int) for side in value)


def negative_rules(
    labels: list[tuple[int, dict[str, Any]]], data: dict[str, Any]
) -> Iterator[BrokenRule]:
    """Yields what is wrong with the look-alikes of labels."""
    context = {
        compared_text(prompt): i
        for i, label in labels
        if not label_has(label, "action")
        for _, prompt in policy_texts(label, "prompts")
    }
    for i, label in labels:
        if not label.get("negatives"):
            continue
        where = ("labels", i, "negatives")
        yield from _useless_negatives(where, label, data.get("scoring", "softmax"))
        own = {compared_text(prompt) for _, prompt in policy_texts(label, "prompts")}
        for j, text in policy_texts(label, "negatives"):
            if compared_text(text) in own:
                message = f"the negative {text!r} is also a prompt of this label"
                yield BrokenRule((*where, j), message, "Keep it where it belongs")
            if (first := context.get(compared_text(text))) is not None:
                message = f"the negative {text!r} is also a prompt of the context labels[{first}]"
                remedy = "Remove it here: it would count double"
                yield BrokenRule((*where, j), message, remedy)
        yield from repetition_rule(where, "negative", policy_texts(label, "negatives"))


def _useless_negatives(
    where: Location, label: dict[str, Any], scoring: Any
) -> Iterator[BrokenRule]:
    """Yields why the look-alikes of a label would have no effect."""
    if scoring != "contrast":
        message = f"negatives have no effect under {scoring} scoring"
        remedy = "Use scoring: contrast, or make context labels of them"
        yield BrokenRule(where, message, remedy)
    if not label_has(label, "action"):
        message = "a label without an action has no use for negatives"
        yield BrokenRule(where, message, "Move them to the acting label that they look like")
    if label_has(label, "classifier"):
        message = "negatives have no effect on a classifier's score"
        yield BrokenRule(where, message, "Remove them")
