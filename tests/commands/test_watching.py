"""A file that is watched: no save is missed."""

from __future__ import annotations

from pathlib import Path

from moderation.commands.policy.watching import file_state, saves


def test_what_is_saved_before_the_watch_begins_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("read")
    state = file_state(file)
    watched = saves(file, state, seconds=0.001)
    file.write_text("saved meanwhile")
    assert next(watched) is None
    file.unlink()
    file.write_text("saved again")
    assert next(watched) is None
