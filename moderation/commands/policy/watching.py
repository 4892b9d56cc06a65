"""A file that somebody edits: when it was saved, and what is drawn then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from moderation.commands.output import note
from moderation.errors import ModelError, PolicyError, RequestError
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
        state: of the file as it is known; None where it is not.
        seconds: between two looks at it.
    """
    while True:
        time.sleep(seconds)
        now = file_state(path)
        # An editor that writes a file in steps is waited for.
        if now is not None and now != state and now.size > 0:
            state = now
            yield


def watch_edits(path: Path, drawn: FileState | None, draw: Callable[[], object]) -> None:
    """Draws again each time that a policy's file is saved; returns at Ctrl-C.

    What is wrong with the policy, or with its model, is said, and the next save is waited for.

    Args:
        path: of the file.
        drawn: what it was before it was read for what is drawn already.
        draw: reads it, and prints what it changes.
    """
    screen = Console()
    note(f"Watching {shown_name(str(path))}; Ctrl-C ends")
    try:
        for _ in saves(path, drawn):
            start = time.monotonic()
            screen.clear()  # where it is a terminal
            try:
                draw()
            except (PolicyError, ModelError, RequestError) as error:
                for line in str(error).splitlines():
                    note(line)
            note(f"Drawn in {time.monotonic() - start:.2f} s; Ctrl-C ends")
    except KeyboardInterrupt:
        note("Ended")


def file_state(path: Path) -> FileState | None:
    """Returns what a file is now; None while it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)
