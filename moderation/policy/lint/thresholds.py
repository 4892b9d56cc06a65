"""Rules on thresholds: those that decide nothing, and those that nobody set on anything."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.policy.fitted import misfit_words
from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule


def _at_ends(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for i, label in linted.acting:
        for key in ("threshold", "review_threshold"):
            value = getattr(label, key)
            if value == 0:
                message = f"with {key} 0 every image makes '{label.id}' fire"
                yield BrokenRule(("labels", i, key), message, "Choose a score above 0")
            elif value == 1:
                message = f"with {key} 1 '{label.id}' fires on hardly any image"
                yield BrokenRule(("labels", i, key), message, "Choose a score below 1, such as 0.8")


def _below_chance(linted: LintedPolicy) -> Iterator[BrokenRule]:
    """Yields where a threshold is below what a label gets of an image that resembles all alike."""
    if linted.policy.scoring == "sigmoid" or linted.policy.decision == "top_label":
        return
    n_context = len(linted.policy.labels) - len(linted.acting)
    for i, label in linted.acting:
        if label.classifier or not label.threshold:
            continue
        rivals = n_context + len(label.negatives)
        if linted.policy.scoring == "softmax":
            rivals = len(linted.policy.labels) - 1
        if label.threshold <= 1 / (rivals + 1):
            message = (
                f"'{label.id}' fires on an image that resembles it and its {rivals} rivals alike: "
                f"that gives {1 / (rivals + 1):.2g}, and the threshold is {label.threshold:g}"
            )
            yield BrokenRule(("labels", i, "threshold"), message, "Raise it above that")


def _unfitted(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if linted.policy.fitted is None and linted.policy.unfitted_by_name(linted.model):
        remedy = "Set them on pictures of your own, and say so under `fitted`"
        yield BrokenRule(("labels",), misfit_words("no-record", None, linted.model), remedy)


def _fitted_elsewhere(linted: LintedPolicy) -> Iterator[BrokenRule]:
    fitted, model = linted.policy.fitted, linted.decided_by
    if fitted is not None and linted.policy.unfitted_by_name(model):
        remedy = "Set them with the model that decides, or name the other one in `model`"
        yield BrokenRule(("fitted", "model"), misfit_words("other-model", fitted, model), remedy)


def _not_reached(linted: LintedPolicy) -> Iterator[BrokenRule]:
    highest = linted.highest
    if highest is None:
        return
    for i, label in linted.acting:
        for key in ("review_threshold", "threshold"):
            value, score = getattr(label, key), highest.scores[label.id]
            if value is not None and score < value:
                message = (
                    f"no image of {highest.dataset} (n = {highest.n}) makes '{label.id}' reach "
                    f"{key} {value:g}: the highest score is {score:.3f}"
                )
                remedy = "Add pictures that show it, or set the threshold on pictures that do"
                yield BrokenRule(("labels", i, key), message, remedy)
                break


RULES = (
    LintRule("threshold-at-end", "warning", "a threshold of 0 or 1", _at_ends),
    LintRule("threshold-below-chance", "warning", "a threshold below chance", _below_chance),
    LintRule("unfitted", "warning", "nobody says on what thresholds were set", _unfitted),
    LintRule("fitted-elsewhere", "info", "thresholds of another model", _fitted_elsewhere),
    LintRule(
        "threshold-not-reached",
        "warning",
        "no image reaches a threshold",
        _not_reached,
        "highest",
    ),
)
