"""A file that is watched: each time that it is saved, whole and by whatever an editor does."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from moderation.commands.policy.saved_file import each_save
from tests.support.waiting import PATIENCE_SECONDS


def test_each_save_is_told_once_however_it_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("0")
    told: list[str] = []
    wanted = threading.Semaphore(0)

    def watch() -> None:
        for _ in each_save(file):
            told.append(file.read_text())
            wanted.release()
            if told[-1] == "end":
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert wanted.acquire(timeout=PATIENCE_SECONDS)
    file.write_text("one")
    assert wanted.acquire(timeout=PATIENCE_SECONDS)
    other = tmp_path / "my.yaml~"
    other.write_text("two")
    os.replace(other, file)
    assert wanted.acquire(timeout=PATIENCE_SECONDS)
    file.unlink()
    other.write_text("end")
    os.replace(other, file)
    thread.join(PATIENCE_SECONDS)
    assert told == ["0", "one", "two", "end"]
