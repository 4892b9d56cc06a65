"""Policies for tests, as their authors would write them."""

from __future__ import annotations

from typing import Any

from moderation.policy import Policy, parse_policy

VALID = """\
schema_version: 1
id: small
version: 1
title: A small policy
templates: ["a photo of {}."]
scoring: softmax
labels:
  - id: gun
    category: weapons/guns
    prompts: ["a gun", "a pistol"]
    action: block
    threshold: 0.8
    review_threshold: 0.4
  - id: knife
    prompts: ["a knife"]
    action: review
    threshold: 0.5
  - id: thing
    prompts: ["a thing"]
  - id: cat
    prompts: ["a cat"]
"""


def policy(**changes: Any) -> Policy:
    """Returns the valid policy with top-level keys changed."""
    content = parse_policy(VALID.encode(), "small.yaml").model_dump(mode="json")
    return Policy.model_validate({**content, **changes})
