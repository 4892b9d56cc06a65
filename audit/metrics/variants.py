"""Changed label sets: without a label, with a candidate, in other words, under other templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from moderation.policy import Label, Policy
from moderation.scoring.classifier import expand_prompts, in_templates

ChangeKind = Literal["without", "negative", "with", "synonym", "template", "article"]

#: Single templates under which a policy is tried besides its own.
TEMPLATES = (
    "{}",
    "a photo of {}.",
    "a photo of {}",
    "a picture of {}.",
    "an image of {}.",
    "a cropped photo of {}.",
    "a close-up photo of {}.",
    "a bright photo of {}.",
    "a blurry photo of {}.",
)


#: Words whose article depends on their sound, not their first letter: the author's article stays.
_BY_SOUND = re.compile(r"u|eu|one|h|[A-Z0-9]")


class Variant(NamedTuple):
    """A policy with one change; `policy` is None where it is not tried, and `refused` says why."""

    kind: ChangeKind
    change: str
    policy: Policy | None
    refused: str = ""


class Synonym(NamedTuple):
    """Other words for a label."""

    label: str
    prompt: str


def distinct_variants(policy: Policy, variants: Iterable[Variant]) -> Iterator[Variant]:
    """Yields the variants; one that asks the model nothing new is refused, and is not counted.

    It asks nothing new where its labels act as those of the policy itself, or of a variant before
    it, and the model reads the same texts for them.
    """
    known = {_variant_content(policy): "the policy's own"}
    for variant in variants:
        content = _variant_content(variant.policy) if variant.policy else None
        if content is None:
            yield variant
        elif content in known:
            refused = f"changes nothing: what the model reads is {known[content]}"
            yield variant._replace(policy=None, refused=refused)
        else:
            known[content] = f"that of `{variant.kind} {variant.change}`"
            yield variant


def _variant_content(policy: Policy) -> frozenset[tuple[Any, ...]]:
    """Returns for each label what it asks for and which texts the model reads, but for spaces."""
    return frozenset(
        (
            label.reported_category if label.acts else None,
            *(label.action, label.threshold, label.review_threshold, label.classifier),
            _read_texts(expand_prompts(policy, label)),
            frozenset(_read_texts(in_templates(policy, text)) for text in label.negatives),
        )
        for label in policy.labels
    )


def _read_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns texts as a model reads them, whatever their order."""
    return tuple(sorted(" ".join(text.split()) for text in texts))


def without_each_label(policy: Policy) -> Iterator[Variant]:
    """Yields a variant of the policy without each of its labels."""
    for label in policy.labels:
        rest = [other for other in policy.labels if other.id != label.id]
        yield _variant(policy, "without", label.id, labels=_variant_labels(rest))


def without_each_negative(policy: Policy) -> Iterator[Variant]:
    """Yields a variant of the policy without each look-alike of its labels."""
    for i, label in enumerate(policy.labels):
        for text in label.negatives:
            labels = _variant_labels(policy.labels)
            labels[i]["negatives"].remove(text)
            yield _variant(policy, "negative", f"{label.id}: {text}", labels=labels)


def with_each_candidate(policy: Policy, candidates: Sequence[Label]) -> Iterator[Variant]:
    """Yields a variant of the policy with each candidate label; one that it has is refused.

    So is one that a classifier scores: it has not been asked about the images.
    """
    for label in candidates:
        if label.classifier:
            refused = "is scored by a classifier: put it into a policy, and compare the two"
            yield Variant("with", label.id, None, refused)
            continue
        if label.id in {own.id for own in policy.labels}:
            refused = "changes nothing: the policy has a label of this id"
            yield Variant("with", label.id, None, refused)
        else:
            labels = _variant_labels([*policy.labels, label])
            yield _variant(policy, "with", label.id, labels=labels)


def with_each_synonym(policy: Policy, synonyms: Sequence[Synonym]) -> Iterator[Variant]:
    """Yields a variant of the policy with one label's prompts replaced by each synonym."""
    for synonym in synonyms:
        labels = [
            _variant_label(label, [synonym.prompt] if label.id == synonym.label else label.prompts)
            for label in policy.labels
        ]
        change = f"{synonym.label}: {synonym.prompt}"
        yield _variant(policy, "synonym", change, labels=labels)


def under_each_template(policy: Policy, templates: Sequence[str] = TEMPLATES) -> Iterator[Variant]:
    """Yields a variant of the policy under each single template."""
    for template in templates:
        yield _variant(policy, "template", template, templates=[template])


def with_other_articles(policy: Policy) -> Iterator[Variant]:
    """Yields variants of the policy with correct articles, with always a, and with no article.

    Published experiments differ in nothing else, so an audit shows what it makes of that.
    """
    rewrites: dict[str, Callable[[str], str]] = {
        "a or an, as English has it": lambda text: _variant_article(text, right=True),
        "always a": lambda text: _variant_article(text, right=False),
        "no article": lambda text: re.sub(r"^(an?) ", "", text),
    }
    for change, rewrite in rewrites.items():
        labels = [
            {
                **_variant_label(label, map(rewrite, label.prompts)),
                "negatives": [rewrite(text) for text in label.negatives],
            }
            for label in policy.labels
        ]
        yield _variant(policy, "article", change, labels=labels)


def _variant_article(text: str, *, right: bool) -> str:
    bare = re.sub(r"^(an?) ", "", text)
    if bare == text or (right and _BY_SOUND.match(bare)):
        return text
    return f"{'an' if right and bare[:1].lower() in 'aeiou' else 'a'} {bare}"


def _variant_labels(labels: Iterable[Label]) -> list[dict[str, Any]]:
    """Returns labels as plain data, which is checked when a policy is made of it."""
    return [label.model_dump(mode="json") for label in labels]


def _variant_label(label: Label, prompts: Iterable[str]) -> dict[str, Any]:
    return {**label.model_dump(mode="json"), "prompts": list(prompts)}


def _variant(policy: Policy, kind: ChangeKind, change: str, **changes: Any) -> Variant:
    """Returns the policy with top-level keys changed, or why a policy may not be so."""
    content = policy.model_dump(mode="json") | {"examples": []}
    try:
        return Variant(kind, change, Policy.model_validate(content | changes))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        return Variant(kind, change, None, f"is not a policy: {reason}")
