"""Rules on texts that are nearly one to the model, and on labels that others outdo."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from moderation.policy.lint.linted_policy import LintedPolicy, TextVectors, WrittenText
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule, compared_text

#: From this cosine on two prompts add hardly anything to each other; see docs/lint.md.
NEAR = 0.98
#: Texts are compared this many at a time with all.
_ROWS = 1000


def _near_duplicates(linted: LintedPolicy) -> Iterator[BrokenRule]:
    first_of: dict[str, WrittenText] = {}
    for each in linted.texts:
        first = first_of.setdefault(_bare_text(each.text), each)
        if _are_two(first, each):
            yield _said_alike(first, each, "but for articles, plurals and punctuation")


def _near_by_cosine(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if linted.vectors is None:
        return
    for i, j, cosine in _near_pairs(linted.vectors):
        first, second = linted.texts[i], linted.texts[j]
        if _bare_text(first.text) != _bare_text(second.text) and _are_two(first, second):
            yield _said_alike(first, second, f"to {linted.vectors.model}: cosine {cosine:.3f}")


def _near_pairs(vectors: TextVectors) -> Iterator[tuple[int, int, float]]:
    """Yields pairs of rows i < j that are near, with their cosine."""
    rows = vectors.prompts
    for start in range(0, len(rows), _ROWS):
        cosines = rows[start : start + _ROWS] @ rows.T
        for i, j in zip(*np.nonzero(cosines >= NEAR), strict=True):
            if start + i < j:
                yield start + int(i), int(j), float(cosines[i, j])


def _are_two(first: WrittenText, second: WrittenText) -> bool:
    """Returns whether two texts would do something twice: look-alikes of two labels do not."""
    if first.location == second.location:
        return False
    of_one_label = first.label.id == second.label.id
    return of_one_label or "look-alike" not in (first.role, second.role)


def _said_alike(first: WrittenText, second: WrittenText, how: str) -> BrokenRule:
    message = f"{second.text!r} and {first.text!r} are nearly one text, {how}"
    if first.label.id == second.label.id:
        return BrokenRule(second.location, message, "Keep one: the other counts double")
    remedy = f"Tell them apart: '{second.label.id}' and '{first.label.id}' compete with each other"
    return BrokenRule(second.location, message, remedy)


def _bare_text(text: str) -> str:
    words = re.findall(r"\w+", compared_text(text))
    return " ".join(_singular(word) for word in words if word not in ("a", "an", "the"))


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def _shadowed(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if linted.vectors is None:
        return
    for i, label in linted.acting:
        if label.id not in linted.vectors.own_scores or label.threshold is None:
            continue
        score, rival = linted.vectors.own_scores[label.id]
        if score < label.threshold:
            message = (
                f"'{label.id}' is in the shadow of '{rival}': an image that is exactly its words "
                f"scores {score:.2f}, below its threshold {label.threshold:g}"
            )
            remedy = "Tell the two apart in words, make them one label, or lower the threshold"
            yield BrokenRule(("labels", i, "prompts"), message, remedy)


RULES = (
    LintRule("same-words", "warning", "two texts alike but for articles", _near_duplicates),
    LintRule("near-duplicate", "info", "two texts alike to the model", _near_by_cosine, "vectors"),
    LintRule("shadowed-label", "warning", "a label that another outdoes", _shadowed, "vectors"),
)
