"""The rule on `version`, which its author raises at each edit."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule
from moderation.policy.schema import Policy


def _not_raised(linted: LintedPolicy) -> Iterator[BrokenRule]:
    old, new = linted.committed, linted.policy
    if old is None or old.id != new.id or _decided_content(old) == _decided_content(new):
        return
    if new.version <= old.version:
        message = f"the policy differs from its last commit, which has version {old.version} too"
        if new.version < old.version:
            message = f"the last commit of the policy has version {old.version}, a higher one"
        yield BrokenRule(("version",), message, f"Raise it to {old.version + 1}")


def _decided_content(policy: Policy) -> dict[str, object]:
    """Returns what a policy says, without its version and the examples that test it."""
    return {key: value for key, value in policy.content.items() if key not in _NOT_DECIDED}


_NOT_DECIDED = ("version", "examples")

RULES = (
    LintRule(
        "version-not-raised",
        "warning",
        "edited without a new version",
        _not_raised,
        "committed",
    ),
)
