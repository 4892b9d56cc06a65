"""What else an author may say of a label and of thresholds: look-alikes, classifiers, fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moderation.errors import PolicyError
from moderation.messages import ModelStamp
from moderation.policy import Policy, parse_policy
from tests.support.policy_texts import VALID, policy

CONTRAST = VALID.replace("softmax", "contrast")
SHA = "ab" * 32
CLASSIFIED = f"""\
  - id: nude
    classifier:
      file: nude.onnx
      sha256: {SHA}
      output: {{column: 1}}
      preprocessing: {{resize: 256, crop: [224, 224]}}
    action: block
    threshold: 0.9
"""
FITTED = """\
fitted:
  model: starter
  preprocessing: 0123456789abcdef
  data: [fairface]
  n: 700
  date: 2026-11-21
"""
STAMP = ModelStamp(
    id="starter",
    revision="1",
    fingerprint="fedcba9876543210",
    preprocessing="0123456789abcdef",
    dtype="float32",
    device="cpu",
)


def _problems(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text.encode(), "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def _negatives(text: str, of: str = "gun", on: str = CONTRAST) -> str:
    return on.replace(f"  - id: {of}\n", f"  - id: {of}\n    negatives: {text}\n")


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (_negatives("[a toy gun]", on=VALID), "9:16: negatives have no effect under softmax",
         "Use scoring: contrast"),
        (_negatives("[a toy]", "thing"), "19:16: a label without an action has no use for negat",
         "Move them to the acting label"),
        (_negatives('["A  pistol"]'), "9:17: the negative 'A  pistol' is also a prompt of this",
         "Keep it where it belongs"),
        (_negatives('[a toy, "a cat"]'), "9:24: the negative 'a cat' is also a prompt of the cont",
         "it would count double"),
        (_negatives("[a toy, A toy]"), "9:24: the negative 'A toy' is given twice", "Remove one"),
        (_negatives('[" "]'), "9:17: an empty negative", "Write what the image would show"),
        (_negatives(f'["{"word " * 260}"]').replace("\nversion: 1", "\nversion: 1\nmodel: starter"),
         "10:17: prompt and template have at least", "Shorten it"),
        (CONTRAST + CLASSIFIED.replace("- id: nude", "- id: nude\n    prompts: [a nude]"),
         "25:7: a label is scored by its prompts or by a classifier", "Make two labels"),
        (CONTRAST + CLASSIFIED.replace("- id: nude", "- id: nude\n    negatives: [a statue]"),
         "23:16: negatives have no effect on a classifier's score", "Remove them"),
        (VALID.replace("labels:", "decision: top_label\nlabels:") + CLASSIFIED,
         "25:7: top_label needs scores that compete", "Use decision: threshold"),
        (VALID + CLASSIFIED.replace("    action: block\n    threshold: 0.9\n", ""),
         "24:7: a label without an action has no use for a classifier", "Give it an action"),
        (VALID + CLASSIFIED.replace("224, 224", "257, 224"),
         "27:42: crop [257, 224] is larger than what resize 256 leaves", "Crop to that size"),
        (VALID + CLASSIFIED.replace("256", "big"), "27:31: labels[4].classifier.preprocessing.resi"
         "ze: this should be a list, not 'big'", "[first, second]"),
        (VALID + CLASSIFIED.replace("256", "[1, 2, 3]"), "27:31: labels[4].classifier.preprocessin"
         "g.resize: the list has too many items", "Give at most 2"),
        (VALID + CLASSIFIED.replace(SHA, "ab"), "25:15: labels[4].classifier.sha256: ", ""),
        (VALID + CLASSIFIED.replace("column", "colum"), "26:16: unknown key 'colum'",
         "Did you mean 'column'? Known keys here: name, column, activation"),
        (VALID.replace("  - id: gun\n", "  - id: gun\n    taxonomy: {openai: violense}\n"),
         "9:24: labels[0].taxonomy.openai is violense, which is not known",
         "Did you mean 'violence'?"),
        (VALID.replace("  - id: gun\n", "  - id: gun\n    taxonomy: {rekognition: Weapon}\n"),
         "9:29: labels[0].taxonomy.rekognition is Weapon", "Did you mean 'Weapons'?"),
        (VALID.replace("labels:", FITTED.replace("700", "0") + "labels:"), "11:6: fitted.n: ",
         "Use 1 or more"),
        (VALID.replace("labels:", FITTED.replace("2026-11-21", "autumn") + "labels:"),
         "12:9: fitted.date: ", "Write a date, such as 2026-11-21"),
        (VALID.replace("labels:", FITTED.replace("2026-11-21", "0") + "labels:"),
         "12:9: fitted.date: this should be a date, not 0", "Write a date, such as 2026-11-21"),
        (VALID.replace("labels:", FITTED.replace("abcdef", "ABCDEF") + "labels:"),
         "9:18: fitted.preprocessing: this should be digits and the letters a to f", "Copy it as"),
        (VALID.replace("labels:", FITTED.replace("  model: starter\n", "") + "labels:"),
         "8:3: the key 'model' is missing", "Add model"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_cannot_be_is_refused_at_its_place(
    text: str, message: str, remedy: str
) -> None:
    found = [each for each in _problems(text) if each.startswith(f"x.yaml:{message}")]
    assert len(found) == 1, _problems(text)
    assert remedy in found[0]


def test_look_alikes_and_a_classifier_and_a_taxonomy_are_read_as_they_are_written() -> None:
    taxonomy = (
        "taxonomy: {openai: violence, rekognition: Weapons, dsa: STATEMENT_CATEGORY_VIOLENCE}"
    )
    text = _negatives("[a toy gun, a hair dryer]").replace(
        "category: weapons/guns", f"category: weapons/guns\n    {taxonomy}"
    )
    gun, *_, nude = parse_policy((text + CLASSIFIED).encode(), "x.yaml").labels
    assert gun.negatives == ("a toy gun", "a hair dryer")
    assert gun.taxonomy is not None
    assert gun.taxonomy.model_dump() == {
        "openai": "violence",
        "rekognition": "Weapons",
        "dsa": "STATEMENT_CATEGORY_VIOLENCE",
    }
    assert (nude.prompts, nude.classifier and nude.classifier.file) == ((), "nude.onnx")
    assert nude.classifier is not None
    assert nude.classifier.output.model_dump() == {
        "name": None,
        "column": 1,
        "activation": "none",
    }


def test_a_policy_without_the_later_keys_keeps_its_hash_and_one_with_them_gets_another() -> None:
    before = parse_policy(CONTRAST.encode(), "x.yaml")
    assert before.sha256 == "1b5679ef2380acb9f4b9c46f2a82d210f7006f64c643c328cf8ea6b0da24b607"
    nothing = VALID.replace("  - id: gun\n", "  - id: gun\n    taxonomy: {}\n    negatives: []\n")
    assert parse_policy(nothing.encode(), "x.yaml").sha256 == policy().sha256
    texts = [
        _negatives("[a toy gun]"),
        CONTRAST + CLASSIFIED,
        CONTRAST.replace("labels:", FITTED + "labels:"),
    ]
    hashes = {parse_policy(text.encode(), "x.yaml").sha256 for text in texts}
    assert len(hashes) == 3
    assert before.sha256 not in hashes
    for text in texts:  # what is kept of it in the decision log reads back as the same
        read = parse_policy(text.encode(), "x.yaml")
        assert Policy.model_validate(read.content).sha256 == read.sha256


def test_a_policy_of_classifiers_alone_needs_no_context_label() -> None:
    alone = VALID[: VALID.index("  - id: gun")] + CLASSIFIED
    [nude] = parse_policy(alone.encode(), "x.yaml", model="starter").labels
    assert nude.classifier is not None
    with_gun = alone + '  - {id: gun, prompts: ["a gun"], action: block, threshold: 0.8}\n'
    assert "softmax scoring needs a context label" in _problems(with_gun)[0]


def _fitted(**changes: Any) -> Policy:
    content = {"preprocessing": STAMP.preprocessing, "data": ["fairface"], "n": 700,
               "date": "2026-11-21", "model": "starter"}  # fmt: skip
    return policy(fitted={**content, **changes})


@pytest.mark.parametrize(
    ("fitted", "reason", "words"),
    [
        (_fitted(), None, ""),
        (_fitted(model="starter@1"), None, ""),
        (_fitted(model=STAMP.fingerprint), None, ""),
        (_fitted(model="starter@2"), "other-model", "set with starter@2, and starter decides"),
        (_fitted(model="openai/clip"), "other-model", "set with openai/clip, and starter decides"),
        (_fitted(preprocessing="0" * 16), "other-preprocessing", "became pixels in another way"),
        (policy(), "no-record", "unfitted: the file does not say on what"),
    ],
)
def test_thresholds_are_unfitted_but_for_the_model_and_the_pixels_they_were_set_on(
    fitted: Policy, reason: str | None, words: str
) -> None:
    assert fitted.unfitted(STAMP) == reason
    assert words in fitted.unfitted_words(STAMP)
    assert bool(fitted.unfitted_words(STAMP)) == bool(reason)


def test_thresholds_of_a_policy_that_has_none_or_that_classifiers_alone_decide_fit_any_model() -> (
    None
):
    bare = policy(
        decision="top_label",
        labels=[
            {"id": "a", "prompts": ["a"], "action": "block"},
            {"id": "b", "prompts": ["b"]},
        ],
    )
    assert bare.unfitted(STAMP) is None
    labels = parse_policy((VALID + CLASSIFIED).encode(), "x.yaml").model_dump()["labels"]
    classified = _fitted(model="openai/clip").model_copy(
        update={"labels": [*labels[2:4], labels[4]]}
    )
    assert classified.unfitted(STAMP) is None
    assert policy(labels=[*labels[2:4], labels[4]]).unfitted(STAMP) == "no-record"


def test_by_its_name_alone_a_model_is_another_one_and_a_folder_may_be_any(tmp_path: Path) -> None:
    assert "openai/clip decides" in _fitted().unfitted_by_name("openai/clip")
    for fitted, reference in (
        (_fitted(), "starter"),
        (_fitted(model="openai/clip@1"), "openai/clip@1"),
        (_fitted(model="openai/clip@1"), "openai/clip"),
        (_fitted(), str(tmp_path)),
        (_fitted(model="0" * 16), "openai/clip"),
    ):
        assert fitted.unfitted_by_name(reference) == ""
    assert "unfitted: the file" in policy().unfitted_by_name("starter")
