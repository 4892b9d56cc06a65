"""A store for `--no-store`: it holds features while a command runs, and is gone with it."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path


@cache
def passing_store_folder() -> Path:
    """Returns the folder of a store that is removed when the program ends; always the same."""
    folder = tempfile.TemporaryDirectory(prefix="evenhand-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
