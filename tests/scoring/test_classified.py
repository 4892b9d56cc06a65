"""Labels that classifiers score, beside those of CLIP: who decides, and by which look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.commands.output import verdict_table
from moderation.encoders.encoder import unit
from moderation.errors import ModelError
from moderation.images.looks import Looking
from moderation.policy import Policy, parse_policy
from moderation.scoring.batching import Batcher
from moderation.scoring.classified import ModelRows, joined_similarities
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.served import LoadedModel, ServedPolicy
from moderation.scoring.verdict import ACTIONS, Basis, outcomes
from tests.support.onnx_files import classified_policy, described
from tests.support.stub_encoder import WIDTH, StubEncoder

#: Two columns of one file, and another file.
SHAPES = [
    described("1" * 64, "one.onnx"),
    described("1" * 64, "one.onnx", output={"column": 1}),
    described("2" * 64, "two.onnx"),
]
ONE, TWO = SHAPES[0].model_key, SHAPES[2].model_key


def _policy(**changes: Any) -> Policy:
    content = parse_policy(classified_policy(*SHAPES, **changes), "mixed.yaml")
    review = {"action": "review"}
    labels = (content.labels[0].model_copy(update={"threshold": 0.5}), *content.labels[1:3])
    last = content.labels[4].model_copy(update=review)
    return content.model_copy(update={"labels": (*labels, content.labels[3], last)})


def _served(policy: Policy, encoder: StubEncoder, batcher: Batcher) -> ServedPolicy:
    classifier = Classifier.of(policy, encoder)
    conditions = Conditions(Looking(16))
    basis = Basis(policy, encoder.stamp, conditions, encoder.logit_scale, encoder.logit_bias)
    model = LoadedModel("stub", encoder, batcher)
    others = tuple(LoadedModel(key, encoder, batcher) for key in (ONE, TWO))
    return ServedPolicy(basis, classifier, model, others)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=5),
    st.sampled_from(["contrast", "softmax"]),
    st.integers(0, 2**32),
)
def test_the_most_severe_look_of_any_model_decides_and_is_the_one_that_is_named(
    looks: list[tuple[int, int, int]], scoring: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    policy, encoder = _policy(scoring=scoring), StubEncoder()
    images = [
        {
            "stub": unit(random.standard_normal((clip, WIDTH)).astype(np.float32)),
            ONE: random.random((one, 2)).astype(np.float32),
            TWO: random.random((two, 1)).astype(np.float32),
        }
        for clip, one, two in looks
    ]
    with Batcher(encoder.image_features, batch_size=8) as batcher:
        served = _served(policy, encoder, batcher)
        decided = served.decide(images)
    for image, (reference, look, decision) in zip(images, decided, strict=True):
        severities = _severities(served.classifier, image)
        most = max(max(each) for each in severities.values())
        assert decision.action == ACTIONS[most]
        first = next(key for key in ("stub", ONE, TWO) if max(severities[key]) == most)
        assert most == 0 or severities[reference][look] == most
        assert 0 <= look < len(image[reference])
        assert most > 0 or reference == "stub" == first
        scores = {each.label: each.score for each in decision.labels}
        assert all(
            scores[f"seen-{number}"] in image[each.model_key][:, each.output.column]
            for number, each in enumerate(SHAPES)
            if f"seen-{number}" in scores
        )


def _severities(classifier: Classifier, image: dict[str, Any]) -> dict[str, list[int]]:
    """Returns the most severe outcome of each look of each model, by its own labels alone."""
    policy = classifier.policy
    found = {}
    for key, rows in image.items():
        cosines = np.zeros((len(rows), len(policy.labels)), np.float32)
        if key == "stub":
            cosines = classifier.similarities(rows)
        for column, each in policy.classified_labels.items():
            if each.model_key == key:
                cosines[:, column] = rows[:, each.output.column]
        fired = outcomes(policy, cosines, classifier.scores(cosines))
        others = [
            column
            for column, label in enumerate(policy.labels)
            if (label.classifier.model_key if label.classifier else "stub") != key
        ]
        fired[:, others] = 0
        found[key] = fired.max(axis=1).tolist()
    return found


def test_what_an_image_gets_does_not_depend_on_its_company() -> None:
    random = np.random.default_rng(1)
    policy, encoder = _policy(), StubEncoder()
    images = [
        {
            "stub": unit(random.standard_normal((1 + i % 3, WIDTH)).astype(np.float32)),
            ONE: random.random((1 + i % 2, 2)).astype(np.float32),
            TWO: random.random((2, 1)).astype(np.float32),
        }
        for i in range(40)
    ]
    with Batcher(encoder.image_features, batch_size=8) as batcher:
        served = _served(policy, encoder, batcher)
        assert served.decide(images) == [served.decide([image])[0] for image in images]


def _joined(policy: Policy, outputs: Any, looks: list[int]) -> Any:
    encoder = StubEncoder()
    classifier = Classifier.of(policy, encoder)
    rows = unit(np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32))
    given_outputs = ModelRows(np.array(outputs, np.float32), np.array(looks))
    two = ModelRows(np.full((2, 1), 0.25, np.float32), np.array([1, 1]))
    encoded = ModelRows(rows, np.array([2, 1]))
    return (
        classifier,
        rows,
        joined_similarities(classifier, encoded, {ONE: given_outputs, TWO: two}),
    )


def test_a_model_with_fewer_looks_repeats_its_last() -> None:
    classifier, rows, (cosines, looks) = _joined(
        _policy(), [[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.4, 0.0], [0.5, 0.0]], [1, 4]
    )
    assert looks.tolist() == [2, 4]
    assert cosines[:, 2].tolist() == np.array([0.1, 0.1, 0.2, 0.3, 0.4, 0.5], np.float32).tolist()
    assert cosines[:, 4].tolist() == [0.25] * 6
    alone = classifier.similarities(rows)
    assert cosines[:, :2].tolist() == alone[[0, 1, 2, 2, 2, 2], :2].tolist()


@pytest.mark.parametrize("scoring", ["softmax", "contrast", "sigmoid"])
def test_a_classifiers_score_competes_with_nothing(scoring: str) -> None:
    encoder = StubEncoder(logit_bias=-1.0)
    mixed = _policy(scoring=scoring)
    without = mixed.model_copy(update={"labels": mixed.labels[:2]})
    rows = unit(np.random.default_rng(0).standard_normal((6, WIDTH)).astype(np.float32))
    own = Classifier.of(mixed, encoder)
    cosines = own.similarities(rows)
    assert (cosines[:, 2:] == 0).all()
    given_scores = np.random.default_rng(1).random((6, 3)).astype(np.float32)
    cosines[:, 2:] = given_scores
    scores = own.scores(cosines)
    np.testing.assert_array_equal(scores[:, 2:], given_scores)
    alone = Classifier.of(without, encoder)
    np.testing.assert_array_equal(scores[:, :2], alone.scores(alone.similarities(rows)))


def test_a_category_of_prompts_and_a_classifier_has_the_higher_score_not_their_sum() -> None:
    policy = _policy(scoring="softmax")
    labels = (policy.labels[0].model_copy(update={"category": "seen"}), *policy.labels[1:])
    policy = policy.model_copy(update={"labels": labels})
    encoder = StubEncoder()
    with Batcher(encoder.image_features, batch_size=8) as batcher:
        served = _served(policy, encoder, batcher)
        image = {
            "stub": encoder.text_features(["a photo of loud."]),
            ONE: np.array([[0.3, 0.0]], np.float32),
            TWO: np.array([[0.2]], np.float32),
        }
        [(_, _, decision)] = served.decide([image])
        scores = [each.score for each in decision.labels]
        assert decision.category_scores == {"seen": max(scores[0], *scores[2:])}
        image[ONE] = np.array([[1.5, 0.0]], np.float32)
        with pytest.raises(ModelError, match=r"one\.onnx: it gives 1\.5, and a score lies in"):
            served.decide([image])


@pytest.mark.parametrize("scoring", ["softmax", "contrast", "sigmoid"])
def test_a_policy_may_be_of_classifiers_alone(scoring: str) -> None:
    policy = _policy(scoring="sigmoid")
    policy = policy.model_copy(update={"labels": policy.labels[2:], "scoring": scoring})
    encoder = StubEncoder(logit_bias=-1.0)
    with Batcher(encoder.image_features, batch_size=8) as batcher:
        served = _served(policy, encoder, batcher)
        image = {
            "stub": encoder.text_features(["x"]),
            ONE: np.array([[0.3, 0.0], [0.9, 0.0]], np.float32),
            TWO: np.array([[0.2]], np.float32),
        }
        [(reference, look, decision)] = served.decide([image])
    assert (reference, look, decision.action) == (ONE, 1, "block")
    assert [each.score for each in decision.labels] == np.array(
        [0.9, 0.0, 0.2], np.float32
    ).tolist()
    assert [each.prompt for each in decision.labels] == [None] * 3
    names = [f"one.onnx@{'1' * 16}"] * 2 + [f"two.onnx@{'2' * 16}"]
    assert [each.classifier for each in decision.labels] == names
    # No picture is said to look most like what a classifier scores.
    rows = [each.model_dump() for each in decision.labels]
    row = {"image": "a", "policy": {"id": "x"}, "action": "block", "flagged": True, "labels": rows}
    _, [(_, verdict, because, resembles)] = verdict_table([row])
    assert (str(verdict), because, resembles) == ("block", f"{rows[0]['label']} 0.90", "")
