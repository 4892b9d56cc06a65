"""The policies that a command is given: files, or names of shipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import Policy, find_policy, load_policy
from moderation.visible_text import utf8

if TYPE_CHECKING:
    from audit.studies.subject import Named

PoliciesArgument = Annotated[
    list[str], typer.Argument(metavar="POLICY", help="Policy files, or names of shipped ones.")
]


def read_policies(names: Sequence[str], model: str | None) -> list[Policy]:
    """Returns the policies of files, which may share an id.

    Raises:
        PolicyError: with everything that is wrong in any of them.
    """
    policies: list[Policy] = []
    problems: list[PolicyProblem] = []
    for name in names:
        try:
            policies.append(load_policy(find_policy(name), model=model))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return policies


def named(policies: Sequence[Policy], paths: Sequence[str]) -> Named:
    """Returns the policies by the names that a report calls them."""
    from audit.studies.subject import Named, policy_names

    names = policy_names(policies)
    return Named(
        dict(zip(names, policies, strict=True)), dict(zip(names, map(utf8, paths), strict=True))
    )
