"""Where the embedding store is, unless it is told."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def store_folder(named: Path | None) -> Path:
    """Returns the folder of the embedding store: the named one, or one in the user's cache."""
    cache = Path(platformdirs.user_cache_dir("evenhand", appauthor=False))
    return named or cache / "embeddings"
