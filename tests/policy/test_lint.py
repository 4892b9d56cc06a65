"""Lint of a policy: a clean file names nothing, each slip is named, and a reason suppresses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from moderation.policy import load_policy, parse_policy
from moderation.policy.lint.explanation import explanation
from moderation.policy.lint.finding import LEVELS, LintFinding
from moderation.policy.lint.linted_policy import HighestScores, LintedPolicy, TextVectors
from moderation.policy.lint.linting import lint_policies, lint_policy
from moderation.policy.lint.registry import CODES, LINT_RULES
from tests.conftest import POLICIES

CLEAN = """\
# For: a shop that shows no weapons.
schema_version: 1
id: shop
version: 1
title: Weapons in a shop
fitted: {model: starter, preprocessing: "9be444f467e9d418", data: [own], n: 9, date: "2026-11-21"}
templates: ["a photo of {}."]
scoring: contrast
labels:
  - id: handgun
    category: weapons/firearms
    prompts: ["a handgun on a table", "an old revolver"]
    negatives: ["a toy pistol", "a power drill"]
    action: block
    threshold: 0.8
    review_threshold: 0.5
  - id: blade
    prompts: ["a combat knife", "a long sword"]
    action: review
    threshold: 0.7
  - id: person
    prompts: ["a person", "a portrait of a person"]
  - id: thing
    prompts: ["a household object", "a piece of furniture", "food"]
examples:
  - {image: gun.png, expect: {action: block, label: handgun}}
  - {image: knife.png, expect: {action: review, label: blade}}
"""


class Slip(NamedTuple):
    """What an author writes in the place of something of the clean file, and on which line."""

    code: str
    old: str
    new: str
    line: int


SLIPS = [
    Slip("people-in-target", "an old revolver", "a Black person with a gun", 12),
    Slip("people-in-target", "an old revolver", "a Muslim headscarf", 12),
    Slip("people-in-target", "weapons/firearms", "crime/young-men", 11),
    Slip("people-in-context", "a power drill", "a white woman", 13),
    Slip("people-in-target", "an old revolver", "an underage person with a gun", 12),
    Slip("people-in-target", "an old revolver", "a Nigerian holding a gun", 12),
    Slip("people-in-target", "an old revolver", "the gun of an African-American", 12),
    Slip("people-in-target", "an old revolver", "a wheelchair user with a gun", 12),
    Slip("judged-people", "an old revolver", "a thief with a revolver", 12),
    Slip("person-name", "an old revolver", "Donald Trump at a table", 12),
    Slip("negation", "an old revolver", "a gun, not a toy", 12),
    Slip("negation", "a piece of furniture", "a table without weapons", 24),
    Slip("negation", "a piece of furniture", "something that isn't a gun", 24),
    Slip("verdict-word", "an old revolver", "an illegal weapon", 12),
    Slip("verdict-word", "a piece of furniture", "a safe picture", 24),
    Slip("verdict-word", "a piece of furniture", "other", 24),
    Slip("instruction", "an old revolver", "is there a gun in the picture?", 12),
    Slip("instruction", "an old revolver", "flag any weapons in the picture", 12),
    Slip("several-things", "an old revolver", "a revolver, a rifle or a shotgun", 12),
    Slip("number", "an old revolver", "3 guns on a table", 12),
    Slip("curly-quote", "an old revolver", "a gun called “the judge”", 12),
    Slip("invisible-sign", "an old revolver", "an old\u00a0revolver", 12),
    Slip("stray-space", "an old revolver", "an old revolver ", 12),
    Slip("unfinished", "title: Weapons in a shop", "title: TODO", 5),
    Slip("unfinished", "an old revolver", "a photo of {}", 12),
    Slip("name-of-a-program", "an old revolver", "old_revolver", 12),
    Slip("single-word", "an old revolver", "revolver", 12),
    Slip("final-point", "an old revolver", "an old revolver.", 12),
    Slip("article", "an old revolver", "a old revolver", 12),
    Slip("article", "an old revolver", "an unicorn with a gun", 12),
    Slip("article", "an old revolver", "a AK-47 rifle", 12),
    Slip("article", "an old revolver", "a X-ray of a gun", 12),
    Slip("article", "an old revolver", "a 8mm pistol", 12),
    Slip("article", "an old revolver", "a hour before the duel", 12),
    Slip("other-script", "an old revolver", "старый револьвер", 12),
    Slip("other-script", "an old revolver", "an old revolver 🔫", 12),
    Slip("other-language", "an old revolver", "eine geladene Pistole", 12),
    Slip("other-language", "an old revolver", "une arme sur la table", 12),
    Slip("unknown-word", "an old revolver", "an old revovler", 12),
    Slip("bare-template", "a photo of {}.", "{}.", 7),
    Slip("bare-template", '["a photo of {}."]', '["{}", "a photo of {}."]', 7),
    Slip("twin-templates", '["a photo of {}."]', '["a photo of {}", "a photo of {}."]', 7),
    Slip("repeats-template", "an old revolver", "a photo of an old revolver", 12),
    Slip("repeats-template", "an old revolver", "a picture of an old revolver", 12),
    Slip("repeats-template", "an old revolver", "a photo that shows an old revolver", 12),
    Slip("name-of-a-program", "an old revolver", "(old revolver:1.5)", 12),
    Slip("target-in-context", "a household object", "a combat knife set", 18),
    Slip("twin-categories", "id: blade\n", "id: blade\n    category: weapon/firearm\n", 18),
    Slip("two-articles", '["a photo of {}."]', '["a photo of a {}."]', 12),
    Slip("same-words", "an old revolver", "the handguns on the table", 12),
    Slip("same-words", "a household object", "an handgun on a table!", 24),
    Slip("key-without-effect", "  - id: person\n", "  - id: person\n    severity: low\n", 22),
    Slip("threshold-at-end", "threshold: 0.7", "threshold: 1.0", 20),
    Slip("threshold-at-end", "threshold: 0.7", "threshold: 0", 20),
    Slip("threshold-below-chance", "threshold: 0.7", "threshold: 0.2", 20),
    Slip("fitted-elsewhere", "model: starter", "model: some/clip", 6),
    Slip("missing-example", "image: knife.png", "image: knives.png", 27),
    Slip("contradicting-example", "review, label: blade", "allow, label: blade", 27),
    Slip("contradicting-example", "review, label: blade", "allow, label: thing", 27),
    Slip("contradicting-example", "image: knife.png", "image: gun.png", 27),
    Slip("untested-label", ", label: blade", "", 17),
    Slip("shipped-id", "id: shop", "id: weapons", 3),
    Slip("ignore-without-reason", "version: 1\nt", "version: 1 # lint: ignore negation\nt", 4),
    Slip("ignore-unknown-code", "version: 1\nt", "version: 1 # lint: ignore nonsense: why\nt", 4),
    Slip("ignore-unused", "version: 1\nt", "version: 1 # lint: ignore negation: why\nt", 4),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples' files; lint looks only whether they are there."""
    path = tmp_path_factory.mktemp("policies")
    for name in ("gun.png", "knife.png"):
        (path / name).write_bytes(b"")
    return path


def linted(text: str, folder: Path, model: str = "starter") -> LintedPolicy:
    return LintedPolicy(parse_policy(text.encode(), "shop.yaml"), model, folder)


def found(text: str, folder: Path) -> list[LintFinding]:
    return lint_policy(linted(text, folder))


def codes(text: str, folder: Path) -> set[str]:
    return {finding.code for finding in found(text, folder)}


def test_a_clean_file_names_nothing(folder: Path) -> None:
    assert found(CLEAN, folder) == []


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip.code}-{slip.new[:20]}")
def test_a_slip_is_named_at_its_place(slip: Slip, folder: Path) -> None:
    assert CLEAN.count(slip.old) == 1
    there = found(CLEAN.replace(slip.old, slip.new), folder)
    assert slip.line in [each.line for each in there if each.code == slip.code], there
    assert {each.level for each in there if each.code == slip.code} == {CODES[slip.code][0]}


@pytest.mark.parametrize(
    "prompt",
    [
        *("an 'open' sign with a gun", "an éclair with a gun", "a vitamin A injection"),
        *("an Übermensch with a gun", "a Ouija board", "a class-A amplifier", "an f1 car"),
    ],
)
def test_a_right_article_is_not_named(folder: Path, prompt: str) -> None:
    assert "article" not in codes(CLEAN.replace("an old revolver", prompt), folder)


SOFTMAX_ALONE = """\
schema_version: 1
id: small
version: 1
title: Reports
labels:
  - {id: gun, prompts: ["a handgun"], action: allow, threshold: 0.8}
  - {id: toy, prompts: ["a toy pistol"]}
"""


def test_what_a_whole_policy_lacks_is_named(folder: Path) -> None:
    assert codes(SOFTMAX_ALONE, folder) == {
        "no-neutral-label",
        "thin-context",
        "only-reports",
        "unfitted",
        "untested-label",
    }
    sigmoid = SOFTMAX_ALONE.replace("labels:", "model: some/siglip\nscoring: sigmoid\nlabels:")
    assert not {"no-neutral-label", "thin-context"} & codes(sigmoid, folder)


def test_templates_are_useless_where_classifiers_score_all_labels(folder: Path) -> None:
    content = load_policy(POLICIES / "sexual.yaml").content
    label = content["labels"][0]
    text = f"""\
schema_version: 1
id: nsfw
version: 1
title: Nudity
templates: ["a photo of {{}}."]
labels:
  - id: {label["id"]}
    classifier: {label["classifier"]}
    action: block
    threshold: 0.8
"""
    assert "unused-templates" in codes(text, folder)
    without = text.replace("templates", "# templates")
    assert "unused-templates" not in codes(without, folder)
    assert not {"no-neutral-label", "thin-context"} & codes(without, folder)


INNOCENT = [
    "a bank safe",
    "a legal pad",
    "a can of spam",
    "a wanted poster",
    "a non-stick pan",
    "a do not enter sign",
    "a white powder in a bag",
    "a black handgun",
    "a brown paper bag",
    "a snowman with a gun",
    "a no smoking sign",
    "an AK-47 rifle",
    "a 9mm pistol",
    "an MP5 on a table",
    "a unicorn toy with a gun",
    "an honest looking fake",
    "a USB stick",
    "a screenshot of a website",
    "a colourful tattoo",
    "an Iron Cross medal",
    "an Indian knife on a table",
    "an Indian and a Chinese sword",
    "a revolver of the American West",
    "a black and white revolver",
    "a used syringe on the ground",
    "a drawing of a gun",
    "an SUV with a gun",
    "a terrorist flag",
    "an 8-ball",
    "an e-cigarette",
    "a T-shirt with a gun",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_a_text_that_is_right_is_not_named(text: str, folder: Path) -> None:
    assert found(CLEAN.replace("an old revolver", text), folder) == []


def test_a_model_of_many_languages_may_read_any(folder: Path) -> None:
    text = CLEAN.replace("an old revolver", "старый револьвер")
    text = text.replace("a long sword", "eine geladene Pistole")
    assert {"other-script", "other-language"} <= codes(text, folder)
    many = linted(text.replace("model: starter", "model: google/siglip2-base"), folder)
    of_many = replace(many, model="google/siglip2-base")
    assert lint_policy(of_many) == []


# Suppression


NEGATED = CLEAN.replace("an old revolver", "a gun without a holster")


@pytest.mark.parametrize(
    "comment",
    [
        ("    prompts: [\"a handgun", "    # lint: ignore negation: a\n    prompts: [\"a handgun"),
        ("holster\"]", "holster\"]  # lint: ignore negation: holsters have a label of their own"),
        ("# For: a", "# lint: ignore-file negation: holsters have a label\n# For: a"),
        (
            "    prompts: [\"a handgun",
            "    # lint: ignore negation: why\n    # Another comment.\n    prompts: [\"a handgun",
        ),
    ],
)  # fmt: skip
def test_a_comment_with_a_reason_suppresses_and_changes_no_hash(
    comment: tuple[str, str], folder: Path
) -> None:
    assert codes(NEGATED, folder) == {"negation"}
    text = NEGATED.replace(*comment)
    assert found(text, folder) == []
    assert linted(text, folder).policy.sha256 == linted(NEGATED, folder).policy.sha256
    with_windows_line_ends = text.replace("\n", "\r\n")
    assert found(with_windows_line_ends, folder) == []


def test_a_comment_without_a_reason_suppresses_nothing(folder: Path) -> None:
    text = NEGATED.replace('holster"]', 'holster"]  # lint: ignore negation')
    assert codes(text, folder) == {"negation", "ignore-without-reason"}


def test_a_comment_suppresses_only_its_code_and_line(folder: Path) -> None:
    elsewhere = NEGATED.replace("action: block\n", "action: block  # lint: ignore negation: no\n")
    assert codes(elsewhere, folder) == {"negation", "ignore-unused"}
    other = NEGATED.replace('holster"]', 'holster"]  # lint: ignore number: no')
    assert codes(other, folder) == {"negation", "ignore-unused"}


@pytest.mark.parametrize("code", ["invalid", "ignore-unused"])
def test_some_codes_cannot_be_suppressed(code: str, folder: Path) -> None:
    text = CLEAN.replace("version: 1\nt", f"version: 1  # lint: ignore {code}: please\nt")
    assert codes(text, folder) == {"ignore-unknown-code"}


def test_a_sign_inside_a_text_begins_no_comment(folder: Path) -> None:
    text = CLEAN.replace(
        "title: Weapons in a shop", 'title: "A # lint: ignore nonsense: in a title"'
    )
    assert found(text, folder) == []


def test_a_comment_of_a_rule_that_did_not_look_is_not_called_unused(folder: Path) -> None:
    text = CLEAN.replace(
        "threshold: 0.7", "threshold: 0.7  # lint: ignore threshold-not-reached: new"
    )
    seen = linted(text, folder)
    assert lint_policy(seen) == []
    reached = HighestScores({"handgun": 0.9, "blade": 0.8}, 20, "pictures")
    assert [f.code for f in lint_policy(replace(seen, highest=reached))] == ["ignore-unused"]


# What a rule needs beside the file


def test_a_threshold_that_no_image_reaches_is_named_with_n(folder: Path) -> None:
    highest = HighestScores({"handgun": 0.6, "blade": 0.699}, 40, "pictures")
    said = lint_policy(replace(linted(CLEAN, folder), highest=highest))
    assert [(each.code, each.line) for each in said] == [
        ("threshold-not-reached", 15),
        ("threshold-not-reached", 20),
    ]
    assert "(n = 40)" in said[0].message
    assert "0.600" in said[0].message


def test_a_version_that_was_not_raised_is_named(folder: Path) -> None:
    old = linted(CLEAN, folder).policy

    def said(new: str) -> list[tuple[str, int]]:
        now = replace(linted(new, folder), committed=old)
        return [(each.code, each.line) for each in lint_policy(now)]

    edited = CLEAN.replace("threshold: 0.7", "threshold: 0.75")
    assert said(edited) == [("version-not-raised", 4)]
    assert said(edited.replace("version: 1\nt", "version: 2\nt")) == []
    assert said(CLEAN.replace("# For:", "# Made for:")) == []
    assert said(CLEAN.replace("id: shop", "id: another").replace("0.7", "0.75")) == []
    an_example_more = "  - {image: gun.png, expect: {action: block}}\n"
    assert said(CLEAN.replace(CLEAN[CLEAN.index("  - {image: gun") :], an_example_more)) == [
        ("untested-label", 10),
        ("untested-label", 17),
    ]


def test_labels_that_are_one_to_the_model_are_named(folder: Path) -> None:
    seen = linted(CLEAN, folder)
    rows = np.eye(len(seen.texts), dtype=np.float32)
    labels = np.eye(len(seen.policy.labels), dtype=np.float32)
    assert lint_policy(replace(seen, vectors=TextVectors(rows, labels, "starter"))) == []
    rows[1, :2] = 0.995, 0.0998749  # "an old revolver" beside the first prompt of its label
    labels[3, :] = 0.6, 0.0, 0.0, 0.8  # not near enough to handgun
    apart = TextVectors(rows, labels, "starter")
    said = lint_policy(replace(seen, vectors=apart))
    assert [(each.code, each.line, each.column) for each in said] == [("near-duplicate", 12, 39)]
    assert "cosine 0.995, usual is 0.00" in said[0].message
    labels[3, :] = 0.81, 0.0, 0.0, 0.5864298
    said = lint_policy(replace(seen, vectors=apart))
    assert [each.code for each in said] == ["shadowed-label", "near-duplicate"]
    assert "'handgun' and 'thing' compete" in said[0].message
    # Under contrast two acting labels do not compete.
    labels[3, :] = 0.0, 0.0, 0.0, 1.0
    labels[1, :] = labels[0]
    assert [each.code for each in lint_policy(replace(seen, vectors=apart))] == ["near-duplicate"]


def test_what_is_usual_is_not_known_of_a_few_texts(folder: Path) -> None:
    seen = linted(SOFTMAX_ALONE, folder)
    same = TextVectors(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), "starter")
    assert not {"near-duplicate", "shadowed-label"} & {
        each.code for each in lint_policy(replace(seen, vectors=same))
    }


def test_two_files_of_one_id_are_named(folder: Path) -> None:
    def named(*files: tuple[str, str]) -> list[tuple[str, str, int]]:
        parsed = [parse_policy(text.encode(), path) for path, text in files]
        found = lint_policies([LintedPolicy(policy, "starter", folder) for policy in parsed])
        return [(each.path, each.code, each.line) for each in found]

    assert named(("a.yaml", CLEAN), ("b.yaml", CLEAN)) == [("b.yaml", "same-id", 3)]
    assert named(("a.yaml", CLEAN), ("a.yaml", CLEAN)) == []
    other = CLEAN.replace("id: shop", "id: another")
    assert named(("a.yaml", CLEAN), ("b.yaml", other)) == []
    meant = CLEAN.replace("id: shop", "id: shop  # lint: ignore same-id: the next version")
    assert named(("a.yaml", CLEAN), ("b.yaml", meant)) == []


# The registry and its page


def test_the_page_explains_every_code_and_no_other() -> None:
    page = (POLICIES.parent / "docs" / "lint.md").read_text()
    titles = [
        line.removeprefix("### `").rstrip("`")
        for line in page.splitlines()
        if line.startswith("### `")
    ]
    assert sorted(titles) == sorted(CODES)
    for code, (level, _) in CODES.items():
        assert f"\n{level.capitalize()}. " in explanation(code), code


def test_codes_are_unique_and_of_known_levels() -> None:
    assert {level for level, _ in CODES.values()} == set(LEVELS)
    assert set(LINT_RULES) < set(CODES)
    assert all(rule.code == code for code, rule in LINT_RULES.items())


def test_every_code_is_named_by_a_test() -> None:
    text = Path(__file__).read_text()
    assert [code for code in CODES if f'"{code}"' not in text] == []


@pytest.mark.parametrize("path", sorted(POLICIES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_policies_are_clean_or_say_why(path: Path) -> None:
    assert lint_policy(LintedPolicy(load_policy(path), "starter", path.parent)) == []
