"""Submissions, bases and verdicts as a worker makes them, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from moderation.decision_log.records import Submission
from moderation.messages import ModelStamp, Verdict
from moderation.policy import Policy, load_policy, shipped_policies
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import Basis, decide, deciding_frame, make_verdict
from moderation.worker.submissions import submission_of

WEAPONS = load_policy(shipped_policies() / "weapons.yaml")
OTHER = Policy.model_validate({**WEAPONS.model_dump(), "id": "other"})
STAMP = ModelStamp(
    id="stub",
    revision="1",
    fingerprint="f" * 64,
    preprocessing="p" * 64,
    dtype="float32",
    device="cpu",
)
HOST = "images.example.com"


def image_sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def submission(
    request_id: str = "r1", *, image: str = "a", policies: Sequence[str] = ()
) -> Submission:
    message = {
        "request_id": request_id,
        "image": {"url": f"https://user:hunter2@{HOST}/{image}.jpg?token=hunter3#hunter4"},
        "policies": list(policies) or ["weapons"],
    }
    return submission_of(message, "task", "interactive", 1_700_000_000.25)


def basis(policy: Policy = WEAPONS, *, model: ModelStamp = STAMP, frames: int = 1) -> Basis:
    return Basis(policy, model, frames, 100.0, None)


def verdict(
    on: Basis, *, request_id: str = "r1", image: str = "a", seed: int = 0, seconds: float = 0.01
) -> Verdict:
    """Returns the verdict on similarities that come of the seed."""
    count = (on.frames, len(on.policy.labels))
    cosines = np.random.default_rng(seed).uniform(0.1, 0.3, count).astype(np.float32)
    classifier = Classifier(on.policy, np.empty((0, 0), np.float32), on.logit_scale, on.logit_bias)
    scores = classifier.scores(cosines)
    frame = deciding_frame(on.policy, cosines, scores)
    return make_verdict(
        on.policy,
        decide(on.policy, cosines[frame], scores[frame]),
        frame=frame,
        model=on.model,
        request_id=request_id,
        image_sha256=image_sha256(image),
        timings={"encode": seconds},
    )
