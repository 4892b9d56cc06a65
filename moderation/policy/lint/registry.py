"""Every rule of lint by its code; a new rule goes into the tuple of its family."""

from __future__ import annotations

from collections.abc import Mapping

from moderation.policy.lint import (
    articles,
    committed,
    expectations,
    language,
    likeness,
    people,
    structure,
    templates,
    thresholds,
    wording,
)
from moderation.policy.lint.finding import INVALID, Level
from moderation.policy.lint.rule import LintRule

_FAMILIES = (
    people,
    wording,
    articles,
    language,
    templates,
    likeness,
    structure,
    thresholds,
    expectations,
    committed,
)
#: The rules, in the order of the page that explains them.
LINT_RULES: Mapping[str, LintRule] = {
    rule.code: rule for family in _FAMILIES for rule in family.RULES
}
#: What else has a code: an invalid file, several files together, and comments that suppress.
OTHER_CODES: Mapping[str, tuple[Level, str]] = {
    INVALID: ("error", "the file is refused wherever it is read"),
    "same-id": ("warning", "two files have one id"),
    "ignore-without-reason": ("warning", "a suppression without a reason"),
    "ignore-unknown-code": ("warning", "a suppression of an unknown code"),
    "ignore-unused": ("info", "a suppression of nothing"),
}
#: Every code with its level and what it says, in a few words.
CODES: Mapping[str, tuple[Level, str]] = {
    INVALID: OTHER_CODES[INVALID],
    **{code: (rule.level, rule.title) for code, rule in LINT_RULES.items()},
    **OTHER_CODES,
}
