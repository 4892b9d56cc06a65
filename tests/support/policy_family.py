"""The shipped policies of one family, and what their comments say that they flag."""

from __future__ import annotations

from collections.abc import Mapping

from moderation.policy import load_policy
from tests.conftest import POLICIES

PARTS = (
    "sexual",
    "violence-and-gore",
    "hate-symbols",
    "self-harm",
    "drugs",
    "alcohol-tobacco-gambling",
)
FAMILY = (*PARTS, "community-standard")


def comment_of(name: str) -> str:
    """Returns what a policy's file begins with, on one line."""
    return " ".join(load_policy(POLICIES / f"{name}.yaml").notes.split())


def counts_said(counts: Mapping[str, int]) -> str:
    """Returns counts as the comments write them."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
