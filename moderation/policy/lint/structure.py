"""Rules on the labels of a policy together: what competes, and what has no effect."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moderation.policy.files import find_policy, shipped_policies
from moderation.policy.lint.linted_policy import LintedPolicy, WrittenText
from moderation.policy.lint.rule import LintRule
from moderation.policy.lint.vocabulary import BROAD
from moderation.policy.plain_data import BrokenRule

#: Fewer context prompts than this leave most pictures nothing to resemble.
_FEW = 4


def _no_neutral_label(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if not _competes(linted):
        return
    context = [each for each in linted.texts if each.role == "context"]
    if not any({word.lower() for word in each.words} & BROAD for each in context):
        message = "no context label stands for ordinary pictures: each goes to the least bad label"
        remedy = "Add neutral ones, such as 'a person', 'an animal', 'a household object', 'a room'"
        yield BrokenRule(("labels",), message, remedy)


def _thin_context(linted: LintedPolicy) -> Iterator[BrokenRule]:
    context = [each for each in linted.texts if each.role == "context"]
    if _competes(linted) and len(context) < _FEW:
        message = f"the context has {len(context)} prompts: what fits none of them is flagged"
        remedy = "Say what the other pictures of your site show; see the context of `weapons`"
        yield BrokenRule(("labels",), message, remedy)


def _competes(linted: LintedPolicy) -> bool:
    has_targets = any(each.role == "target" for each in linted.texts)
    return has_targets and linted.policy.scoring != "sigmoid"


def _target_in_context(linted: LintedPolicy) -> Iterator[BrokenRule]:
    """Yields targets that a context prompt says too, with a word more: a knife, a kitchen knife."""
    if not _competes(linted):
        return
    context = [(each, _said(each)) for each in linted.texts if each.role == "context"]
    for each in linted.texts:
        said = _said(each)
        if each.role != "target" or not said:
            continue
        for other, words in context:
            if said < words and len(words) == len(said) + 1:
                message = f"the context has {other.text!r}, which is also {each.text!r}"
                remedy = "Make it a look-alike under `negatives`, or say how the two differ"
                yield BrokenRule(each.location, message, remedy)
                break


def _said(written: WrittenText) -> set[str]:
    return {word.lower() for word in written.words} - {"a", "an", "the"}


def _twin_categories(linted: LintedPolicy) -> Iterator[BrokenRule]:
    first_of: dict[str, str] = {}
    for i, label in linted.acting:
        if label.category is None:
            continue
        first = first_of.setdefault(re.sub(r"s\b|-", "", label.category), label.category)
        if first != label.category:
            message = f"the categories '{first}' and '{label.category}' look like one"
            yield BrokenRule(("labels", i, "category"), message, "Spell them alike, or apart")


def _without_effect(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for i, label in enumerate(linted.policy.labels):
        for key in ("category", "severity", "taxonomy"):
            if not label.acts and getattr(label, key) is not None:
                message = f"{key} has no effect on a context label"
                remedy = "Remove it, or give the label an action"
                yield BrokenRule(("labels", i, key), message, remedy)


def _only_reports(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if all(label.action == "allow" for _, label in linted.acting):
        message = "every action is allow, so no image is ever flagged"
        remedy = "Make one review or block, unless the policy shall only report"
        yield BrokenRule(("labels",), message, remedy)


def _shipped_id(linted: LintedPolicy) -> Iterator[BrokenRule]:
    shipped = shipped_policies() / f"{linted.policy.id}.yaml"
    path = linted.policy.file.path
    if shipped.is_file() and find_policy(path).resolve() != shipped.resolve():
        message = f"'{linted.policy.id}' is the id of a shipped policy, and this is another file"
        yield BrokenRule(("id",), message, "Give yours an id of its own, so that logs tell the two")


RULES = (
    LintRule("no-neutral-label", "warning", "no neutral label", _no_neutral_label),
    LintRule("thin-context", "warning", "little context", _thin_context),
    LintRule("target-in-context", "warning", "context has a target too", _target_in_context),
    LintRule("twin-categories", "warning", "two spellings of a category", _twin_categories),
    LintRule("key-without-effect", "warning", "a key without effect", _without_effect),
    LintRule("only-reports", "info", "no image is ever flagged", _only_reports),
    LintRule("shipped-id", "info", "the id of a shipped policy", _shipped_id),
)
