"""What is typed for policies -> the policies, or what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from moderation.commands.output import note
from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import Policy, find_policy, load_policy, parse_policy, policy_files
from moderation.visible_text import shown_name


def read_policies(names: list[str], model: str) -> tuple[list[Policy], list[PolicyProblem]]:
    """Returns the policies of files, folders, shipped names and - for stdin, and all problems."""
    policies: list[Policy] = []
    problems: list[PolicyProblem] = []
    for name in names:
        try:
            paths = ["-"] if name == "-" else policy_files([find_policy(name)])
            note_passed_over_policies([] if name == "-" else [name])
        except PolicyError as error:
            problems += error.problems
            continue
        for path in paths:
            try:
                policies.append(read_policy(path, model))
            except PolicyError as error:
                problems += error.problems
    return policies, problems


def note_passed_over_policies(names: Iterable[str]) -> None:
    """Says what lies beside the policies in folders of them, where anything does."""
    for folder in filter(Path.is_dir, map(find_policy, names)):
        if others := {*folder.iterdir()} - {*policy_files([folder])}:
            shown = ", ".join(shown_name(path.name) for path in sorted(others))
            note(f"Passed over in {shown_name(str(folder))}: {shown}")


def read_policy(path: Path | str, model: str | None) -> Policy:
    """Returns the policy of a file, or of - for stdin; `model` as in `parse_policy`."""
    if path == "-":
        return parse_policy(sys.stdin.buffer.read(), "<stdin>", model=model)
    return load_policy(path, model=model)
