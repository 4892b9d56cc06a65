"""YAML -> frozen `Policy`, or all problems at once, each with its place. Imports no torch."""

from moderation.policy.files import (
    SUFFIXES,
    find_policy,
    load_policies,
    load_policy,
    parse_policy,
    policy_files,
    shipped_policies,
    starter_policies,
)
from moderation.policy.fitted import Fitted
from moderation.policy.label import Label, LabelClassifier
from moderation.policy.schema import (
    Example,
    Expectation,
    Policy,
    PolicyFile,
    policy_json_schema,
)

__all__ = [
    "SUFFIXES",
    "Example",
    "Expectation",
    "Fitted",
    "Label",
    "LabelClassifier",
    "Policy",
    "PolicyFile",
    "find_policy",
    "load_policies",
    "load_policy",
    "parse_policy",
    "policy_files",
    "policy_json_schema",
    "shipped_policies",
    "starter_policies",
]
