"""YAML -> frozen `Policy`, or all problems at once, each with its place. Imports no torch."""

from moderation.policy.files import (
    SUFFIXES,
    find_policy,
    load_policies,
    load_policy,
    parse_policy,
    policy_files,
    shipped_policies,
)
from moderation.policy.schema import (
    Example,
    Expectation,
    Label,
    Policy,
    PolicyFile,
    policy_json_schema,
)

__all__ = [
    "SUFFIXES",
    "Example",
    "Expectation",
    "Label",
    "Policy",
    "PolicyFile",
    "find_policy",
    "load_policies",
    "load_policy",
    "parse_policy",
    "policy_files",
    "policy_json_schema",
    "shipped_policies",
]
