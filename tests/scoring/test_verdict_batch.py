"""Many images decided at once: each verdict is, to the last bit, that of its image by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.encoders.encoder import Float32s, unit
from moderation.errors import EncoderFailed, ModelError
from moderation.images.looks import Look, Looking, Sight
from moderation.messages import LabelScore, Verdict
from moderation.policy import Policy, load_policy, shipped_policies
from moderation.scoring.batching import Batcher
from moderation.scoring.classifier import Classifier, contrast_scores, softmax
from moderation.scoring.conditions import Conditions
from moderation.scoring.served import LoadedModel, ServedPolicy
from moderation.scoring.sighted import SeenImages, Sighted, future_features
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import Basis
from moderation.scoring.verdict_batch import batch_verdicts
from tests.support.policy_texts import policy
from tests.support.stub_encoder import WIDTH, StubEncoder

WEAPONS = load_policy(shipped_policies() / "weapons.yaml")


def _other(content: Policy, name: str, **changes: Any) -> Policy:
    return content.model_copy(update={"id": name, **changes})


#: Each way to score and to decide, with few and with many labels.
POLICIES = [
    WEAPONS,
    _other(WEAPONS, "shared", scoring="softmax"),
    _other(WEAPONS, "alone", scoring="sigmoid"),
    _other(WEAPONS, "top", scoring="softmax", decision="top_label"),
    policy(),
    _other(policy(), "few-top", decision="top_label"),
    load_policy(shipped_policies() / "community-photos.yaml"),
]


def _served(content: Policy, encoder: StubEncoder, batcher: Batcher) -> ServedPolicy:
    model = LoadedModel(encoder.stamp.id, encoder, batcher)
    classifier = Classifier.of(content, encoder)
    scale, bias = classifier.logit_scale, classifier.logit_bias
    basis = Basis(content, encoder.stamp, Conditions(Looking(16)), scale, bias)
    return ServedPolicy(basis, classifier, model)


@pytest.fixture(scope="module")
def served() -> Iterator[list[ServedPolicy]]:
    """Every policy on each of two models."""
    made = []
    with Batcher(StubEncoder().image_features, batch_size=8) as batcher:
        for name in ("one", "two"):
            encoder = StubEncoder(logit_scale=30.0, logit_bias=-5.0)
            encoder.context_length = 1000
            encoder.stamp = encoder.stamp.model_copy(update={"id": name})
            made += [_served(each, encoder, batcher) for each in POLICIES]
        yield made


def _seen(policies: list[ServedPolicy], looks: int, random: np.random.Generator) -> SeenImages:
    features, sights = {}, {}
    for each in policies:
        rows = random.standard_normal((looks, WIDTH)).astype(np.float32)
        features[each.model.reference] = unit(rows)
        shown = tuple(Look(frame, (0, 0, 9, 9)) for frame in range(looks))
        odd = ("exif-turn",) if looks % 2 else ()
        none = np.empty((0, 0, 0, 3), np.uint8)
        sights[each.model.reference] = Sight(none, shown, looks % 3 > 0, odd)
    return SeenImages(Sighted(f"{looks:064x}", tuple(policies), sights), features)


def _timers(count: int) -> list[Timer]:
    return [Timer() for _ in range(count)]


def _without_time(verdict: Verdict) -> dict[str, Any]:
    return {**verdict.model_dump(), "timings": {}}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2 * len(POLICIES) - 1), min_size=1, max_size=4, unique=True),
            st.one_of(st.just(1), st.integers(1, 40)),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 2**32),
)
def test_a_verdict_is_to_the_last_bit_the_same_whatever_else_is_in_the_batch(
    served: list[ServedPolicy], images: list[tuple[list[int], int]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    seen = [_seen([served[i] for i in chosen], looks, random) for chosen, looks in images]
    names = [str(i) for i in range(len(seen))]
    together = batch_verdicts(seen, names, _timers(len(seen)))
    for image, name, verdicts in zip(seen, names, together, strict=True):
        [alone] = batch_verdicts([image], [name], _timers(1))
        assert isinstance(alone, tuple)
        assert isinstance(verdicts, tuple)
        assert [*map(_without_time, verdicts)] == [*map(_without_time, alone)]
        assert [each.policy.id for each in verdicts] == [
            each.basis.policy.id for each in image.sighted.policies
        ]


def test_scores_do_not_depend_on_how_many_images_are_scored_together(
    served: list[ServedPolicy],
) -> None:
    random = np.random.default_rng(1)
    for each in served:
        cosines = random.uniform(-1, 1, (3000, len(each.basis.policy.labels))).astype(np.float32)
        together = each.classifier.scores(cosines)
        alone = np.concatenate([each.classifier.scores(row[np.newaxis]) for row in cosines])
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("score", [softmax, contrast_scores])
def test_scores_are_the_same_before_they_are_rounded_too(score: Callable[..., Any]) -> None:
    # Rounding to float32 hides a last digit of float64 nearly always, and so it would from a test.
    logits = np.random.default_rng(6).uniform(-30, 30, (500, 21))
    acts = (np.arange(21) < 4,) if score is contrast_scores else ()
    alone = np.concatenate([score(row[np.newaxis], *acts) for row in logits])
    np.testing.assert_array_equal(score(logits, *acts), alone)


def test_a_verdict_is_what_its_own_json_reads_as(served: list[ServedPolicy]) -> None:
    seen = [_seen(served, 3, np.random.default_rng(2))]
    [verdicts] = batch_verdicts(seen, ["a"], _timers(1))
    assert isinstance(verdicts, tuple)
    for verdict in verdicts:
        again = Verdict.model_validate_json(verdict.model_dump_json())
        assert again == verdict
        assert again.model_dump_json() == verdict.model_dump_json()
        for label in verdict.labels:
            made = LabelScore(**label.model_dump())
            assert made == label
            assert made.model_fields_set == label.model_fields_set


def test_an_image_that_cannot_be_scored_costs_no_other_its_verdict(
    served: list[ServedPolicy],
) -> None:
    random = np.random.default_rng(3)
    seen = [_seen(served[:2], looks, random) for looks in (1, 2, 3)]
    seen[1].features[served[0].model.reference][1, 0] = np.nan
    timers = _timers(3)
    before, failed, after = batch_verdicts(seen, ["a", "b", "c"], timers)
    assert isinstance(failed, ModelError)
    assert "not finite" in failed.what
    assert isinstance(before, tuple)
    assert isinstance(after, tuple)
    assert [each.request_id for each in before + after] == ["a", "a", "c", "c"]
    # All three waited for it together.
    assert len({timer.seconds["decide"] for timer in timers}) == 1
    assert before[0].timings == timers[0].seconds


def test_an_image_is_seen_once_all_its_models_have_and_keeps_no_pixels(
    served: list[ServedPolicy],
) -> None:
    sighted = _seen([served[0], served[-1]], 2, np.random.default_rng(4)).sighted
    one, two = served[0].model.reference, served[-1].model.reference
    rows = np.zeros((2, WIDTH), np.float32)
    encoding: dict[str, Future[Float32s]] = {one: Future(), two: Future()}
    seen = future_features(sighted, encoding)
    encoding[two].set_result(rows)
    assert not seen.done()
    assert not seen.cancel()
    encoding[one].set_result(rows)
    assert seen.result().features.keys() == {one, two}
    assert all(sight.squares.nbytes == 0 for sight in seen.result().sighted.sights.values())


def test_an_image_of_which_a_model_fails_is_not_seen(served: list[ServedPolicy]) -> None:
    sighted = _seen([served[0], served[-1]], 1, np.random.default_rng(5)).sighted
    failure = EncoderFailed("the encoder failed", "", "")
    encoding: dict[str, Future[Float32s]] = {name: Future() for name in sighted.sights}
    seen = future_features(sighted, encoding)
    one, two = encoding.values()
    two.set_exception(failure)
    one.set_result(np.zeros((1, WIDTH), np.float32))
    assert seen.exception() is failure
