"""A file that somebody edits: when it was saved, and what is drawn then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from moderation.commands.output import note
from moderation.errors import ModerationError
from moderation.visible_text import shown_name

#: How often a file is looked at: this delay is part of every redraw.
_SECONDS = 0.05


class FileState(NamedTuple):
    """What changes when a file is saved; editors replace it, or write into it."""

    inode: int
    size: int
    modified_ns: int


def saves(path: Path, state: FileState | None, *, seconds: float = _SECONDS) -> Iterator[None]:
    """Yields each time that a file was saved, for ever; while it is gone, it waits.

    Args:
        path: of the file.
        state: that is known; another one is a save.
        seconds: between two looks at it.
    """
    while True:
        time.sleep(seconds)
        now = file_state(path)
        # An editor that writes a file in steps is waited for.
        if now is not None and now != state and now.size > 0:
            state = now
            yield


def watch_edits(path: Path, state: FileState | None, draw: Callable[[], object]) -> None:
    """Draws again each time that a policy's file is saved; returns at Ctrl-C.

    What is wrong with the policy, its model, or the pictures under it, is said, and the next save
    is waited for.

    Args:
        path: of the file.
        state: of the file before what is drawn already was read.
        draw: reads it, and prints what it changes.
    """
    screen = Console()
    note(f"Watching {shown_name(str(path))}; Ctrl-C ends")
    try:
        for _ in saves(path, state):
            start = time.monotonic()
            screen.clear()  # where it is a terminal
            try:
                draw()
            except ModerationError as error:
                for line in str(error).splitlines():
                    note(line)
            note(f"Drawn in {time.monotonic() - start:.2f} s; Ctrl-C ends")
    except KeyboardInterrupt:
        note("Ended")


def file_state(path: Path) -> FileState | None:
    """Returns the state of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)
