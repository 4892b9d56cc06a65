"""The embedding store: features by the hash of what was embedded, in files that are only added.

    <root>/<kind>/<model fingerprint>-<preprocessing fingerprint>-<dtype>/part-<uuid>.parquet

Files never change, so several processes can write and read at the same time. Each is verified when
it is read: a damaged or foreign one is an error and never used. Needs pyarrow.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from moderation.classifier import Floats, unit
from moderation.errors import ModelError
from moderation.feature_files import (
    FeatureSpace,
    Part,
    Rows,
    Storage,
    not_unit,
    read_part,
    refused,
    write_part,
)

__all__ = ["EmbeddingStore", "FeatureSpace", "Features", "Storage", "text_key"]

_FLUSH_ROWS, _FLUSH_SECONDS = 1000, 30.0
#: Temporary files of a writer that was killed are removed when they are older.
_STRAY_SECONDS = 24 * 3600.0


class EmbeddingStore:
    """A folder of features, by space."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, space: FeatureSpace, storage: Storage = "float32") -> Features:
        """Returns the features of a space, with all that is stored of them read and verified.

        Args:
            space: of the features.
            storage: `float16` takes half the room. The rows are the same whichever way an earlier
                run stored them: what is stored as float32 is rounded, and what is stored as
                float16 is not taken for float32, so it is embedded again.

        Raises:
            StoreError: a file is damaged, is of another space, or cannot be read.
        """
        folder = self.root / space.folder
        _remove_strays(folder)
        features = Features(folder, space, storage)
        for path in sorted(folder.glob("part-*.parquet")):
            features._load(path)
        return features


class Features:
    """n features of one space in memory, and the files that they come from; for one thread.

    As a context manager it writes what is left when the block ends, also by an exception or
    Ctrl-C: what was computed is kept.

    float32 rows are as they were added. float16 rows are widened and scaled to unit length again:
    an entry is then off by less than 0.001 (measured: 0.00007, and 0.00005 in a cosine, in random
    rows of width 512).
    """

    def __init__(self, folder: Path, space: FeatureSpace, storage: Storage) -> None:
        """Starts with nothing read: use `EmbeddingStore.open`."""
        self.space = space
        self.storage: Storage = storage
        self.width = 0  #: 0 while there is no feature
        self._folder = folder
        self._rows: dict[bytes, Rows] = {}
        self._pending: dict[bytes, Rows] = {}
        self._pending_since = 0.0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, keys: Sequence[str]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Returns (m, d) rows of unit length for m keys, and (m,) whether each was found.

        The row of a key that was not found is NaN.
        """
        hashes = [_key(key) for key in keys]
        found = np.array([key in self._rows for key in hashes], dtype=np.bool_)
        rows = np.full((len(hashes), self.width), np.nan, dtype=np.float32)
        if found.any():
            rows[found] = np.stack([self._rows[key] for key in hashes if key in self._rows])
            if self.storage == "float16":
                rows[found] = unit(rows[found])
        return rows, found

    def add(self, keys: Sequence[str], rows: Floats) -> None:
        """Keeps (m, d) rows of unit length under m keys; a key that is known keeps its row.

        They are written every 1,000 rows, with the first that come after 30 s, and by `flush`.

        Args:
            keys: sha256 of what was embedded, 64 hex digits each.
            rows: their features.

        Raises:
            ModelError: a row is not finite or not of unit length. StoreError: the disk is full.
        """
        self._refuse_unfit(keys, rows)
        self._pending_since = self._pending_since or time.monotonic()
        for key, row in zip(map(_key, keys), rows.astype(self.storage), strict=True):
            self.width = len(row)
            if key not in self._rows:
                # In this order, so that Ctrl-C in between loses nothing that seems to be kept.
                self._pending[key] = row
                self._rows[key] = row
        waited = time.monotonic() - self._pending_since
        if len(self._pending) >= _FLUSH_ROWS or waited >= _FLUSH_SECONDS:
            self.flush()

    def _refuse_unfit(self, keys: Sequence[str], rows: Floats) -> None:
        if rows.ndim != 2 or len(rows) != len(keys):
            raise ValueError(f"{len(keys)} keys and rows of shape {rows.shape}")
        problem = not_unit(rows, "float32")
        if len(rows) and self.width not in (0, rows.shape[1]):
            problem = f"a feature has width {rows.shape[1]}, and those before it {self.width}"
        if problem:
            raise ModelError(problem, self.space.model, "Check the model's weights and dtype")

    def flush(self) -> None:
        """Writes what was added to a new file.

        Raises:
            StoreError: it cannot be written; what was added is kept for another try.
        """
        if self._pending:
            rows = np.stack(list(self._pending.values()))
            write_part(self._folder, self.space, Part(self.storage, list(self._pending), rows))
        self._pending = {}
        self._pending_since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _load(self, path: Path) -> None:
        """Takes the rows of a file, save those whose keys are known."""
        storage, keys, rows = read_part(path, self.space)
        if self.width not in (0, rows.shape[1]):
            raise refused(path, f"its rows have width {rows.shape[1]}, others {self.width}")
        if storage == "float16" and self.storage == "float32":
            return
        self.width = rows.shape[1]
        for key, row in zip(keys, rows.astype(self.storage, copy=False), strict=True):
            self._rows.setdefault(key, row)


def text_key(text: str) -> str:
    """Returns the key of a text's feature: the sha256 of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError(f"{text!r} is no sha256")
    return key


def _remove_strays(folder: Path) -> None:
    """Removes what writers left behind that were killed a day ago or more."""
    for path in folder.glob("part-*.tmp"):
        with contextlib.suppress(OSError):  # it may be another's by now
            if time.time() - path.stat().st_mtime > _STRAY_SECONDS:
                path.unlink()
