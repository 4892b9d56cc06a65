"""A file that somebody edits: each time that it is saved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

#: How often a file is looked at, in seconds: a look costs some microseconds.
_EVERY_SECONDS = 0.1


def each_save(path: Path) -> Iterator[None]:
    """Yields at once, and then each time that the file was saved; never ends.

    Editors write another file and give it this name, or empty it first: while there is none, or
    an empty one, it waits.
    """
    seen: object = None
    while True:
        now = _file_state(path)
        if now is not None and now != seen:
            seen = now
            yield
        else:
            time.sleep(_EVERY_SECONDS)


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found.st_size else None
