"""Label features and scores, compared with plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.encoders.encoder import unit
from moderation.errors import ModelError, PolicyError
from moderation.policy import parse_policy
from moderation.scoring.classifier import (
    Classifier,
    contrast_scores,
    expand_prompts,
    policy_features,
    similarities,
    softmax,
)
from tests.support.policy_texts import VALID, policy
from tests.support.stub_encoder import WIDTH, StubEncoder, random_features

LOGITS = st.lists(st.floats(-1000, 1000), min_size=4, max_size=4)


def _naive_softmax(logits: list[float]) -> list[float]:
    exponentials = [math.exp(logit - max(logits)) for logit in logits]
    return [exponential / sum(exponentials) for exponential in exponentials]


def test_policy_features_are_the_mean_of_templates_by_prompts_in_plain_words() -> None:
    encoder = StubEncoder()
    small = policy(templates=["a photo of {}.", "a drawing of {}."])
    features, prompts = policy_features(small, encoder)
    for j, label in enumerate(small.labels):
        total = np.zeros(WIDTH)
        for template in small.templates:
            for prompt in label.prompts:
                row = encoder.text_features([template.replace("{}", prompt)])[0]
                total += row / np.sqrt((row**2).sum())
        assert features[j] == pytest.approx(total / np.sqrt((total**2).sum()), abs=1e-6)
        # A prompt's own feature is that of a label with no other prompt.
        assert len(prompts[j]) == len(label.prompts)
        for prompt, own in zip(label.prompts, prompts[j], strict=True):
            only = label.model_copy(update={"prompts": (prompt,)})
            labels = (*small.labels[:j], only, *small.labels[j + 1 :])
            alone = policy_features(small.model_copy(update={"labels": labels}), encoder)
            assert own == pytest.approx(alone.texts[j], abs=1e-6)


def test_the_nearest_prompt_is_that_of_the_highest_cosine_and_none_where_nothing_fired() -> None:
    encoder = StubEncoder()
    templates = ["a photo of {}.", "a drawing of {}."]
    words = [f"word {i}" for i in range(6)]
    labels = policy().model_dump(mode="json")["labels"]
    labels[0]["prompts"] = words
    several = policy(templates=templates, labels=labels)
    classifier = Classifier.of(several, encoder)
    images = random_features(40)
    fired = np.random.default_rng(1).random((40, 4)) < 0.5
    nearest = classifier.nearest_prompts(images, fired)
    for image, row, found in zip(images, fired, nearest, strict=True):
        rows = {word: [t.replace("{}", word) for t in templates] for word in words}
        cosines = {
            word: float(image @ unit(encoder.text_features(texts).mean(axis=0)))
            for word, texts in rows.items()
        }
        expected = [max(words, key=lambda word: cosines[word]), "a knife", "a thing", "a cat"]
        assert found == [each if own else None for each, own in zip(expected, row, strict=True)]
    assert len({each[0] for each in nearest}) > 4
    # Each image gets what it gets by itself.
    for image, own, found in zip(images, fired, nearest, strict=True):
        assert classifier.nearest_prompts(image[np.newaxis], own[np.newaxis]) == [found]


def test_of_prompts_that_are_equally_near_the_first_is_named() -> None:
    encoder = StubEncoder()
    classifier = Classifier.of(policy(), encoder)
    same = classifier.prompts[0][[0, 0]]
    equal = replace(classifier, prompts=(same, *classifier.prompts[1:]))
    fired = np.array([[True, False, False, False]])
    assert equal.nearest_prompts(random_features(1), fired) == [["a gun", None, None, None]]


def test_braces_in_a_prompt_are_left_alone() -> None:
    text = VALID.replace('"a knife"', '"a {0} {knife}"')
    small = parse_policy(text.encode(), "x.yaml")
    assert expand_prompts(small, small.labels[1]) == ["a photo of a {0} {knife}."]


@given(LOGITS)
def test_softmax_equals_the_plain_loop(logits: list[float]) -> None:
    assert softmax(np.array([logits]))[0] == pytest.approx(_naive_softmax(logits), abs=1e-12)


@given(LOGITS)
def test_contrast_holds_each_acting_label_against_the_context_alone(logits: list[float]) -> None:
    acts = np.array([True, False, True, False])
    scores = contrast_scores(np.array([logits]), acts)[0]
    context = [logits[1], logits[3]]
    assert scores[0] == pytest.approx(_naive_softmax([logits[0], *context])[0], abs=1e-12)
    assert scores[2] == pytest.approx(_naive_softmax([logits[2], *context])[0], abs=1e-12)
    assert scores[[1, 3]] == pytest.approx(_naive_softmax(context), abs=1e-12)


def test_under_contrast_another_acting_label_moves_no_score_and_under_softmax_it_does() -> None:
    encoder = StubEncoder()
    image = encoder.text_features(["an image"])
    more = [
        *policy().model_dump(mode="json")["labels"],
        {"id": "bow", "prompts": ["a bow"], "action": "block", "threshold": 0.5},
    ]
    for scoring, moved in (("contrast", False), ("softmax", True)):
        few = Classifier.of(policy(scoring=scoring), encoder)
        many = Classifier.of(policy(scoring=scoring, labels=more), encoder)
        before = few.scores(few.similarities(image))[0]
        after = many.scores(many.similarities(image))[0]
        assert bool(abs(after[:4] - before).max() > 1e-6) is moved


def test_sigmoid_scores_each_label_by_itself_with_the_models_bias() -> None:
    encoder = StubEncoder(logit_scale=3.0, logit_bias=-1.5)
    classifier = Classifier.of(policy(scoring="sigmoid"), encoder)
    cosines = np.array([[0.5, -0.5, 0.0, 1.0]], np.float32)
    expected = [1 / (1 + math.exp(-(3.0 * cosine - 1.5))) for cosine in cosines[0]]
    assert classifier.scores(cosines)[0] == pytest.approx(expected, abs=1e-6)


def test_sigmoid_is_refused_where_the_model_does_not_support_it() -> None:
    text = VALID.replace("softmax", "sigmoid")
    with pytest.raises(PolicyError, match=r"small\.yaml:6:10: sigmoid scoring needs a SigLIP"):
        Classifier.of(parse_policy(text.encode(), "small.yaml"), StubEncoder())


def test_a_prompt_over_the_encoders_context_is_refused_at_its_place_and_never_cut() -> None:
    text = VALID.replace("a knife", "one two three four five " * 4)
    with pytest.raises(
        PolicyError, match=r"small\.yaml:15:15: .* have 24 tokens, and stub reads 20"
    ):
        Classifier.of(parse_policy(text.encode(), "small.yaml"), StubEncoder())


def test_extreme_logits_stay_finite_and_in_range() -> None:
    classifier = Classifier.of(policy(), StubEncoder(logit_scale=1e6))
    scores = classifier.scores(np.array([[1.0, -1.0, 0.99, 0.0]], np.float32))
    assert np.isfinite(scores).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_a_similarity_that_is_not_finite_is_an_error() -> None:
    classifier = Classifier.of(policy(), StubEncoder())
    with pytest.raises(ModelError, match="not finite"):
        classifier.scores(np.full((1, 4), np.nan, np.float32))


def test_no_images_give_no_rows() -> None:
    classifier = Classifier.of(policy(), StubEncoder())
    assert classifier.similarities(np.zeros((0, WIDTH), np.float32)).shape == (0, 4)


@given(st.permutations(range(4)), st.sampled_from(["softmax", "contrast"]))
def test_the_order_of_labels_changes_no_score(order: list[int], scoring: str) -> None:
    encoder = StubEncoder()
    image = encoder.text_features(["an image"])
    labels = policy().model_dump(mode="json")["labels"]
    plain = Classifier.of(policy(scoring=scoring), encoder)
    shuffled = Classifier.of(policy(scoring=scoring, labels=[labels[i] for i in order]), encoder)
    before = plain.scores(plain.similarities(image))[0]
    after = shuffled.scores(shuffled.similarities(image))[0]
    assert after == pytest.approx(before[order], abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("width", [16, 513])
def test_many_images_get_what_each_gets_alone_to_the_last_bit(dtype: str, width: int) -> None:
    rng = np.random.default_rng(width)
    rows = unit(rng.standard_normal((9001, width)).astype(np.float32)).astype(dtype)
    texts = unit(rng.standard_normal((22, width)).astype(np.float32))
    rows[17] = texts[3].astype(dtype)  # a cosine of 1
    rows[18] = -texts[3].astype(dtype)
    rows[4097] = 0 if dtype == "float32" else rows[0]  # cosines of nought
    together = similarities(rows, texts)
    alone = np.concatenate([similarities(row[np.newaxis], texts) for row in rows])
    assert together.tobytes() == alone.tobytes()


def test_a_row_that_is_not_finite_stays_so_among_many() -> None:
    rows = np.full((5000, 4), 0.5, np.float32)
    rows[4999, 2] = np.nan
    found = similarities(rows, np.eye(4, dtype=np.float32))
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [4999]
