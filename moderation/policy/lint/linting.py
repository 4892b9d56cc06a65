"""Runs the rules over a policy, and looks at several policies together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from moderation.errors import PolicyProblem
from moderation.policy.lint.finding import INVALID, LintFinding
from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.lint.registry import CODES, LINT_RULES
from moderation.policy.lint.suppression import read_suppressions, unsuppressed
from moderation.policy.schema import Policy

_LEVELS = {code: level for code, (level, _) in CODES.items() if code != INVALID}


def lint_policies(linted: Sequence[LintedPolicy]) -> Iterator[LintFinding]:
    """Yields what the rules find in policies, each by itself and beside the others."""
    same = list(_same_ids([each.policy for each in linted]))
    for each in linted:
        path = each.policy.file.path
        yield from lint_policy(each, [finding for finding in same if finding.path == path])


def lint_policy(linted: LintedPolicy, beside: Sequence[LintFinding] = ()) -> list[LintFinding]:
    """Returns what the rules find in a policy, but for what its comments suppress, by line.

    Args:
        linted: the policy.
        beside: what was found of it beside other policies.
    """
    policy = linted.policy
    found = [*beside]
    found += [
        LintFinding.of(rule.code, rule.level, policy.problem(*broken))
        for rule in LINT_RULES.values()
        for broken in rule.check(linted)
    ]
    checked = {rule.code for rule in LINT_RULES.values() if rule.was_checked(linted)}
    file = policy.file
    kept = unsuppressed(found, read_suppressions(file.text), file.path, _LEVELS, checked)
    return sorted(set(kept), key=lambda each: (each.line, each.column, each.code, each.message))


def invalid_findings(problems: Iterable[PolicyProblem]) -> list[LintFinding]:
    """Returns what makes files invalid, as findings."""
    return [LintFinding.of(INVALID, "error", problem) for problem in problems]


def _same_ids(policies: Sequence[Policy]) -> Iterator[LintFinding]:
    """Yields the policies whose id one before them has: a worker serves one of them alone."""
    first_of: dict[str, Policy] = {}
    for policy in policies:
        first = first_of.setdefault(policy.id, policy)
        if first.file.path != policy.file.path:
            message = f"the id '{policy.id}' is also that of {first.file.path}"
            problem = policy.problem(("id",), message, "Give each its own where both are served")
            yield LintFinding.of("same-id", _LEVELS["same-id"], problem)
