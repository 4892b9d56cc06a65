"""A label's look-alikes: what they do to its score, and that they do nothing to another's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.errors import PolicyError
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier, contrast_scores
from moderation.scoring.verdict import decide
from tests.support.policy_texts import policy
from tests.support.stub_encoder import StubEncoder

LOGITS = st.lists(st.floats(-1000, 1000), min_size=6, max_size=6)
ACTS = np.array([True, False, True])


def _with_negatives(**negatives: list[str]) -> Policy:
    labels: list[dict[str, Any]] = policy().model_dump(mode="json")["labels"]
    for label in labels:
        label["negatives"] = negatives.get(label["id"], [])
    return policy(scoring="contrast", labels=labels)


@given(LOGITS)
def test_a_label_competes_with_the_context_and_with_its_own_look_alikes(
    logits: list[float],
) -> None:
    first, context, second, *own = logits
    scores = contrast_scores(np.array([logits]), ACTS, np.array([0, 0, 2]))[0]
    for place, label, rivals in (
        (0, first, [context, *own[:2]]),
        (2, second, [context, own[2]]),
    ):
        top = max(label, *rivals)
        parts = [math.exp(each - top) for each in (label, *rivals)]
        assert scores[place] == pytest.approx(parts[0] / sum(parts), abs=1e-12)
    assert scores[1] == 1.0  # the context among itself


def test_a_look_alike_lowers_its_own_label_and_moves_no_other() -> None:
    encoder = StubEncoder()
    images = encoder.text_features([f"image {i}" for i in range(50)])
    plain, alike = (
        Classifier.of(each, encoder)
        for each in (_with_negatives(), _with_negatives(gun=["a toy gun", "a hair dryer"]))
    )
    before, after = (each.scores(each.similarities(images)) for each in (plain, alike))
    assert (after[:, 0] < before[:, 0]).all()
    assert (after[:, 1:] == before[:, 1:]).all()
    # And an image gets what it gets alone, to the last bit.
    alone = [alike.scores(alike.similarities(image[np.newaxis]))[0] for image in images]
    assert (np.array(alone) == after).all()


def test_a_verdict_has_the_cosines_of_each_labels_look_alikes() -> None:
    encoder = StubEncoder()
    several = _with_negatives(gun=["a toy gun", "a hair dryer"], knife=["a comb"])
    classifier = Classifier.of(several, encoder)
    cosines = classifier.similarities(encoder.text_features(["an image"]))
    texts = ["a toy gun", "a hair dryer", "a comb"]
    expected = encoder.text_features(["an image"]) @ encoder.text_features(
        [f"a photo of {text}." for text in texts]
    ).T
    decision = decide(several, cosines[0], classifier.scores(cosines)[0])
    gun, knife, *rest = decision.labels
    assert (*gun.negatives, *knife.negatives) == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert (len(gun.negatives), [label.negatives for label in rest]) == (2, [(), ()])


def test_a_look_alike_that_the_model_would_cut_is_refused_at_its_place() -> None:
    long = "word " * 90
    with pytest.raises(PolicyError) as caught:
        Classifier.of(_with_negatives(gun=["a toy", long]), StubEncoder())
    [problem] = caught.value.problems
    assert "tokens" in problem.message
