"""What is drawn of a file that is watched: its saves, and what is wrong with them, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.errors import AuditError
from moderation.commands.policy.watching import saves, watch_edits
from moderation.policy import load_policy
from tests.support.policy_texts import VALID


def test_a_save_before_the_first_look_is_drawn(tmp_path: Path) -> None:
    edited = tmp_path / "new.yaml"
    edited.write_text(VALID)
    saved = saves(edited, seconds=0)
    edited.write_text(f"{VALID}# edited\n")
    next(saved)


def test_a_file_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    edited = tmp_path / "new.yaml"
    saved = saves(edited, seconds=0)
    edited.write_text(VALID)
    next(saved)


def test_what_is_wrong_is_said_and_the_next_save_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = tmp_path / "new.yaml"
    edited.write_text(VALID)
    saved = saves(edited, seconds=0)
    drawn: list[int] = []
    later = iter([VALID.replace("\nversion: 1", "\nversion: 3"), VALID])
    edited.write_text("labels: [\n")

    def draw() -> None:
        following = next(later, None)
        if following is None:
            raise KeyboardInterrupt
        try:
            drawn.append(load_policy(edited).version)
            raise AuditError("a picture is gone", "a.jpg", "Leave it out")
        finally:
            edited.write_text(following)

    watch_edits(edited, saved, draw)
    said = capsys.readouterr().err
    assert f"{edited}:2:1: not YAML" in said.replace("\n", "")
    assert "a picture is gone" in said
    assert said.count("Drawn in") == 2
    assert said.rstrip().endswith("Ended")
    assert drawn == [3]
