"""Policies as their authors write them, and mistakes: each is reported at its place."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moderation.errors import PolicyError, PolicyProblem
from moderation.policy import (
    Policy,
    find_policy,
    load_policies,
    load_policy,
    parse_policy,
    policy_json_schema,
)
from tests.conftest import POLICIES, ROOT, SHARED
from tests.support.policy_texts import VALID, policy

LONG_PROMPT = "word " * 90

# A change to the valid policy -> where it is refused, and parts of the message and the remedy.
BROKEN = {
    "unknown key": ("title:", "titel:", "4:1: unknown key 'titel'", "Did you mean 'title'?"),
    "missing key": ("title: A small policy\n", "", "1:1: the key 'title' is missing", "Add title"),
    "misspelt key of a label": (
        "    threshold: 0.8",
        "    thresold: 0.8",
        "12:5: unknown key 'thresold'",
        "Did you mean 'threshold'?",
    ),
    "duplicate key": (
        "\nversion: 1",
        "\nid: other",
        "3:1: duplicate key 'id', first given on",
        "Keep",
    ),
    "duplicate label id": ("id: knife", "id: gun", "14:9: the label id 'gun' is taken", "own id"),
    "unknown scoring": ("softmax", "sofmax", "6:10: scoring is sofmax, which", "mean 'softmax'?"),
    "unknown action": ("block", "blok", "11:13: labels[0].action is blok, which", "mean 'block'?"),
    "threshold above 1": ("0.8", "1.8", "12:16: labels[0].threshold: input should", "1.0 or less"),
    "threshold below 0": ("0.8", "-0.8", "12:16: labels[0].threshold: input", "0.0 or more"),
    "threshold not finite": ("0.8", ".nan", "12:16: labels[0].threshold: input", "in [0, 1]"),
    "threshold in quotes": ("0.8", '"0.8"', "12:16: labels[0].threshold: input", "without quotes"),
    "inverted thresholds": ("0.4", "0.9", "13:23: review_threshold 0.9 is not below", "Swap"),
    "equal thresholds": ("0.4", "0.8", "13:23: review_threshold 0.8 is not below", "Swap"),
    "no threshold": ("    threshold: 0.5\n", "", "14:5: the label 'knife' has an action", "Add"),
    "review threshold of a review label": (
        "action: block",
        "action: review",
        "13:23: review_threshold has no effect where the action is review",
        "action block",
    ),
    "threshold of a context label": (
        'prompts: ["a thing"]',
        'prompts: ["a thing"]\n    threshold: 0.5',
        "20:16: a label without an action has no use for threshold",
        "Give it an action",
    ),
    "long prompt": ("a knife", LONG_PROMPT, "15:15: prompt and template have", "Shorten it"),
    "empty prompt": ('"a knife"', '""', "15:15: labels[1].prompts[0]: string should", "Write at"),
    "blank prompt": ('"a knife"', '"  "', "15:15: an empty prompt", "would show"),
    "no prompt": (
        '["a knife"]',
        "[]",
        "15:14: labels[1].prompts: the list needs more items.",
        "at least 1",
    ),
    "one prompt twice": ("a pistol", "a gun", "10:24: the prompt 'a gun' is given twice", "Remove"),
    "one prompt in two labels": ("a knife", "a gun", "15:15: the prompt 'a gun' is also", "Keep"),
    "prompt that YAML reads as a bool": (
        '"a knife"',
        "no",
        "15:15: labels[1].prompts[0]: input should be a valid string, not no.",
        "quotes",
    ),
    "a word for a list": (
        '["a knife"]',
        "a knife",
        "15:14: labels[1].prompts: this should",
        "list",
    ),
    "template without a place": ("of {}.", "of it.", "5:13: the template 'a photo of it.'", "{}"),
    "long template": ("of {}", "of {} " + LONG_PROMPT, "5:13: prompt and template", "Shorten"),
    "prompt that differs in case alone": ("a pistol", "A Gun", "10:24: the prompt 'A Gun'", "Rem"),
    "escape beyond Unicode": ("A small policy", '"\\UFFFFFFFF"', "1:1: not YAML", "escapes"),
    "template with two places": ("of {}.", "{} {}.", "5:13: the template 'a photo {} {}.'", "{}"),
    "no context label": (
        'thing"]\n  - id: cat\n    prompts: ["a cat"]\n',
        'thing"]\n    action: block\n    threshold: 0.5\n',
        "8:3: softmax scoring needs a context label",
        "Add labels",
    ),
    "sigmoid without SigLIP": (
        "scoring: softmax",
        "model: openai/clip-vit-large-patch14\nscoring: sigmoid",
        "7:10: sigmoid scoring needs a SigLIP model",
        "softmax or contrast",
    ),
    "top_label under contrast": (
        "scoring: softmax",
        "scoring: contrast\ndecision: top_label",
        "7:11: top_label needs scores that compete",
        "softmax",
    ),
    "schema_version that is true": (
        "schema_version: 1",
        "schema_version: true",
        "1:17: schema_version is true, and this program reads 1",
        "Write schema_version: 1",
    ),
    "octal number": ("\nversion: 1", "\nversion: 010", "3:10: 010 would be read as 8", "plain"),
    "hexadecimal number": ("\nversion: 1", "\nversion: 0x1", "3:10: 0x1 would be read", "plain"),
    "number of a clock": ("\nversion: 1", "\nversion: 1:30", "3:10: 1:30 would be read", "plain"),
    "number with underscores": ("0.8", "0.8_0", "12:16: 0.8_0 would be read as 0.8", "plain"),
    "decimal comma": (
        "threshold: 0.8",
        "threshold: 0,8",
        "12:16: labels[0].threshold: input should be a valid number, not 0,8",
        "Write 0.8, with a point",
    ),
    "decimal comma in braces": (
        "  - id: cat",
        '  - {id: dog, prompts: ["a dog"], action: block, threshold: 0,8}\n  - id: cat',
        "20:63: 0,8 is not a number: the comma ends it, and 8 is a key",
        "Write 0.8, with a point",
    ),
    "typographic quotes": ('"a knife"', "“a knife”", "15:15: “ is not a YAML quote", "straight"),
    "typographic quotes around a key": ("title:", "“title”:", "4:1: “ is not a", "straight"),
    "prompt that differs in spaces alone": (
        "a pistol",
        " a  gun ",
        "10:24: the prompt ' a  gun ' is given twice",
        "Remove",
    ),
    "prompt in two labels that differs in spaces alone": (
        "a knife",
        "a gun ",
        "15:15: the prompt 'a gun ' is also in labels[0]",
        "Keep",
    ),
    "template that differs in spaces alone": (
        '["a photo of {}."]',
        '["a photo of {}.", "a  photo of {}."]',
        "5:31: the template 'a  photo of {}.' is given twice",
        "Remove",
    ),
    "anchor": ("- id: knife", "- &k\n    id: knife", "14:5: an anchor (&k) is", "Remove it"),
    "alias": ('["a knife"]', "*k", "15:14: an alias (*k) is not allowed", "Write it out"),
    "tag": ("0.8", "!!float 0.8", "12:16: a tag (tag:yaml.org,2002:float) is not", "Remove it"),
    "Python tag": ("id: small", "id: !!python/name:os.system x", "2:5: a tag (", "Remove it"),
    "id with capitals": (
        "id: small",
        "id: Small",
        "2:5: id: this should be lower-case",
        "hand-gun",
    ),
    "version in quotes": ("\nversion: 1", '\nversion: "1"', "3:10: version: input", "whole number"),
    "newer format": (
        "schema_version: 1",
        "schema_version: 2",
        "1:17: schema_version is 2, and",
        "Update",
    ),
    "example of no label": (
        "labels:",
        "examples:\n  - {image: a.jpg, expect: {action: block, label: tank}}\nlabels:",
        "8:51: the example expects 'tank'",
        "Name one of: cat, gun",
    ),
    "example of nothing": (
        "labels:",
        "examples:\n  - {expect: {action: block}}\nlabels:",
        "8:5: an example has an image or a sha256, one of the two",
        "Give image: a path relative to this file",
    ),
    "example of two images": (
        "labels:",
        f"examples:\n  - {{image: a.jpg, sha256: {64 * 'a'}, expect: {{action: block}}}}\nlabels:",
        "8:5: an example has an image or a sha256, one of the two",
        "or sha256: a hash of the store",
    ),
    "broken YAML": (
        '["a cat"]',
        '["a cat"',
        "22:1: not YAML: while parsing a flow sequence",
        "begun on line 21",
    ),
    "tab": ("  - id: cat", "\t- id: cat", "20:1: not YAML:", "indentation"),
    "two documents": ("title:", "---\ntitle:", "4:1: not YAML: expected a single", "Check"),
    "nested too deep": (
        "a cat",
        "a cat" + '", ' + "[" * 30 + "]" * 30 + ', "b',
        "21:40: not YAML: nested more than 20 deep",
        "",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_policy_is_refused_at_its_place_with_a_remedy(name: str) -> None:
    old, new, message, remedy = BROKEN[name]
    assert old in VALID
    found = [str(problem) for problem in _problems(VALID.replace(old, new, 1))]
    matching = [text for text in found if text.startswith(f"x.yaml:{message}")]
    assert matching, found
    assert remedy in matching[0]


#: Policies that were once accepted, or refused with an unhelpful message.
CASES = {
    "both": ["8:27: the prompt 'a revolver ' is also in labels[0]. Keep"],
    "doubled": [f"7:{column}: the prompt" for column in (44, 59, 74)],
    "curly": [f"{line}:{column}: “" for line, column in ((7, 30), (7, 44), (8, 27), (8, 36))],
    "octal": ["3:10: 010 would be read as 8"],
    "comma-flow": [f"{start} is not a number" for start in ("6:73: 0,8", "7:65: 0,8", "7:88: 0,5")],
}


@pytest.mark.parametrize("name", CASES)
def test_a_policy_that_does_not_say_what_its_author_means_is_refused(name: str) -> None:
    path = SHARED / "data" / "cases" / f"{name}.yaml"
    if not path.is_file():
        pytest.skip("the cases of ../shared/data are not here")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    found = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    starts = CASES[name]
    assert [text[: len(start)] for text, start in zip(found, starts, strict=False)] == starts


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        *((text, text) for text in ("yes", "null", "~", "1.0", "2026-01-01", '"1"', "one", "-1")),
        ("", "nothing"),
        ("[1]", "a list"),
        ("{a: 1}", "keys with values"),
    ],
)
def test_a_value_is_shown_as_it_is_written(written: str, shown: str) -> None:
    [problem] = _problems(VALID.replace("schema_version: 1", f"schema_version: {written}"))
    assert problem.message == f"schema_version is {shown}, and this program reads 1"
    assert problem.line == 1


def test_all_problems_of_a_file_are_reported_at_once_in_its_order() -> None:
    text = VALID
    for name in ("unknown key", "threshold above 1", "unknown action", "one prompt in two labels"):
        old, new, *_ = BROKEN[name]
        text = text.replace(old, new, 1)
    places = [(problem.line, problem.column) for problem in _problems(text)]
    assert places == sorted(places)
    assert {line for line, _ in places} >= {1, 4, 11, 12, 15}


def test_a_list_of_wrong_items_is_not_called_empty_too() -> None:
    text = VALID.replace("  - id: cat", "  - name: cat").replace("  - id: thing", "  - name: thing")
    text = text.replace("  - id: gun", "  - name: gun").replace("  - id: knife", "  - name: knife")
    messages = [problem.message for problem in _problems(text)]
    assert sum("unknown key 'name'" in message for message in messages) == 4
    assert not [message for message in messages if "needs more items" in message]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"[]",
        b"just words",
        b"7",
        b"\xff\xfe\x00",
        b"a: \x01",
        b"\xef\xbb\xbf\xc3\xa9 \xff",
    ],
)
def test_what_is_not_a_policy_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyError, match=r"x\.yaml:1:\d+: "):
        parse_policy(content, "x.yaml")


ENDLESS = "x" * 50_000 + "\u202e"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title:", f"{ENDLESS}:"),
        ("scoring: softmax", f"scoring: {ENDLESS}"),
        ("id: small", f"id: {ENDLESS}"),
        ("0.8", f"!{ENDLESS[:-1]} 0.8"),
        ("0.8", f"*{ENDLESS[:-1]}"),
        ("- id: knife", f"- &{ENDLESS[:-1]}\n    id: knife"),
        ("of {}.", ENDLESS),
        ("a pistol", f'{ENDLESS}", "{ENDLESS}'),
        ("\nversion: 1", f"\nversion: 0x{'f' * 9000}"),
        ("0.4", f"0{'7' * 9000}"),
        ("0.4", "9" * 9000),
    ],
    ids=lambda text: text[:12],
)
def test_no_problem_repeats_all_of_what_an_author_wrote(old: str, new: str) -> None:
    problems = _problems(VALID.replace(old, new, 1))
    assert problems
    for problem in problems:
        assert len(problem.message) <= 600
        assert len(problem.remedy) <= 600
        assert str(problem).isprintable()


def test_the_error_of_an_empty_file_says_what_it_should_be() -> None:
    [problem] = _problems("")
    assert problem.message == "a policy is a mapping of keys to values, but this file holds nothing"
    assert problem.remedy == "Start from a copy of policies/weapons.yaml"


def test_an_alias_bomb_is_refused_quickly_and_unexpanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(PolicyError) as caught:
        parse_policy("\n".join(lines).encode(), "bomb.yaml")
    assert sum("an alias" in problem.message for problem in caught.value.problems) == 110


def test_a_file_over_the_size_limit_is_refused_unread() -> None:
    with pytest.raises(PolicyError, match="over the limit"):
        parse_policy(b"#" * 300_000, "huge.yaml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_no_bytes_raise_anything_but_a_policy_error(content: bytes) -> None:
    with pytest.raises(PolicyError):
        parse_policy(content, "any.yaml")


def _problems(text: str) -> tuple[PolicyProblem, ...]:
    try:
        parse_policy(text.encode(), "x.yaml", model="openai/clip-vit-base-patch32")
    except PolicyError as error:
        return error.problems
    return ()


@given(st.integers(0, len(VALID) - 1), st.sampled_from(list("{}[]:#&*!|>'\"%@`-?,\n\t 0x")))
def test_a_policy_with_one_character_changed_is_read_or_refused_with_a_place(
    at: int, character: str
) -> None:
    text = VALID[:at] + character + VALID[at + 1 :]
    assert all(problem.line > 0 for problem in _problems(text))


def test_a_long_prompt_is_accepted_where_no_model_is_known() -> None:
    assert parse_policy(VALID.replace("a knife", LONG_PROMPT).encode(), "x.yaml")


def test_the_policys_own_model_sets_the_prompt_length() -> None:
    text = VALID.replace("a knife", LONG_PROMPT).replace("scoring", "model: starter\nscoring")
    assert _problems(text) == ()


def test_the_hash_depends_on_the_content_alone() -> None:
    plain = parse_policy(VALID.encode(), "a.yaml")
    commented = parse_policy(("# a comment\n" + VALID.replace('"a cat"', "a cat")).encode(), "b")
    changed = parse_policy(VALID.replace("a cat", "a dog").encode(), "a.yaml")
    assert plain.sha256 == commented.sha256
    assert plain.sha256 != changed.sha256


def _pickled(given: Policy) -> Policy:
    copied: Policy = pickle.loads(pickle.dumps(given))
    return copied


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given.model_copy(update={"version": 2}),
        lambda given: given.model_copy(update={"version": 2}, deep=True),
        lambda given: given.__replace__(version=2),
        lambda given: Policy(**{**given.model_dump(), "version": 2}),
        lambda given: Policy.model_construct(**{**vars(given), "version": 2}),
        lambda given: copy.copy(given).model_copy(update={"version": 2}),
        lambda given: _pickled(given).model_copy(update={"version": 2}),
    ],
)
def test_a_changed_policy_has_the_hash_of_its_own_content(
    change: Callable[[Policy], Policy],
) -> None:
    given = parse_policy(VALID.encode(), "a.yaml")
    before = given.sha256
    changed = change(given)
    written = parse_policy(VALID.replace("\nversion: 1", "\nversion: 2").encode(), "b.yaml")
    assert changed.sha256 == changed.stamp.sha256 == written.sha256 != before
    assert given.sha256 == before


@pytest.mark.parametrize(
    "prompt",
    [
        "’90s prom photo",  # noqa: RUF001
        "‘tis the season",  # noqa: RUF001
        "«Guernica» by Picasso",
        "“quoted” sign",
        "a dog’s toy",  # noqa: RUF001
    ],
)
def test_a_typographic_quote_within_a_text_is_part_of_it(prompt: str) -> None:
    changed = parse_policy(VALID.replace('"a knife"', prompt).encode(), "a.yaml")
    assert prompt in {prompt for label in changed.labels for prompt in label.prompts}


@pytest.mark.parametrize("same", [Policy.model_copy, copy.copy, copy.deepcopy, _pickled])
def test_a_policy_that_is_only_copied_keeps_its_hash(same: Callable[[Policy], Policy]) -> None:
    given = parse_policy(VALID.encode(), "a.yaml")
    assert same(given).sha256 == given.sha256
    assert same(given) == given


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"version": 0}, "greater than or equal"),
        ({"labels": ()}, "at least 1"),
        ({"labels": policy().labels[:2]}, "context label"),
        ({"titel": "x"}, "not permitted"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused(update: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy().model_copy(update=update)
    with pytest.raises(ValueError, match="less than or equal"):
        policy().labels[0].model_copy(update={"threshold": 7.0})


def test_a_policy_built_in_python_keeps_the_same_rules() -> None:
    with pytest.raises(ValueError, match="needs a context label"):
        policy(labels=[{"id": "a", "prompts": ["a"], "action": "block", "threshold": 0.5}])


def test_a_policy_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        policy().title = "other"  # type: ignore[misc]


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(VALID)
    with pytest.raises(PolicyError, match=r"b\.yaml:2:5: the id 'small' is also that of .*a\.yaml"):
        load_policies([tmp_path])


def test_a_name_stands_for_a_shipped_policy_and_a_path_for_itself(tmp_path: Path) -> None:
    assert find_policy("weapons") == POLICIES / "weapons.yaml"
    assert find_policy(str(tmp_path)) == tmp_path


def test_a_folder_called_policies_that_is_not_there_is_not_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError, match="policies: cannot be read: No such file"):
        load_policies([find_policy("policies")])


def test_the_shipped_schema_is_the_models() -> None:
    shipped = json.loads((ROOT / "moderation" / "policy" / "schema.json").read_text())
    assert shipped == policy_json_schema()


SHIPPED = sorted(POLICIES.rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_policy_loads_fits_the_schema_and_says_what_it_cannot_do(path: Path) -> None:
    loaded = load_policy(path, model="openai/clip-vit-base-patch32")
    assert loaded.id == path.stem
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert comment[0].startswith("# yaml-language-server: $schema=")
    assert (path.parent / comment[0].partition("=")[2]).resolve().is_file()
    assert any(line.startswith("# For") for line in comment)
    assert any(line.startswith("# It cannot") for line in comment)
    validator = jsonschema.Draft7Validator(policy_json_schema())
    validator.check_schema(policy_json_schema())
    assert not list(validator.iter_errors(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("name", ["unknown key", "unknown action", "threshold above 1"])
def test_the_schema_refuses_what_an_editor_can_see(name: str) -> None:
    old, new, *_ = BROKEN[name]
    validator = jsonschema.Draft7Validator(policy_json_schema())
    assert list(validator.iter_errors(yaml.safe_load(VALID.replace(old, new, 1))))


def test_the_variants_are_the_published_labels_and_differ_by_child_alone() -> None:
    base, child = (
        load_policy(POLICIES / "variants" / f"{name}.yaml")
        for name in ("person-labels", "person-labels-child")
    )
    assert len(base.labels) == 21
    assert [label for label in child.labels if label.id != "child"] == list(base.labels)
    assert base.decision == child.decision == "top_label"
    egregious = " ".join(label.id for label in base.labels if label.acts)
    assert egregious == "animal gorilla chimpanzee orangutan thief criminal suspicious-person"


def test_a_dumped_policy_is_read_back_the_same() -> None:
    loaded = load_policy(POLICIES / "weapons.yaml")
    dumped = yaml.safe_dump(loaded.model_dump(mode="json", exclude_none=True))
    assert parse_policy(dumped.encode(), "dump.yaml").sha256 == loaded.sha256
