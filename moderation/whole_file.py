"""Writes a file whole or not at all; every writer of files uses this."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[BufferedWriter]:
    """Yields a file that takes its place when the block ends, and is gone if the block fails.

    It reaches the disk first, so that not even a power cut leaves a part of it in that place.

    Args:
        path: its place; a file that is there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"{path.stem}-{uuid.uuid4()}.tmp")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
