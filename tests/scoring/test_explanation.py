"""Explanations, compared with policies that are edited and decided again by production's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.commands.policy.explained import print_explanation
from moderation.encoders.encoder import Float32s, unit
from moderation.images.looks import Look, Looking, Sight
from moderation.messages import Verdict
from moderation.policy import Policy
from moderation.scoring.batching import Batcher
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions, raised_action
from moderation.scoring.explanation import ExplainedLabel, Explainer, Explanation
from moderation.scoring.left_out import Without
from moderation.scoring.served import LoadedModel, ServedPolicy
from moderation.scoring.sighted import SeenImages, Sighted
from moderation.scoring.timer import Timer
from moderation.scoring.verdict import Basis
from moderation.scoring.verdict_batch import batch_verdicts
from tests.support.onnx_files import described
from tests.support.policy_texts import policy
from tests.support.stub_encoder import WIDTH, StubEncoder

ENCODER = StubEncoder(logit_scale=6.0, logit_bias=-1.0)
ENCODER.context_length = 1000
CLASSIFIER = described("1" * 64, "one.onnx")


def _labels(**negatives: list[str]) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = policy().model_dump(mode="json")["labels"]
    labels[0]["prompts"] = ["a gun", "a pistol", "a rifle"]
    labels[0] |= {"threshold": 0.4, "review_threshold": 0.15}
    labels[1] |= {"threshold": 0.3}
    labels[2]["prompts"] = ["a thing", "a table"]
    for label in labels:
        label["negatives"] = negatives.get(label["id"], [])
    return labels


TEMPLATES = ["a photo of {}.", "a drawing of {}.", "{}"]
PLAIN = policy(templates=TEMPLATES, labels=_labels())
ALIKE = _labels(gun=["a toy gun", "a hair dryer"], knife=["a comb"])
MIXED = Policy.model_validate(
    {
        **PLAIN.model_dump(mode="json"),
        "id": "mixed",
        "scoring": "contrast",
        "labels": [
            *ALIKE,
            {
                "id": "seen",
                "action": "review",
                "threshold": 0.5,
                "classifier": CLASSIFIER.model_dump(mode="json", exclude_none=True),
            },
        ],
    }
)
POLICIES = [
    PLAIN,
    policy(templates=TEMPLATES, labels=_labels(), decision="top_label"),
    policy(templates=TEMPLATES, labels=_labels(), scoring="contrast"),
    policy(templates=TEMPLATES, labels=ALIKE, scoring="contrast"),
    policy(templates=TEMPLATES, labels=_labels(), scoring="sigmoid"),
    policy(templates=TEMPLATES, labels=_labels(), scoring="sigmoid", decision="top_label"),
    policy(labels=_labels()[1:3]),
    MIXED,
]


@pytest.fixture(scope="module")
def batcher() -> Iterator[Batcher]:
    with Batcher(ENCODER.image_features, batch_size=8) as made:
        yield made


def _served(content: Policy, batcher: Batcher) -> ServedPolicy:
    classifier = Classifier.of(content, ENCODER)
    scale, bias = classifier.logit_scale, classifier.logit_bias
    basis = Basis(content, ENCODER.stamp, Conditions(Looking(16)), scale, bias)
    keys = sorted({each.model_key for each in content.classified_labels.values()})
    others = tuple(LoadedModel(key, ENCODER, batcher) for key in keys)
    return ServedPolicy(basis, classifier, LoadedModel("stub", ENCODER, batcher), others)


def _features(looks: int, seed: int) -> dict[str, Float32s]:
    random = np.random.default_rng(seed)
    return {
        "stub": unit(random.standard_normal((looks, WIDTH)).astype(np.float32)),
        CLASSIFIER.model_key: random.random((1 + seed % 3, 2)).astype(np.float32),
    }


def _verdict(served: ServedPolicy, features: Mapping[str, Float32s], odd: bool) -> Verdict:
    oddities = ("two-pictures",) if odd else ()
    sights = {
        name: Sight(
            np.empty((0, 0, 0, 3), np.uint8),
            tuple(Look(frame, (0, 0, 9, 9)) for frame in range(len(rows))),
            True,
            oddities,
        )
        for name, rows in features.items()
    }
    seen = SeenImages(Sighted("0" * 64, (served,), sights), dict(features))
    [verdicts] = batch_verdicts([seen], ["a"], [Timer()])
    assert isinstance(verdicts, tuple)
    return verdicts[0]


def _explained(
    content: Policy, batcher: Batcher, looks: int = 1, seed: int = 0, odd: bool = False
) -> tuple[Explanation, dict[str, Float32s]]:
    served, features = _served(content, batcher), _features(looks, seed)
    verdict = _verdict(served, features, odd)
    return Explainer(served, ENCODER).explain(features, verdict), features


def _edited(content: Policy, *labels: Any) -> Policy:
    return Policy.model_validate({**content.model_dump(mode="json"), "labels": labels})


def _naive(
    content: Policy,
    label: int,
    batcher: Batcher,
    features: Mapping[str, Float32s],
    doubts: tuple[str, ...],
    **texts: list[str],
) -> Without:
    """Returns what production decides with a label's texts replaced, or without the label."""
    labels = content.model_dump(mode="json")["labels"]
    rest = [each for place, each in enumerate(labels) if place != label]
    if texts:
        labels[label] |= texts
    elif not any(each["action"] for each in rest):
        return Without(raised_action("allow", doubts))
    else:
        labels = rest
    acts = {bool(each["action"]) for each in labels if each["prompts"]}
    if True in acts and False not in acts and content.scoring != "sigmoid":
        said = f"{content.scoring} scoring needs a context label"
        return Without(None, refused=said)
    [(_, _, decision)] = _served(_edited(content, *labels), batcher).decide([features])
    asking = [each for each in decision.labels if each.outcome == decision.action != "allow"]
    by = max(asking, key=lambda each: each.score, default=None)
    return Without(
        raised_action(decision.action, doubts),
        by.label if by else None,
        by.score if by else None,
        decision.labels[label].score if texts else None,
    )


def _same(found: Without, expected: Without) -> None:
    assert replace(found, refused="") == replace(expected, refused="")
    assert found.refused.startswith(expected.refused)
    assert bool(found.refused) == bool(expected.refused)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(POLICIES) - 1), st.integers(1, 4), st.integers(0, 2**31), st.booleans())
def test_what_is_left_out_is_to_the_last_bit_what_production_decides_without_it(
    batcher: Batcher, number: int, looks: int, seed: int, odd: bool
) -> None:
    content = POLICIES[number]
    found, features = _explained(content, batcher, looks, seed, odd)
    doubts = found.verdict.doubts
    assert bool(doubts) == odd
    for j, (label, explained) in enumerate(zip(content.labels, found.labels, strict=True)):
        naive = (content, j, batcher, features, doubts)
        _same(explained.without, _naive(*naive))
        assert {each.text for each in explained.prompts} == {*label.prompts}
        for each in explained.prompts:
            rest = [text for text in label.prompts if text != each.text]
            _same(each.without, _naive(*naive, prompts=rest) if rest else explained.without)
        assert {each.text for each in explained.negatives} == {*label.negatives}
        for each in explained.negatives:
            rest = [text for text in label.negatives if text != each.text]
            _same(each.without, _naive(*naive, negatives=rest))


@pytest.mark.parametrize("content", POLICIES)
def test_the_figures_are_those_of_the_verdict_and_of_each_text_with_the_look_that_decided(
    content: Policy, batcher: Batcher
) -> None:
    for seed in range(12):
        found, features = _explained(content, batcher, 3, seed)
        verdict = found.verdict
        row = features["stub"][verdict.frame]
        for label, said in zip(found.labels, verdict.labels, strict=True):
            assert (label.label, label.score, label.fired) == (said.label, said.score, said.fired)
            if said.prompt:
                assert label.prompts[0].text == said.prompt
            if verdict.frame >= len(features["stub"]) or content is MIXED:
                continue  # a classifier's look may have decided
            for each in (*label.prompts, *label.negatives):
                texts = [template.replace("{}", each.text) for template in content.templates]
                rows = ENCODER.text_features(texts)
                assert each.cosine == pytest.approx(float(unit(rows.mean(axis=0)) @ row), abs=1e-6)
                by_template = {part.template: part.cosine for part in each.templates}
                assert by_template == pytest.approx(
                    dict(zip(content.templates, (rows @ row).tolist(), strict=True)), abs=1e-6
                )
        reasons = verdict.reasons
        worst = [each for each in reasons if each.outcome == verdict.action]
        assert found.decided_by == (worst[0].label if worst else None)
        context = {each.label: each.similarity for each in verdict.labels if each.action is None}
        assert found.nearest_context == max(context, key=lambda name: context[name])


def _scores_at(content: Policy, cosines: Float32s, label: int, cosine: float) -> Float32s:
    """Returns the scores of a look once a label's cosine is another."""
    classifier = Classifier.of(content, ENCODER)
    moved = cosines.copy()
    moved[label] = cosine
    scores: Float32s = classifier.scores(moved[np.newaxis])[0]
    return scores


@pytest.mark.parametrize("content", [each for each in POLICIES if each is not MIXED])
def test_the_distance_in_cosine_is_what_it_takes_to_fire_while_all_else_stays(
    content: Policy, batcher: Batcher
) -> None:
    checked = 0
    for seed in range(10):
        found, features = _explained(content, batcher, 1, seed)
        cosines = Classifier.of(content, ENCODER).similarities(features["stub"])[0]
        for j, label in enumerate(found.labels):
            assert bool(label.distances) == (label.action is not None)
            for each in label.distances:
                assert each.cosine is not None
                needed = label.similarity - each.cosine
                if each.of == "highest":
                    assert needed == pytest.approx(float(np.delete(cosines, j).max()), abs=1e-7)
                    assert each.reached == (label.similarity >= float(cosines.max()))
                    continue
                assert each.threshold is not None
                assert each.score == pytest.approx(label.score - each.threshold, abs=1e-7)
                assert each.reached == (np.float32(label.score) >= np.float32(each.threshold))
                for off, reached in ((-1e-4, False), (1e-4, True)):
                    score = _scores_at(content, cosines, j, needed + off)[j]
                    assert (score >= np.float32(each.threshold)) == reached
                checked += 1
    assert checked >= 10


def _gun(found: Explanation) -> ExplainedLabel:
    return found.label("gun")


def test_thresholds_of_0_and_1_and_of_classifiers_have_no_cosine_that_reaches_them(
    batcher: Batcher,
) -> None:
    labels = _labels()
    labels[0] |= {"threshold": 1.0, "review_threshold": 0.0}
    found, _ = _explained(policy(labels=labels), batcher)
    assert [(each.of, each.cosine, each.reached) for each in _gun(found).distances] == [
        ("threshold", None, False),
        ("review_threshold", None, True),
    ]
    found, features = _explained(MIXED, batcher)
    seen = found.label("seen")
    assert (seen.classifier, seen.prompts) == (f"one.onnx@{'1' * 16}", ())
    [distance] = seen.distances
    assert distance.cosine is None
    assert distance.score == pytest.approx(seen.score - 0.5)
    assert seen.score == pytest.approx(float(features[CLASSIFIER.model_key][0, 0]))


def test_where_nothing_fires_the_label_that_lacks_the_least_is_the_nearest(
    batcher: Batcher,
) -> None:
    labels = _labels()
    labels[0] |= {"threshold": 1.0, "review_threshold": None}
    labels[1] |= {"threshold": 0.999}
    found, _ = _explained(policy(labels=labels), batcher)
    assert (found.verdict.action, found.decided_by) == ("allow", None)
    gaps = {each.label: each.gap for each in found.labels[:2]}
    assert found.nearest_to_fire.label == min(gaps, key=lambda name: gaps[name])
    assert all(gap > 0 for gap in gaps.values())


def test_two_hundred_labels_are_explained_in_a_moment(batcher: Batcher) -> None:
    acting: list[dict[str, Any]] = [
        {
            "id": f"acts-{i}",
            "action": "review",
            "threshold": 0.1,
            "prompts": [f"thing {i} of kind {n}" for n in range(5)],
        }
        for i in range(180)
    ]
    context = [{"id": f"context-{i}", "prompts": [f"harmless {i}"]} for i in range(20)]
    found, features = _explained(policy(scoring="contrast", labels=[*acting, *context]), batcher, 2)
    assert sum(len(each.prompts) for each in found.labels) == 920
    # One of them, as production has it.
    explained = found.labels[7]
    each = explained.prompts[0]
    rest = [text for text in acting[7]["prompts"] if text != each.text]
    content = policy(scoring="contrast", labels=[*acting, *context])
    _same(each.without, _naive(content, 7, batcher, features, (), prompts=rest))


def test_an_example_that_names_a_label_does_not_keep_it_in(batcher: Batcher) -> None:
    example = {"image": "a.png", "expect": {"action": "block", "label": "gun"}}
    found, features = _explained(policy(labels=_labels(), examples=[example]), batcher)
    plain, _ = _explained(policy(labels=_labels()), batcher)
    assert _gun(found).without == _gun(plain).without
    assert _gun(found).without.action is not None
    assert features


def _shown(content: Policy, batcher: Batcher, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns the lines that are printed of a decision by one of two looks."""
    found, _ = _explained(content, batcher, 2, 3, content is MIXED)
    print_explanation(Path("a.png"), found, [])
    return [line.rstrip() for line in capsys.readouterr().out.split("\n")]


def test_what_is_printed_names_the_look_the_doubts_the_classifier_and_the_look_alikes(
    batcher: Batcher, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = _shown(MIXED, batcher, capsys)
    assert shown[:3] == [
        'a.png: block, by gun 0.773, most like "a pistol"',
        "by one of 2 looks: frame 1, pixels 0, 0, 9, 9, on white",
        "doubts: two-pictures",
    ]
    by = f"by the classifier one.onnx@{'1' * 16}"
    at = shown.index(f"seen (review): score 0.931, {by}")
    assert shown[at + 1 : at + 3] == [
        "  review from 0.5: 0.431 above in score",
        "  without this label: block: gun 0.773",
    ]
    assert any(line.startswith("look-alike ") for line in shown)
    assert any(line.startswith("a toy gun ") and "block: gun 0.526" in line for line in shown)
    assert any(line.startswith('template of "a pistol"') for line in shown)


def test_what_is_printed_says_where_no_policy_is_left_and_who_must_be_the_most_similar(
    batcher: Batcher, capsys: pytest.CaptureFixture[str]
) -> None:
    [few] = [each for each in POLICIES if len(each.labels) == 2]
    said = "no decision (softmax scoring needs a context label, one without an action)"
    assert f"  without this label: {said}" in _shown(few, batcher, capsys)
    top = _shown(POLICIES[1], batcher, capsys)
    assert "  block as the most similar label: 0.348 above in cosine" in top
