"""Rules on `examples`: what they cover, whether they are there, and whether one can hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from moderation.policy.label import Label
from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule
from moderation.policy.schema import Expectation


def _untested_labels(linted: LintedPolicy) -> Iterator[BrokenRule]:
    path = shlex.quote(linted.policy.file.path)
    tested = {example.expect.label for example in linted.policy.examples}
    for i, label in linted.acting:
        if label.id not in tested:
            message = f"no example expects '{label.id}'"
            command = f"moderation policy pin IMAGE -p {path} --expect {label.action}"
            remedy = f"Pin a picture of it: {command} --label {label.id}"
            yield BrokenRule(("labels", i, "id"), message, remedy)


def _missing_files(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if linted.folder is None:
        return
    for i, example in enumerate(linted.policy.examples):
        if example.image is not None and not (linted.folder / example.image).is_file():
            message = f"there is no file {example.image!r} beside the policy"
            remedy = "Correct the path, which is relative to the policy's file, or pin it again"
            yield BrokenRule(("examples", i, "image"), message, remedy)


def _contradictions(linted: LintedPolicy) -> Iterator[BrokenRule]:
    labels = {label.id: label for label in linted.policy.labels}
    seen: dict[str, Expectation] = {}
    for i, example in enumerate(linted.policy.examples):
        image = example.image or example.sha256 or ""
        first = seen.setdefault(image, example.expect)
        if first != example.expect:
            message = f"another example expects something else of {image!r}"
            yield BrokenRule(("examples", i), message, "Keep the one that is right")
        label = labels.get(example.expect.label or "")
        if label and (why := impossible(label, example.expect)):
            yield BrokenRule(("examples", i, "expect"), why, "Expect what the label asks for")


def impossible(label: Label, expect: Expectation) -> str | None:
    """Returns why a label cannot fire in a verdict of the expected action; None if it can."""
    if not label.acts:
        return f"'{label.id}' is a context label, which never fires"
    if expect.action == "allow" and label.action != "allow":
        return f"where '{label.id}' fires, the action is not allow"
    if expect.action == "review" and label.action == "block" and label.review_threshold is None:
        return f"where '{label.id}' fires, the action is block: it has no review_threshold"
    return None


RULES = (
    LintRule("untested-label", "info", "a label without examples", _untested_labels),
    LintRule("missing-example", "error", "an example's file is missing", _missing_files),
    LintRule("contradicting-example", "error", "an example cannot hold", _contradictions),
)
