"""The rules for language of CONTRIBUTING.md, where a program can find what is against them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import language
from tests.conftest import ROOT

READ = [path for path in language.files() if language.is_read(path)]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", READ, ids=name)
def test_no_phrase_reads_like_a_translation(path: Path) -> None:
    assert language.findings(path) == []


def found(tmp_path: Path, file: str, text: str) -> list[tuple[int, str]]:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    return [(line, phrase) for line, phrase, _ in language.findings(path)]


PHRASES = [
    ("Retried if it may pass. Else it is final.", "Else"),
    ("it waits; else it goes on", "; else"),
    ("a sum, and the highest label else.", "label else"),
    ("An address that is none is refused.", "is none"),
    ("a file whose rows are none", "whose rows are none"),
    ("What is no JSON is refused.", "is no JSON"),
    ("The app is started anew.", "anew"),
    ("a phrase that\nis no\nJSON", "is no JSON"),
    ("It waits for so long and tries one in so many.", "in so many"),
    ("It was set aside.", "set aside"),
    ("Held against its limits, it fails.", "Held against"),
]


@pytest.mark.parametrize(("text", "phrase"), PHRASES)
def test_a_phrase_is_found(tmp_path: Path, text: str, phrase: str) -> None:
    assert phrase in [words for _, words in found(tmp_path, "page.md", text)]


@pytest.mark.parametrize(
    "text",
    [
        "There is no file, and there are none of its kind.",
        "It is no longer than a page, and is no better for it.",
        "Nothing else, or else nothing: who else, and somewhere else.",
        "`x = 1 if y else 2` and `is none`",
        "It waits for the renewal.",
        "It has so many chunks that it costs more than its pixels.",
        "```\nthis is no JSON\n```",
    ],
)
def test_what_is_plain_english_or_code_is_not_found(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, "page.md", text) == []


def test_docstrings_comments_and_messages_are_read_with_their_lines(tmp_path: Path) -> None:
    text = '''"""What is

    none."""
# A comment that is
#   no message.
fine = 1 if True else 2
raise ValueError(f"{fine} is no URL")
bad = "an URL is none"  # language: quoted
'''
    assert found(tmp_path, "module.py", text) == [(4, "is no message"), (7, "is no URL")]


def test_the_script_names_the_place_and_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("It is fine.\n\nIt is no JSON.\n", encoding="utf-8")
    script = [sys.executable, str(ROOT / "scripts" / "language.py")]
    done = subprocess.run([*script, "page.md"], cwd=tmp_path, capture_output=True, text=True)
    said = 'page.md:3: “is no JSON”: write "is not a"\n'
    assert (done.returncode, done.stdout) == (1, said)
