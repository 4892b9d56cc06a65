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


class _FileState(NamedTuple):
    """What changes when a file is saved; editors replace it, or write into it."""

    inode: int
    size: int
    modified_ns: int


def saves(path: Path, *, seconds: float = _SECONDS) -> Iterator[None]:
    """Yields each time that a file was saved since this call; while it is gone, it waits.

    Args:
        path: of the file.
        seconds: between two looks at it.
    """
    # A generator would look at the file for the first time when it is asked, long after this call.
    return _saves_since(_file_state(path), path, seconds)


def _saves_since(state: _FileState | None, path: Path, seconds: float) -> Iterator[None]:
    while True:
        time.sleep(seconds)
        now = _file_state(path)
        # An editor that writes a file in steps is waited for.
        if now is not None and now != state and now.size > 0:
            state = now
            yield


def watch_edits(path: Path, saved: Iterator[None], draw: Callable[[], object]) -> None:
    """Draws again each time that a policy's file was saved; returns at Ctrl-C.

    What is wrong with an edit is said, and the next save is waited for.

    Args:
        path: of the file.
        saved: its saves since it was first read.
        draw: reads it, and prints what it changes.
    """
    screen = Console()
    note(f"Watching {shown_name(str(path))}; Ctrl-C ends")
    try:
        for _ in saved:
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


def _file_state(path: Path) -> _FileState | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _FileState(found.st_ino, found.st_size, found.st_mtime_ns)
