"""The rules of a policy that span several fields.

They read plain data, as YAML gives it, and skip parts of the wrong type: those are refused field
by field elsewhere, and an author wants to see both kinds of problem at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moderation.policy.label_rules import negative_rules, source_rules
from moderation.policy.plain_data import (
    BrokenRule,
    compared_text,
    label_has,
    label_number,
    policy_items,
    policy_texts,
    repetition_rule,
)
from moderation.policy.yaml_source import Location

#: How the names of published CLIPs begin.
_CLIPS = ("openai/clip-vit-", "laion/clip-vit-")


def broken_rules(data: dict[str, Any], default_model: str | None = None) -> Iterator[BrokenRule]:
    """Yields every rule that a policy's data breaks.

    Args:
        data: the policy as plain data; parts of the wrong type are skipped.
        default_model: model of a policy that names none; None leaves its prompt length unchecked.
    """
    found = enumerate(policy_items(data, "labels"))
    labels = [(i, label) for i, label in found if isinstance(label, dict)]
    by_threshold = data.get("decision", "threshold") == "threshold"
    yield from _template_rules(data)
    yield from _fitted_rules(data.get("fitted"))
    for i, label in labels:
        yield from _threshold_rules(("labels", i), label, needs_threshold=by_threshold)
        yield from _prompt_rules(("labels", i), label)
        yield from source_rules(("labels", i), label, data)
    yield from negative_rules(labels, data)
    yield from _label_repetition_rules(labels)
    yield from _competition_rules(data, labels)
    yield from _example_rules(data, labels)
    model = data.get("model") or default_model
    if isinstance(model, str):
        yield from _sigmoid_rules(data, model)
        yield from _length_rules(data, labels, model)


def _least_prompt_tokens(text: str) -> int:
    """Returns the least number of tokens that a text can have, with its end mark.

    A byte-pair, word-piece or sentence-piece tokenizer gives each word, from one space to the next,
    at least one token, so more words than fit are proof without the tokenizer itself. (SigLIP drops
    punctuation, so a word must hold a letter or digit; and it has no start mark.)
    """
    return sum(any(map(str.isalnum, word)) for word in text.split()) + 1


def prompt_limit(model: str) -> int | None:
    """Returns how many tokens a model reads of a prompt; None where only the model itself knows."""
    name = model.lower()
    if name == "starter":
        return 256
    if name.startswith(_CLIPS):
        return 77
    return 64 if name.startswith("google/siglip") else None


def _template_rules(data: dict[str, Any]) -> Iterator[BrokenRule]:
    for i, template in policy_texts(data, "templates"):
        if template.count("{}") != 1:
            message = f"the template {template!r} has {template.count('{}')} places for the prompt"
            yield BrokenRule(("templates", i), message, "Write {} once, where the prompt belongs")
    yield from repetition_rule(("templates",), "template", policy_texts(data, "templates"))


def _fitted_rules(fitted: Any) -> Iterator[BrokenRule]:
    """Yields where a number stands for a date: it would be read as seconds since 1970."""
    date = fitted.get("date") if isinstance(fitted, dict) else None
    if isinstance(date, int | float):
        message = f"fitted.date: this should be a date, not {date}"
        yield BrokenRule(("fitted", "date"), message, "Write a date, such as 2026-11-21")


def _threshold_rules(
    location: Location, label: dict[str, Any], *, needs_threshold: bool
) -> Iterator[BrokenRule]:
    threshold, review = label_number(label, "threshold"), label_number(label, "review_threshold")
    if not label_has(label, "action"):
        for key in ("threshold", "review_threshold"):
            if label_has(label, key):
                message = f"a label without an action has no use for {key}"
                remedy = f"Give it an action (block, review or allow), or remove {key}"
                yield BrokenRule((*location, key), message, remedy)
        return
    if needs_threshold and not label_has(label, "threshold"):
        message = f"the label '{label.get('id', '?')}' has an action but no threshold"
        yield BrokenRule(location, message, "Add threshold: a score in [0, 1], such as 0.8")
    if not label_has(label, "review_threshold"):
        return
    if label["action"] in ("review", "allow"):
        message = f"review_threshold has no effect where the action is {label['action']}"
        remedy = "Remove it, or make the action block"
        yield BrokenRule((*location, "review_threshold"), message, remedy)
    elif threshold is None or review is None:
        if not label_has(label, "threshold") and not needs_threshold:
            message = "review_threshold needs a threshold to be below"
            yield BrokenRule((*location, "review_threshold"), message, "Add threshold")
    elif review >= threshold:
        message = f"review_threshold {review} is not below threshold {threshold}"
        remedy = "Swap the two, or remove review_threshold"
        yield BrokenRule((*location, "review_threshold"), message, remedy)


def _prompt_rules(location: Location, label: dict[str, Any]) -> Iterator[BrokenRule]:
    for key in ("prompts", "negatives"):
        for i, text in policy_texts(label, key):
            if text and not text.strip():
                message = f"an empty {key.removesuffix('s')}"
                yield BrokenRule((*location, key, i), message, "Write what the image would show")
    yield from repetition_rule((*location, "prompts"), "prompt", policy_texts(label, "prompts"))


def _label_repetition_rules(labels: list[tuple[int, dict[str, Any]]]) -> Iterator[BrokenRule]:
    first_id: dict[str, int] = {}
    first_prompt: dict[str, int] = {}
    for i, label in labels:
        name = label.get("id")
        if isinstance(name, str) and name in first_id:
            message = f"the label id '{name}' is taken by labels[{first_id[name]}]"
            yield BrokenRule(("labels", i, "id"), message, "Give each label its own id")
        elif isinstance(name, str):
            first_id[name] = i
        for j, prompt in policy_texts(label, "prompts"):
            first = first_prompt.setdefault(compared_text(prompt), i)
            if prompt.strip() and first != i:
                message = f"the prompt {prompt!r} is also in labels[{first}]"
                remedy = "Keep it in one label: in two, neither can win"
                yield BrokenRule(("labels", i, "prompts", j), message, remedy)


def _competition_rules(
    data: dict[str, Any], labels: list[tuple[int, dict[str, Any]]]
) -> Iterator[BrokenRule]:
    if not labels:
        return
    scoring = data.get("scoring", "softmax")
    if not any(label_has(label, "action") for _, label in labels):
        message = "no label has an action, so the policy decides nothing"
        remedy = "Give at least one label action: block, review or allow"
        yield BrokenRule(("labels",), message, remedy)
    with_prompts = [label for _, label in labels if not label_has(label, "classifier")]
    if (
        scoring in ("softmax", "contrast")
        and with_prompts
        and all(label_has(label, "action") for label in with_prompts)
    ):
        message = f"{scoring} scoring needs a context label, one without an action"
        remedy = "Add labels for what harmless images show, such as 'an everyday object'"
        yield BrokenRule(("labels",), message, remedy)
    if scoring == "contrast" and data.get("decision") == "top_label":
        message = "top_label needs scores that compete, and under contrast they do not compete"
        yield BrokenRule(("decision",), message, "Use scoring: softmax, or decision: threshold")


def _sigmoid_rules(data: dict[str, Any], model: str) -> Iterator[BrokenRule]:
    has_no_sigmoid = model == "starter" or model.lower().startswith(_CLIPS)
    if data.get("scoring") == "sigmoid" and has_no_sigmoid:
        yield BrokenRule(("scoring",), *sigmoid_rule(model))


def _example_rules(
    data: dict[str, Any], labels: list[tuple[int, dict[str, Any]]]
) -> Iterator[BrokenRule]:
    known = {label.get("id") for _, label in labels}
    for i, example in enumerate(policy_items(data, "examples")):
        if isinstance(example, dict) and label_has(example, "image") == label_has(
            example, "sha256"
        ):
            message = "an example has an image or a sha256, one of the two"
            remedy = "Give image: a path relative to this file, or sha256: a hash of the store"
            yield BrokenRule(("examples", i), message, remedy)
        expect = example.get("expect") if isinstance(example, dict) else None
        name = expect.get("label") if isinstance(expect, dict) else None
        if isinstance(name, str) and name not in known:
            message = f"the example expects '{name}', which is not a label of this policy"
            remedy = f"Name one of: {', '.join(sorted(map(str, known)))}"
            yield BrokenRule(("examples", i, "expect", "label"), message, remedy)


def _length_rules(
    data: dict[str, Any], labels: list[tuple[int, dict[str, Any]]], model: str
) -> Iterator[BrokenRule]:
    limit = prompt_limit(model)
    if limit is None:
        return
    for i, template in policy_texts(data, "templates"):
        if (count := _least_prompt_tokens(template.replace("{}", " "))) > limit:
            yield BrokenRule(
                ("templates", i), *prompt_length_rule(f"at least {count}", limit, model)
            )
            return
    templates = [text for _, text in policy_texts(data, "templates")] or ["a photo of {}."]
    longest = max(templates, key=_least_prompt_tokens)
    for i, label in labels:
        for key in ("prompts", "negatives"):
            for j, prompt in policy_texts(label, key):
                if (count := _least_prompt_tokens(longest.replace("{}", prompt))) > limit:
                    where = ("labels", i, key, j)
                    yield BrokenRule(where, *prompt_length_rule(f"at least {count}", limit, model))


def sigmoid_rule(model: str) -> tuple[str, str]:
    """Returns the message and remedy of sigmoid scoring on a model that was not trained for it."""
    return (
        f"sigmoid scoring needs a SigLIP model, and {model} is not one",
        "Use scoring: softmax or contrast, or name a SigLIP model",
    )


def prompt_length_rule(count: str, limit: int, model: str) -> tuple[str, str]:
    """Returns the message and remedy of a prompt that the model would cut short."""
    return (
        f"prompt and template have {count} tokens, and {model} reads {limit}",
        "Shorten it: it is refused rather than cut silently",
    )
