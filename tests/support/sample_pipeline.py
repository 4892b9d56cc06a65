"""A pipeline with real decoder processes, a policy of two labels and a tiny encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moderation.encoders.classifiers.loading import load_classifiers
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.views import Views
from moderation.policy import Policy, parse_policy
from moderation.scoring.pipeline import Pipeline
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import PATIENCE_SECONDS

POLICY = b"""
schema_version: 1
id: colours
version: 1
title: Colours
scoring: softmax
decision: threshold
labels:
  - {id: loud, prompts: [loud], action: block, threshold: 0.5}
  - {id: quiet, prompts: [quiet]}
"""


def make_pipeline(
    frames: int,
    encoder: StubEncoder | None = None,
    policies: Mapping[str, Policy] | None = None,
    views: Views = 1,
    **rules: Any,
) -> Pipeline:
    """Returns a pipeline with the policy above, or with others, on a tiny encoder."""
    policy = parse_policy(POLICY, "colours.yaml")
    limits = DecodeLimits(10_000_000, frames, PATIENCE_SECONDS, views=views)
    decoders = DecoderPool(2, limits)
    loaded = encoder or StubEncoder()
    served = policies or {policy.id: policy}
    if "classifiers" not in rules:
        rules["classifiers"] = load_classifiers(served.values(), folder=None, threads=1)
    return Pipeline(served, lambda _: loaded, decoders, default_model="stub", **rules)
