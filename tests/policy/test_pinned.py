"""Examples that are added to the text of a policy's file: nothing else in it changes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from moderation.errors import RequestError
from moderation.policy import Example, Expectation, load_policy, parse_policy
from moderation.policy.pinned import pinned_policy, write_policy
from moderation.policy.yaml_edits import YamlText

HEAD = b"""\
# What we let through.  (Keep the odd layout.)
schema_version:   1
id: "photos-only"
version: 3      # raised by hand
title: >-
  Pages of text
  among photographs
scoring: contrast
labels:
- {id: page-of-text, prompts: ['a page of text',  "a letter"], action: block,
   threshold: 0.80, review_threshold: 0.5}   # from forty pictures
# people are allowed
-   id: animal
    prompts:
    - an animal   # not a toy

    - "a pet"
"""

CAT = Example(image="pictures/a cat.png", expect=Expectation(action="allow"))
PAGE = Example(
    image="../page: one, two.png", expect=Expectation(action="review", label="page-of-text")
)
SHA = Example(sha256="1" * 64, expect=Expectation(action="allow"))

#: Texts behind the labels, and what they become with CAT in them.
LAYOUTS = {
    "none": ("", "examples:\n  - {image: pictures/a cat.png, expect: {action: allow}}\n"),
    "empty": (
        "examples: []   # none yet\n# the end\n",
        "examples:   # none yet\n  - {image: pictures/a cat.png, expect: {action: allow}}\n"
        "# the end\n",
    ),
    "braces": (
        "examples:\n- {image: a.png, expect: {action: allow}}  # why\n\n# later\ntuned_on: [x]\n",
        "examples:\n- {image: a.png, expect: {action: allow}}  # why\n"
        "- {image: pictures/a cat.png, expect: {action: allow}}\n\n# later\ntuned_on: [x]\n",
    ),
    "lines": (
        "examples:\n  -  expect:\n         action: allow  # sure\n     image: 'a.png'\n  # more?\n",
        "examples:\n  -  expect:\n         action: allow  # sure\n     image: 'a.png'\n"
        "  -  image: pictures/a cat.png\n     expect:\n         action: allow\n  # more?\n",
    ),
    "json": (
        'examples: [\n  {"image": "a.png", "expect": {"action": "allow"}}  # why\n]\n',
        'examples: [\n  {"image": "a.png", "expect": {"action": "allow"}},  # why\n'
        '  {"image": "pictures/a cat.png", "expect": {"action": "allow"}}\n]\n',
    ),
    "json with a comma": (
        "examples: [{image: a.png, expect: {action: allow}}, ]\n",
        "examples: [{image: a.png, expect: {action: allow}}, "
        "{image: pictures/a cat.png, expect: {action: allow}}, ]\n",
    ),
    "no line end": (
        "tuned_on: [x]",
        "tuned_on: [x]\nexamples:\n  - {image: pictures/a cat.png, expect: {action: allow}}",
    ),
    "an end": (
        "tuned_on: [x]\n...\n",
        "tuned_on: [x]\nexamples:\n  - {image: pictures/a cat.png, expect: {action: allow}}\n...\n",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_an_example_comes_behind_the_others_in_their_layout(
    layout: str, line_end: str, bom: bytes
) -> None:
    before, after = (
        bom + (HEAD.decode() + text).replace("\n", line_end).encode() for text in LAYOUTS[layout]
    )
    policy = parse_policy(before, "my.yaml")
    edited, found = pinned_policy(policy, before, [CAT], {})
    assert edited == after
    assert found.examples == (*policy.examples, CAT)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_examples_come_in_their_order_whatever_their_names(layout: str) -> None:
    content = HEAD + LAYOUTS[layout][0].encode()
    policy = parse_policy(content, "my.yaml")
    names = ["1.5", "true", "2026-01-01", "- x", "a#b #c.png", 'q"uote\\.png', "späße 🐈.png", "[]"]
    odd = [Example(image=name, expect=Expectation(action="block")) for name in names]
    edited, found = pinned_policy(policy, content, [PAGE, SHA, *odd], {})
    assert found.examples == (*policy.examples, PAGE, SHA, *odd)
    assert found.content == {**policy.content, "examples": found.content["examples"]}
    # One after the other gives the same.
    one_by_one, so_far = content, policy
    for example in (PAGE, SHA, *odd):
        one_by_one, so_far = pinned_policy(so_far, one_by_one, [example], {})
    assert so_far.examples == found.examples
    kept = edited.replace(b",", b"").split(b"\n")
    lost = [line for line in content.replace(b",", b"").split(b"\n") if line not in kept]
    assert all(line.startswith((b"examples: []", b"examples: [{")) for line in lost)


def test_a_file_of_json_stays_json() -> None:
    content = yaml.safe_load(HEAD)
    before = json.dumps(content).encode()
    edited, found = pinned_policy(parse_policy(before, "my.json"), before, [CAT, PAGE], {})
    assert json.loads(edited) == {**content, "examples": json.loads(edited)["examples"]}
    assert found.examples == (CAT, PAGE)


def test_random_layouts_keep_all_other_characters() -> None:
    choice = random.Random(7).choice
    for _ in range(60):
        rows = [
            choice(
                (
                    "  - {image: a.png, expect: {action: allow}}\n",
                    "  - image: b.png\n    expect: {action: allow}\n",
                    "  - expect:\n      action: block\n    image: >-\n      c\n      d.png\n",
                    "  -\n    image: |-\n      e.png\n    expect: {action: allow}\n",
                )
            )
            + choice(("", "\n", "  # said\n", "# left\n\n"))
            for _ in range(choice((1, 2, 3)))
        ]
        tail = choice(("", "tuned_on: [x]\n", "# the end", "\n\n"))
        content = HEAD + ("examples:\n" + "".join(rows) + tail).encode()
        policy = parse_policy(content, "my.yaml")
        edited, found = pinned_policy(policy, content, [PAGE], {})
        assert found.examples == (*policy.examples, PAGE)
        # What was put in is one piece.
        start = next(
            (i for i, (a, b) in enumerate(zip(content, edited, strict=False)) if a != b),
            len(content),
        )
        assert edited[start + len(edited) - len(content) :] == content[start:]


def test_what_an_example_expects_is_replaced_and_comments_stay() -> None:
    text = (
        "examples:\n  - image: a.png\n    expect:  # sure\n      action: 'allow'  # said A\n\n"
        "  - {image: b.png, expect: {label: page-of-text, action: block}}  # B\n"
    )
    content = HEAD + text.encode()
    policy = parse_policy(content, "my.yaml")
    edited, _ = pinned_policy(
        policy, content, [], {0: Expectation(action="block"), 1: Expectation(action="allow")}
    )
    assert edited == HEAD + (
        b"examples:\n  - image: a.png\n    expect:  # sure\n      action: block  # said A\n\n"
        b"  - {image: b.png, expect: {action: allow}}  # B\n"
    )
    edited, found = pinned_policy(policy, content, [], {1: PAGE.expect})
    assert b"{label: page-of-text, action: review}}  # B" in edited
    assert found.examples[1].expect == PAGE.expect
    with_label = {0: Expectation(action="block", label="page-of-text")}
    edited, _ = pinned_policy(policy, content, [], with_label)
    assert (
        b"    expect:  # sure\n      action: block\n      label: page-of-text  # said A" in edited
    )


def test_what_was_left_empty_is_filled_with_a_space_before_it() -> None:
    text = b"examples:\n  - image: a.png\n    expect:\n      action: block\n      label:\n"
    policy = parse_policy(HEAD + text, "my.yaml")
    expected = {0: Expectation(action="review", label="page-of-text")}
    edited, found = pinned_policy(policy, HEAD + text, [PAGE], expected)
    assert b"      action: review\n      label: page-of-text\n" in edited
    assert found.examples[1] == PAGE


def test_a_comment_that_would_be_lost_is_named_with_its_place() -> None:
    text = b"examples:\n  - image: a.png\n    expect:\n      action: allow  # A\n"
    content = HEAD + text + b"      label: page-of-text\n"
    policy = parse_policy(content, "my.yaml")
    line = HEAD.count(b"\n") + 4
    with pytest.raises(RequestError, match=f"my.yaml:{line}:7: a comment stands"):
        pinned_policy(policy, content, [], {0: Expectation(action="block")})


def test_one_number_is_replaced_alone() -> None:
    text = YamlText(HEAD.decode())
    text.replace(("labels", 0, "threshold"), 0.85)
    assert text.text == HEAD.decode().replace("0.80", "0.85")
    text.replace(("labels", 0, "threshold"), 0.85)
    assert text.text == HEAD.decode().replace("0.80", "0.85")


def test_a_written_file_keeps_its_permissions_and_the_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "my.yaml", tmp_path / "my.yaml"
    real.write_bytes(HEAD)
    real.chmod(0o640)
    link.symlink_to("real/my.yaml")
    policy = load_policy(link)
    edited, _ = pinned_policy(policy, HEAD, [CAT], {})
    with pytest.raises(RequestError, match="changed by something else just now"):
        write_policy(link, edited, before=edited)
    assert real.read_bytes() == HEAD
    write_policy(link, edited, before=HEAD)
    assert link.is_symlink()
    assert real.read_bytes() == edited
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["my.yaml"]
