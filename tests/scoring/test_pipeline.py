"""Image bytes to verdicts, with real decoder processes and a tiny encoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.decision_log.replay import DecisionToReplay, replay, replay_image
from moderation.errors import ImageError, RequestError
from moderation.images.looks import Looking
from moderation.messages import QueueName, Verdict
from moderation.policy import Policy, load_policies, parse_policy
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.scoring.sighted import Embedding
from moderation.scoring.timer import Timer
from moderation.settings import load_settings
from tests.conftest import POLICIES
from tests.support.desk import coloured
from tests.support.hostile_files import saved
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.policy_texts import policy
from tests.support.sample_pipeline import make_pipeline
from tests.support.stub_encoder import StubEncoder


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    with make_pipeline(frames=4) as pipeline_:
        yield pipeline_


def _moderated(
    pipeline: Pipeline,
    content: bytes,
    request_id: str = "a",
    queue: QueueName = "interactive",
    policy: str = "colours",
) -> Verdict:
    served = pipeline.served([policy])
    [verdict] = pipeline.moderate(content, served, request_id=request_id, queue=queue)
    return verdict


def _animation(colours: list[tuple[int, int, int]], form: str) -> bytes:
    frames = [Image.new("RGB", (16, 16), colour) for colour in colours]
    moving: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": 100}
    return saved(frames[0], form, lossless=form == "WEBP", **moving)


#: The stub calls two of these loud; found by trying.
COLOURS = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_the_worst_frame_of_an_animation_decides(form: str, pipeline: Pipeline) -> None:
    stills = [_moderated(pipeline, _animation([colour], form)) for colour in COLOURS]
    scores = [verdict.category_scores["loud"] for verdict in stills]
    assert min(scores) < 0.5 < max(scores)
    verdict = _moderated(pipeline, _animation(COLOURS, form))
    assert verdict.frame == int(np.argmax(scores))
    assert verdict.category_scores["loud"] == pytest.approx(max(scores), abs=1e-6)
    assert verdict.action == "block"


def test_with_one_frame_only_the_first_is_looked_at(pipeline: Pipeline) -> None:
    first = _moderated(pipeline, _animation(COLOURS[:1], "GIF"))
    with make_pipeline(frames=1) as one:
        verdict = _moderated(one, _animation(COLOURS, "GIF"))
    assert (verdict.frame, verdict.category_scores) == (0, first.category_scores)


def test_a_verdict_names_the_prompt_of_each_label_that_fired_by_the_look_that_decided() -> None:
    words = [f"loud {i}" for i in range(8)]
    loud = {"id": "loud", "prompts": words, "action": "block", "threshold": 0.0}
    labels = [loud, {"id": "quiet", "prompts": ["quiet"]}]
    of = policy(id="colours", labels=labels)
    encoder = StubEncoder()
    found = set()
    with make_pipeline(frames=4, encoder=encoder, policies={"colours": of}) as made:
        for red in range(0, 256, 32):
            content = _animation([(red, 40 * i, 90) for i in range(4)], "GIF")
            verdict = _moderated(made, content)
            sighted = made.look(content, made.served(["colours"]), Timer())
            row = made.encode(sighted).result().features["stub"][verdict.frame]
            texts = encoder.text_features([f"a photo of {word}." for word in words])
            [first, second] = verdict.labels
            assert first.prompt == words[int((texts @ row).argmax())]
            assert (second.fired, second.prompt) == (False, None)
            found.add(first.prompt)
        assert len(found) > 2
        for prompts, said in {
            (first.prompt, None): (),
            (None, None): (),  # as older workers wrote it
            ("quiet", None): ("loud: its policy has no such prompt: quiet",),
            (None, "quiet"): ("quiet: its policy has no such prompt: quiet",),  # it did not fire
        }.items():
            each = [
                label.model_copy(update={"prompt": prompt})
                for label, prompt in zip(verdict.labels, prompts, strict=True)
            ]
            kept = _row(verdict.model_copy(update={"labels": tuple(each)}), of, made)
            assert replay(kept, tolerance=0.0).differences == said
            assert replay_image(kept, content, made, tolerance=0.0).differences == said


def test_what_is_embedded_is_all_that_a_verdict_looks_at(pipeline: Pipeline) -> None:
    stub = pipeline.model("stub")

    def embedded(colours: list[tuple[int, int, int]]) -> Embedding:
        sighted = pipeline.look_for_embedding(_animation(colours, "GIF"), stub, Timer())
        return pipeline.embedding(pipeline.encode(sighted).result(), stub)

    whole, stills = embedded(COLOURS), [embedded([colour]) for colour in COLOURS]
    np.testing.assert_array_equal(
        whole.features, np.concatenate([still.features for still in stills])
    )
    assert whole.looking == Looking(frames=4)
    [policy] = pipeline.served(["colours"])
    [(_, look, decision)] = policy.decide([{"stub": whole.features}])
    verdict = _moderated(pipeline, _animation(COLOURS, "GIF"))
    assert (verdict.frame, verdict.labels) == (look, decision.labels)


def test_many_threads_in_both_queues_each_get_the_verdict_on_their_image(
    pipeline: Pipeline, photographs: list[Path]
) -> None:
    contents = [path.read_bytes() for path in photographs[:6]]
    alone = [_moderated(pipeline, content) for content in contents]

    def ask(i: int) -> None:
        queue: QueueName = "bulk" if i % 3 else "interactive"
        verdict = _moderated(pipeline, contents[i % 6], str(i), queue)
        assert verdict.request_id == str(i)
        assert verdict.image_sha256 == alone[i % 6].image_sha256
        assert verdict.category_scores == alone[i % 6].category_scores

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(ask, range(60)))


def test_label_features_are_computed_once_a_policy_and_never_for_an_image(
    photographs: list[Path],
) -> None:
    encoder = StubEncoder()
    encoder.context_length = 1000
    policies = load_policies([POLICIES])
    with make_pipeline(frames=1, encoder=encoder, policies=policies) as pipeline:
        texts = encoder.texts_encoded
        for path in photographs[:4]:
            pipeline.moderate(path.read_bytes(), pipeline.served(policies), request_id="x")
    assert encoder.texts_encoded == texts > 0
    assert encoder.images_encoded == 4


def test_a_bad_image_and_what_is_not_served_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ImageError):
        _moderated(pipeline, b"no image")
    with pytest.raises(RequestError, match="no policy is called smells"):
        pipeline.served(["smells"])
    with pytest.raises(RequestError, match="the model other is not loaded here"):
        pipeline.model("other")


def test_a_pipeline_loads_the_classifiers_of_its_policies_and_embeds_with_none(
    tmp_path: Path,
) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    mixed = parse_policy(classified_policy(described(sha256)), "mixed.yaml")
    settings = load_settings(classifiers=tmp_path, decoders=1, threads=1, model="stub")
    batches: list[tuple[str, int]] = []
    with load_pipeline(
        settings,
        {"mixed": mixed},
        load=lambda _: StubEncoder(),
        observe=lambda model, count: batches.append((model, count)),
    ) as pipeline:
        verdict = _moderated(pipeline, coloured((255, 0, 0)), policy="mixed")
        assert {each.label: each.score for each in verdict.labels}["seen-0"] == 1.0
        assert verdict.action == "block"
        kept = _row(verdict, mixed, pipeline)
        assert replay(kept, tolerance=0.0).differences == ()
        assert replay_image(kept, coloured((255, 0, 0)), pipeline, tolerance=0.0).differences == ()
        assert sorted(set(batches)) == [("colours.onnx", 1), ("stub", 1)]
        assert [stamp.runtime for stamp in pipeline.stamps] == ["torch", "onnxruntime"]
        [classifier] = mixed.classified_labels.values()
        with pytest.raises(RequestError, match="is not loaded here"):
            pipeline.model(classifier.model_key)


def _row(verdict: Verdict, policy: Policy, pipeline: Pipeline) -> DecisionToReplay:
    """Returns a verdict as the decision log has it."""
    [served] = pipeline.served([policy.id])
    basis = served.basis
    columns = {
        "id": verdict.decision_id,
        "image_sha256": verdict.image_sha256,
        "policy_sha256": verdict.policy.sha256,
        "policy_id": verdict.policy.id,
        "policy_version": verdict.policy.version,
        "model_fingerprint": verdict.model.fingerprint,
        "preprocessing": verdict.model.preprocessing,
        "action": verdict.action,
        "flagged": verdict.flagged,
        "frame": verdict.frame,
    }
    content = json.loads(json.dumps(policy.content))
    scale, bias = basis.logit_scale, basis.logit_bias
    return DecisionToReplay("1", verdict, content, basis.conditions, scale, bias, columns)
