"""Classifiers in ONNX files: the packaged one, on a picture, without torch and without a worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

from moderation.encoders.classifiers.description import classifier_scores
from moderation.encoders.classifiers.loading import load_classifiers
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.policy import parse_policy
from tests.extras.command import refuse_installed
from tests.extras.photograph import save_photograph
from tests.support.open_nsfw import OPEN_NSFW_POLICY


def main() -> None:
    """Loads Open-NSFW as a policy names it, and scores a photograph that is safe for work."""
    refuse_installed("torch")
    policy = parse_policy(OPEN_NSFW_POLICY, "nudity.yaml")
    [classifier] = policy.classified_labels.values()
    [model] = load_classifiers([policy], None).values()
    with (
        tempfile.TemporaryDirectory() as folder,
        DecoderPool(1, DecodeLimits(10_000_000, 1, 10.0)) as decoders,
    ):
        content = save_photograph(Path(folder) / "photograph.png").read_bytes()
        [sight] = decoders.sights(content, [model.preprocessing])
    [score] = classifier_scores(classifier, model.image_features(sight.squares)).tolist()
    assert 0 <= score < 0.2, score
