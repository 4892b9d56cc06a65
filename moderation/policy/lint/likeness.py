"""Rules on texts that are nearly one to the model, and on labels that others outdo."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from moderation.policy.lint.linted_policy import LintedPolicy, WrittenText
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule, compared_text

#: Two prompts are nearly one where their distance, 1 - cosine, is at most this share of the usual
#: one between texts of different labels; two labels, where it is at most that share.
_NEAR_PROMPTS, _NEAR_LABELS = 0.1, 0.2
#: With fewer pairs than this nobody knows what is usual.
_LEAST_PAIRS = 10
#: So many texts, evenly spread, say what is usual; and so many are compared at a time.
_SAMPLE, _ROWS = 1000, 1000


def _near_duplicates(linted: LintedPolicy) -> Iterator[BrokenRule]:
    first_of: dict[str, WrittenText] = {}
    for each in linted.texts:
        first = first_of.setdefault(_bare_text(each.text), each)
        if _are_two(first, each):
            yield _said_alike(first, each, "but for articles, plurals and punctuation")


def _near_by_cosine(linted: LintedPolicy) -> Iterator[BrokenRule]:
    usual = _usual_distance(linted)
    if linted.vectors is None or usual is None:
        return
    least = 1 - _NEAR_PROMPTS * usual
    for i, j, cosine in _near_pairs(linted.vectors.prompts, least):
        first, second = linted.texts[i], linted.texts[j]
        if _bare_text(first.text) != _bare_text(second.text) and _are_two(first, second):
            how = f"to {linted.vectors.model}: cosine {cosine:.3f}, usual is {1 - usual:.2f}"
            yield _said_alike(first, second, how)


def _usual_distance(linted: LintedPolicy) -> float | None:
    """Returns the median of 1 - cosine over pairs of texts of different labels.

    How near unrelated texts are differs much between models, and this is what it is measured by.
    None where there are too few pairs.
    """
    if linted.vectors is None:
        return None
    chosen = np.arange(0, len(linted.texts), 1 + len(linted.texts) // _SAMPLE)
    rows = linted.vectors.prompts[chosen]
    label = np.array([each.location[1] for each in linted.texts])[chosen]
    pairs = np.triu(label[:, np.newaxis] != label)
    if np.count_nonzero(pairs) < _LEAST_PAIRS:
        return None
    return float(np.median(1 - (rows @ rows.T)[pairs]))


def _near_pairs(rows: npt.NDArray[np.float32], least: float) -> Iterator[tuple[int, int, float]]:
    """Yields pairs of rows i < j whose cosine is `least` or more, with that cosine."""
    for start in range(0, len(rows), _ROWS):
        cosines = rows[start : start + _ROWS] @ rows.T
        for i, j in zip(*np.nonzero(cosines >= least), strict=True):
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
    usual = _usual_distance(linted)
    if linted.vectors is None or usual is None:
        return
    for i, label in linted.acting:
        rivals = _rivals(linted, i)
        if label.classifier or not rivals:
            continue
        cosines = linted.vectors.labels[rivals] @ linted.vectors.labels[i]
        nearest = int(cosines.argmax())
        if 1 - cosines[nearest] <= _NEAR_LABELS * usual:
            message = (
                f"'{label.id}' and '{linted.policy.labels[rivals[nearest]].id}' compete, and are "
                f"nearly one to {linted.vectors.model}: cosine {cosines[nearest]:.3f}, usual is "
                f"{1 - usual:.2f}"
            )
            remedy = "Tell the two apart in words, or make them one label: neither can win"
            yield BrokenRule(("labels", i, "prompts"), message, remedy)


def _rivals(linted: LintedPolicy, place: int) -> list[int]:
    """Returns the labels that an acting label competes with under the policy's scoring."""
    if linted.policy.scoring == "sigmoid":
        return []
    by_contrast = linted.policy.scoring == "contrast"
    return [
        i
        for i, other in enumerate(linted.policy.labels)
        if i != place and not other.classifier and not (by_contrast and other.acts)
    ]


RULES = (
    LintRule("same-words", "warning", "two texts alike but for articles", _near_duplicates),
    LintRule("near-duplicate", "info", "two texts alike to the model", _near_by_cosine, "vectors"),
    LintRule(
        "shadowed-label", "warning", "two labels that compete are nearly one", _shadowed, "vectors"
    ),
)
