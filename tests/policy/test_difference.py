"""What differs between two policies in what they mean, as records and in sentences."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from moderation.policy import Policy, load_policy, parse_policy, shipped_policies
from moderation.policy.change_sentences import change_sentence, difference_sentences
from moderation.policy.difference import PolicyChange, policy_difference
from tests.support.policy_texts import VALID

CONTRAST = VALID.replace("softmax", "contrast").replace(
    '    prompts: ["a knife"]', '    prompts: ["a knife"]\n    negatives: ["a spoon"]'
)
SHA = "ab" * 32
CLASSIFIED = f"""\
    classifier:
      file: nude.onnx
      sha256: {SHA}
      output: {{column: 1}}
      preprocessing: {{resize: 256, crop: [224, 224]}}
"""
EXAMPLES = """\
examples:
  - image: a.jpg
    expect: {action: review}
  - sha256: "{sha}"
    expect: {action: block, label: gun}
""".replace("{sha}", SHA)
FITTED = """\
fitted:
  model: starter
  preprocessing: 0123456789abcdef
  data: [fairface, own]
  n: 700
  date: 2026-11-21
"""


def _read(text: str) -> Policy:
    return parse_policy(text.encode(), "x.yaml")


def _difference(old: str, new: str) -> tuple[PolicyChange, ...]:
    return policy_difference(_read(old), _read(new))


def _sentences(old: str, new: str) -> list[str]:
    return [change_sentence(change) for change in _difference(old, new)]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("id: small", "id: other", "the policy's id small -> other"),
        ("\nversion: 1", "\nversion: 2", "version 1 -> 2"),
        ("A small policy", "Guns", "title 'A small policy' -> 'Guns'"),
        ("scoring: softmax", "scoring: contrast", "scoring softmax -> contrast"),
        ("scoring: softmax", "scoring: softmax\ndecision: top_label",
         "decision threshold -> top_label"),
        ("scoring:", "model: starter\nscoring:", "model that of the worker -> starter"),
        ("scoring:", "tuned_on: [b, a]\nscoring:", "tuned_on none -> a, b"),
        ("labels:", f"{FITTED}labels:", "fitted none -> to starter on 700 images of fairface, own, "
         "2026-11-21"),
        ('["a photo of {}."]', '["a photo of {}.", "a drawing of {}."]',
         "template added: 'a drawing of {}.'"),
        ('"a pistol"', '"a rifle"', 
         "gun: prompt removed: 'a pistol'; gun: prompt added: 'a rifle'"),
        ("threshold: 0.8", "threshold: 0.75", "gun: threshold 0.8 -> 0.75 (stricter)"),
        ("threshold: 0.8", "threshold: 0.8000001",
         "gun: threshold 0.8 -> 0.8000001 (more lenient)"),
        ("    review_threshold: 0.4\n", "", "gun: review_threshold 0.4 -> none (more lenient)"),
        ("review_threshold: 0.4", "review_threshold: 0.3",
         "gun: review_threshold 0.4 -> 0.3 (stricter)"),
        ("action: review", "action: block", "knife: action review -> block (stricter)"),
        ("action: review", "action: allow", "knife: action review -> allow (more lenient)"),
        ("    action: review\n    threshold: 0.5\n", "",
         "knife: action review -> none (a context label) (more lenient); "
         "knife: threshold 0.5 -> none"),
        ("weapons/guns", "guns", "gun: category weapons/guns -> guns"),
        ("    category: weapons/guns\n", "", "gun: category weapons/guns -> gun"),
        ("action: review", "severity: high\n    action: review", "knife: severity none -> high"),
        ("action: review", "taxonomy: {openai: violence}\n    action: review",
         "knife: taxonomy none -> openai violence"),
        ('    prompts: ["a knife"]\n', CLASSIFIED, "knife: prompt removed: 'a knife'; "
         "knife: classifier none -> nude.onnx@abababababababab, output 1"),
        ("id: cat", "id: pet", "pet: the label 'cat' has a new id, and the same texts"),
        ('  - id: cat\n    prompts: ["a cat"]\n', "",
         "cat: label removed: context, 'a cat'"),
        ("  - id: thing", '  - id: bow\n    prompts: [a bow]\n'
         '    action: block\n    threshold: 0.7\n'
         "    review_threshold: 0.3\n  - id: thing",
         "bow: label added: block from 0.7 (review from 0.3), 'a bow'"),
    ],
)  # fmt: skip
def test_each_change_of_a_file_is_one_sentence(before: str, after: str, sentence: str) -> None:
    assert before in VALID
    assert "; ".join(_sentences(VALID, VALID.replace(before, after))) == sentence


def test_look_alikes_and_examples_are_compared_as_sets() -> None:
    new = CONTRAST.replace('["a spoon"]', '["a fork", "a spoon"]')
    assert _sentences(CONTRAST, new) == ["knife: look-alike added: 'a fork'"]
    assert _sentences(VALID, VALID + EXAMPLES) == [
        "example added: a.jpg expects review",
        f"example added: sha256 {SHA} expects block by gun",
    ]
    changed = EXAMPLES.replace("action: review", "action: allow")
    assert _sentences(VALID + EXAMPLES, VALID + changed) == [
        "example a.jpg: expects review -> allow"
    ]


def test_a_renamed_label_keeps_what_else_changed_of_it() -> None:
    new = VALID.replace("id: gun", "id: firearm").replace("0.8", "0.9")
    assert _difference(VALID, new) == (
        PolicyChange("label-renamed", "firearm", "gun", "firearm"),
        PolicyChange("threshold", "firearm", 0.8, 0.9, "more lenient"),
    )


def test_a_label_with_another_id_and_other_texts_is_another_label() -> None:
    kinds = [
        change.kind
        for change in _difference(VALID, VALID.replace(": cat", ": dog").replace("a cat", "a dog"))
    ]
    assert kinds == ["label-removed", "label-added"]


def test_layout_and_comments_are_no_change_and_order_alone_is_said() -> None:
    old = _read(VALID)
    assert policy_difference(old, _read("# A comment.\n" + VALID.replace('"a cat"', "a cat"))) == ()
    assert difference_sentences(old, old, ()) == [
        "Nothing that a worker sees differs: the contents are equal."
    ]
    cat, thing = (
        '  - id: cat\n    prompts: ["a cat"]\n',
        '  - id: thing\n    prompts: ["a thing"]\n',
    )
    for text in (
        VALID.replace('"a gun", "a pistol"', '"a pistol", "a gun"'),
        VALID.replace(thing + cat, cat + thing),
    ):
        assert text != VALID
        changes = policy_difference(old, _read(text))
        assert changes == (PolicyChange("order", None, None, None),)
        assert (
            "Only the order of lists differs" in difference_sentences(old, _read(text), changes)[0]
        )


def test_a_version_that_was_not_raised_is_said_where_verdicts_change() -> None:
    old = _read(VALID)
    for before, after, raised in (
        ("0.8", "0.9", False),
        ("0.8", "0.9", True),
        ("A small policy", "Guns", None),
    ):
        text = VALID.replace(before, after)
        new = _read(text.replace("\nversion: 1", "\nversion: 2") if raised else text)
        said = difference_sentences(old, new, policy_difference(old, new))
        assert any("raise it" in sentence for sentence in said) is (raised is False)
    assert "No action can change: nothing that decides differs." in said


def test_every_change_says_how_far_it_reaches() -> None:
    reach = {
        change.reaches: change.kind
        for old, new in (("0.8", "0.9"), ("weapons/guns", "guns"), ("A small policy", "Guns"))
        for change in _difference(VALID, VALID.replace(old, new))
    }
    assert reach == {"decision": "threshold", "verdict": "category", "file": "title"}


def test_shipped_policies_differ_from_nothing_and_from_each_other_as_plain_data() -> None:
    policies = [load_policy(path) for path in sorted(shipped_policies().glob("*.yaml"))]
    for policy in policies:
        assert policy_difference(policy, policy) == ()
    for old, new in pairwise(policies):
        changes = policy_difference(old, new)
        assert json.loads(json.dumps([change._asdict() for change in changes]))
        assert all(change_sentence(change) for change in changes)
