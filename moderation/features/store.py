"""A folder of features, by the hash of what was embedded, to which files are only added.

    <root>/<kind>/<model>-<preprocessing>-<dtype>-<looking>/part-<uuid>.parquet

The model and the preprocessing are named by their fingerprints. A text has one row; an image has
one for each look at it.

Files never change, so several processes can write and read at the same time, and remove files while
others read. Opening reads whose rows each file holds; the rows of a file are read, and all of it is
verified, when one of them is asked for: a damaged or foreign file is an error and never used. Needs
pyarrow.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Self, get_args

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Float32s, Rows, unit
from moderation.errors import ModelError, StoreError
from moderation.features.space import FeatureSpace
from moderation.features.store_files import (
    Part,
    PartHead,
    Storage,
    read_head,
    read_part,
    refused_file,
    remove_stray_files,
    unfit_rows,
    write_part,
)

_FLUSH_ROWS, _FLUSH_SECONDS = 1000, 30.0


class EmbeddingStore:
    """A folder of features, by space."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, space: FeatureSpace, storage: Storage = "float32") -> Features:
        """Returns the features of a space; what is stored of them is read as it is asked for.

        Args:
            space: of the features.
            storage: how new rows are written; `float16` takes half the room. Stored rows are read
                in either format, and a float32 row is preferred to a float16 one of the same key.

        Raises:
            StoreError: a file belongs to another space, cannot be read, or is visibly damaged.
            ValueError: there is no such storage, or not for such rows.
        """
        if space.kind == "outputs" and storage != "float32":
            raise ValueError(f"what a classifier gives is kept as float32, not as {storage}")
        if storage not in get_args(Storage):
            raise ValueError(
                f"storage is {storage!r}, and it can be {', '.join(get_args(Storage))}"
            )
        folder = self.root / space.folder
        remove_stray_files(folder, "part")
        features = Features(folder, space, storage)
        features._take_new_files()
        return features

    def refuse_unwritable(self) -> None:
        """Makes the store's folder, for its user alone; to be called before anything long.

        Raises:
            StoreError: it cannot be made or written to.
        """
        try:
            # What pictures show is nobody else's, unless who made the folder says so.
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Tried, since the rights of a folder do not show that a disk is read-only.
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            why = error.strerror or error
            if isinstance(error, FileExistsError):
                why = "it is not a folder"
            what = f"features cannot be kept there ({why})"
            remedy = "Make it a folder that can be written to, or name another for the store"
            raise StoreError(what, str(self.root), remedy) from error


class Features:
    """The features of n keys of one space, and their files; for one thread.

    As a context manager it writes what is left when the block ends, even by an exception or Ctrl-C,
    so that what was computed is kept.

    float32 rows are as they were added. float16 rows are widened and scaled to unit length again:
    an entry is then off by less than 0.001 (measured: 0.00007, and 0.00005 in a cosine, in random
    rows of width 512). Rows are held as they are stored; `storage` is the format of new ones. Once
    a row is read, so is its file, whose rows stay in memory.
    """

    def __init__(self, folder: Path, space: FeatureSpace, storage: Storage) -> None:
        """Starts with nothing read: use `EmbeddingStore.open`."""
        self.space = space
        self.storage: Storage = storage
        self.width = 0  #: 0 until there is a feature
        self._folder = folder
        # Of each key its rows, or the file in which they are while they are not read.
        self._known: dict[bytes, Rows | PartHead] = {}
        self._files: set[Path] = set()
        self._pending: dict[bytes, Rows] = {}
        self._pending_since = 0.0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, keys: Sequence[str]) -> tuple[Float32s, npt.NDArray[np.intp]]:
        """Returns float32 rows of unit length for m keys, and (m,) how many of them each has.

        The rows of a key are beside each other, in the order in which they were added. A key that
        was not found has none.

        Raises:
            StoreError: a file with such rows is damaged, or cannot be read.
        """
        blocks = [self._read_key(_stored_key(key)) for key in keys]
        found = [block for block in blocks if block is not None]
        counts = np.array([0 if block is None else len(block) for block in blocks], np.intp)
        rows = np.empty((int(counts.sum()), self.width), np.float32)
        if found:
            np.concatenate(found, out=rows)
        rounded = np.array([_is_stored_rounded(block) for block in blocks], np.bool_)
        rounded = np.repeat(rounded, counts)
        rows[rounded] = unit(rows[rounded])
        return rows, counts

    def get_every(self, keys: Sequence[str]) -> tuple[Float32s, npt.NDArray[np.intp]]:
        """Returns what `get` does, of keys that all had rows before.

        Raises:
            StoreError: some were removed meanwhile; or a file is damaged, or cannot be read.
        """
        rows, counts = self.get(keys)
        if not counts.all():
            what = f"{np.sum(counts == 0)} features were removed while they were in use"
            raise StoreError(what, str(self._folder), "Run the command again")
        return rows, counts

    def has(self, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Returns (m,) whether there is a row for each of m keys."""
        return np.array([_stored_key(key) in self._known for key in keys], dtype=np.bool_)

    def rounded(self, keys: Sequence[str]) -> int:
        """Returns how many of the keys have rows that are stored as float16."""
        return sum(_is_stored_rounded(self._known.get(_stored_key(key))) for key in keys)

    def _read_key(self, key: bytes) -> Rows | None:
        """Returns the stored rows of a key; reads the file that they are in."""
        found = self._known.get(key)
        while isinstance(found, PartHead):
            self._read_file(found)
            if self._known.get(key) is found:
                raise refused_file(found.path, "its keys are not those that it was opened with")
            found = self._known.get(key)
        return found

    def _read_file(self, head: PartHead) -> None:
        """Reads the rows of a file; one that was removed meanwhile may have left them in another.

        Raises:
            StoreError: it is damaged, or cannot be read.
        """
        try:
            _, keys, rows = read_part(head.path, self.space)
        except StoreError:
            if head.path.exists():
                raise
            self._look_again()
            return
        end = 0
        for key, same in groupby(keys):
            start, end = end, end + sum(1 for _ in same)
            if self._known.get(key) is head:
                self._known[key] = rows[start:end]

    def add(self, keys: Sequence[str], rows: Float32s, counts: Sequence[int] | None = None) -> None:
        """Adds (r, d) rows under m keys; a key that is known keeps its rows.

        But float32 rows take the place of those that are kept as float16. Those of an encoder have
        unit length.

        They are written every 1,000 rows, with the first that come after 30 s, and by `flush`.

        Args:
            keys: sha256 of what was embedded, 64 hex digits each.
            rows: their features, those of a key beside each other.
            counts: how many rows each key has, one or more; by default one.

        Raises:
            ModelError: a row is not finite or not of unit length. StoreError: the disk is full.
        """
        counts = [1] * len(keys) if counts is None else counts
        self._refuse_unfit(keys, rows, counts)
        self._pending_since = self._pending_since or time.monotonic()
        stored, ends = rows.astype(self.storage), accumulate(counts)
        for key, count, end in zip(map(_stored_key, keys), counts, ends, strict=True):
            self.width = rows.shape[1]
            known = self._known.get(key)
            if known is None or (_is_stored_rounded(known) and self.storage == "float32"):
                block = stored[end - count : end]
                # In this order, so that Ctrl-C in between loses nothing that seems to be stored.
                self._pending[key] = block
                self._known[key] = block
        waited = time.monotonic() - self._pending_since
        pending = sum(map(len, self._pending.values()))
        if pending >= _FLUSH_ROWS or waited >= _FLUSH_SECONDS:
            self.flush()

    def _refuse_unfit(self, keys: Sequence[str], rows: Float32s, counts: Sequence[int]) -> None:
        fit = len(counts) == len(keys) and sum(counts) == len(rows) and min(counts, default=1) > 0
        if rows.ndim != 2 or not fit:
            raise ValueError(f"{len(keys)} keys and rows of shape {rows.shape}")
        problem = unfit_rows(rows, self.space, "float32")
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
            rows = np.concatenate(list(self._pending.values()))
            keys = [key for key, block in self._pending.items() for _ in block]
            write_part(self._folder, self.space, Part(self.storage, keys, rows))
        self._pending = {}
        self._pending_since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _look_again(self) -> None:
        """Forgets which rows are in which file, except those in memory, and reads it again."""
        in_memory = {k: each for k, each in self._known.items() if not isinstance(each, PartHead)}
        self._known, self._files = {**in_memory}, set()
        self._take_new_files()

    def _take_new_files(self) -> None:
        """Notes whose rows are in files that were not there before.

        Where two files have a key, its rows are those of more bits. Looks again after the last
        file, since others may have put one in the place of another meanwhile.
        """
        while new := sorted(set(self._folder.glob("part-*.parquet")) - self._files):
            self._files |= set(new)
            for path in new:
                try:
                    self._take_head(read_head(path, self.space))
                except StoreError:
                    if path.exists():
                        raise

    def _take_head(self, head: PartHead) -> None:
        if self.width not in (0, head.width):
            raise refused_file(head.path, f"its rows have width {head.width}, others {self.width}")
        self.width = head.width
        for key in head.keys:
            known = self._known.get(key)
            if known is None or (_is_stored_rounded(known) and head.storage == "float32"):
                self._known[key] = head


def text_key(text: str) -> str:
    """Returns the key of a text's feature: the sha256 of its UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _stored_key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != 32:
        raise ValueError(f"{text!r} is not a sha256")
    return key


def _is_stored_rounded(known: Rows | PartHead | None) -> bool:
    if isinstance(known, PartHead):
        return known.storage == "float16"
    return known is not None and known.dtype == np.float16
