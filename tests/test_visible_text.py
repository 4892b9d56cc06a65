"""Invisible characters are written out, and no others."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.visible_text import brief, json_text, lines, one_line, shown_name

ANY = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs"]), max_size=100)
#: Blank as a space or ignored by whatever draws, and yet letters, signs or marks.
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"


def test_every_character_that_acts_or_has_no_shape_is_written_out() -> None:
    seen = {chr(point) for point in range(0x110000) if one_line(chr(point)) == chr(point)}
    unseen = {sign for sign in seen if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert not unseen
    assert not set(BLANK) & seen
    letters = {
        chr(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point))[0] in "LNPSZ"
        and unicodedata.category(chr(point)) not in ("Zl", "Zp")
    }
    assert letters - seen <= set(BLANK)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat & dog ü 猫.jpg", "cat & dog ü 猫.jpg"),
        ("a\x1b[2K\rb\n\t\x7f\x9b", r"a\x1b[2K\rb\n\t\x7f\x9b"),
        ("a\u202egpj.exe\u2066\u200f\u061c", r"a\u202egpj.exe\u2066\u200f\u061c"),
        ("a\u200b\ufeff\u3164\U000e0041", r"a\u200b\ufeff\u3164\U000e0041"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg"),
        (r"a\x1b", r"a\\x1b"),
    ],
)
def test_a_name_is_shown_with_what_is_in_it(name: str, shown: str) -> None:
    assert shown_name(name) == shown


@given(ANY, ANY)
def test_no_two_names_look_alike(one: str, other: str) -> None:
    assert (shown_name(one) == shown_name(other)) == (one == other)


@given(ANY)
def test_what_is_printed_is_safe_once_and_twice(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode() or not text  # no half of a surrogate pair, which no stream takes
    assert one_line(shown) == shown
    assert lines(text).count("\n") == text.count("\n")
    assert lines(text).replace("\n", "").replace("\t", "") == one_line(
        text.replace("\n", "").replace("\t", "")
    )


@given(st.dictionaries(ANY, ANY | st.lists(ANY), max_size=3), st.sampled_from([None, 2]))
def test_json_is_safe_on_a_terminal_and_reads_back(value: object, indent: int | None) -> None:
    text = json_text(value, indent)
    assert one_line(text.replace("\n", "")) == text.replace("\n", "")
    # Two halves side by side are one character in JSON, as they are in UTF-16.
    assert json.loads(text) == json.loads(json.dumps(value))


def test_json_keeps_letters_of_all_languages() -> None:
    assert json_text(["猫", "é", "😀", "\u202e"]) == '["猫", "é", "😀", "\\u202e"]'
    assert os.fsencode(json.loads(json_text(os.fsdecode(b"caf\xe9")))) == b"caf\xe9"


@given(st.text() | st.text("a\n\x1b\u202e\ud800", min_size=80), st.integers(60, 200))
def test_a_brief_text_is_short_on_one_line_and_made_once(text: str, most: int) -> None:
    shown = brief(text, most)
    assert len(shown) <= most
    assert shown == one_line(shown)
    assert brief(shown, most) == shown


def test_a_brief_text_has_the_beginning_and_the_end_of_a_long_one() -> None:
    assert brief("short: é") == "short: é"
    shown = brief("there is no file " + "x" * 10**6 + ". Look", 100)
    assert shown.startswith("there is no file xxx")
    assert " ... (of 1,000,023 characters) ... xxx" in shown
    assert shown.endswith(". Look")
