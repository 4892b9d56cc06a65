"""One rule of lint: its code, its level, what it needs to know, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from moderation.policy.lint.finding import Level
from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.plain_data import BrokenRule

#: What a rule reads beside the policy: the last commit, what a model makes of texts, or of images.
Needed = Literal["committed", "vectors", "highest"]


class LintRule(NamedTuple):
    """A rule of lint.

    Attributes:
        code: its name, unique among all.
        level: how serious what it finds is.
        title: what it finds, in a few words.
        check: yields where a policy is against it.
        needs: the field of `LintedPolicy` without which it finds nothing.
    """

    code: str
    level: Level
    title: str
    check: Callable[[LintedPolicy], Iterator[BrokenRule]]
    needs: Needed | None = None

    def was_checked(self, linted: LintedPolicy) -> bool:
        """Returns whether what the rule needs is known of a policy."""
        return self.needs is None or getattr(linted, self.needs) is not None
