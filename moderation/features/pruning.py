"""Removes features from an embedding store, really: out of its files, while others may read them.

A file that loses some of its rows is written again beside itself before it is removed. So whoever
ends this in the middle loses nothing that was to be kept, and can begin again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from moderation.features.contents import KINDS, StoreContents, StoredFile
from moderation.features.model_description import described_names
from moderation.features.store_files import Part, read_part, write_part

#: A temporary file that is older belongs to no writer any more.
_WRITING_SECONDS = 600.0


class Chosen(NamedTuple):
    """Which features are meant: those for which all that is given holds.

    Attributes:
        before: in files that were written before.
        model: its id, id@revision, or fingerprint.
        keys: of images; their texts are not meant then.
    """

    before: datetime | None = None
    model: str | None = None
    keys: Collection[bytes] | None = None

    def removals(self, contents: StoreContents) -> list[Removal]:
        """Returns what has to be removed of the files of a store."""
        return [removal for file in contents.files if (removal := self._removal(file)) is not None]

    def means_model(self, *names: str) -> bool:
        """Returns whether a model of this id, revision and fingerprint is meant."""
        id, revision, fingerprint = names
        return self.model in (None, id, f"{id}@{revision}", fingerprint)

    def _removal(self, file: StoredFile) -> Removal | None:
        space, keys = file.head.space, file.head.keys
        if not self.means_model(space.model, space.revision, space.fingerprint):
            return None
        if self.before is not None and file.written >= self.before:
            return None
        if self.keys is None:
            return Removal(file, frozenset(keys))
        found = frozenset(self.keys).intersection(keys)
        return Removal(file, found) if found and space.kind != "texts" else None


class Removal(NamedTuple):
    """What is removed of a file: the rows of some keys, or all of it with the last of them."""

    file: StoredFile
    keys: frozenset[bytes]

    @property
    def rows(self) -> int:
        """How many rows go."""
        return sum(key in self.keys for key in self.file.head.keys)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the file is left."""
        return self.rows == len(self.file.head.keys)

    @property
    def as_file(self) -> StoredFile:
        """What goes, as if it were a file."""
        keys = [key for key in self.file.head.keys if key in self.keys]
        return self.file._replace(head=self.file.head._replace(keys=keys))

    def carry_out(self) -> None:
        """Removes the rows from the disk; the file may be gone already.

        Raises:
            StoreError: the file is damaged, or what is left of it cannot be written.
            OSError: the file cannot be removed.
        """
        path, space = self.file.head.path, self.file.head.space
        if not self.is_whole:
            storage, keys, rows = read_part(path, space)
            left = np.array([key not in self.keys for key in keys])
            kept = Part(storage, [key for key in keys if key not in self.keys], rows[left])
            written = self.file.written.timestamp()
            os.utime(write_part(path.parent, space, kept), (written, written))
        path.unlink(missing_ok=True)


def chosen_descriptions(root: Path, chosen: Chosen) -> list[Path]:
    """Returns the descriptions of models whose features are meant, whatever their age.

    They are small, but hold the prompts that were counted. None is meant with images, or by age.
    """
    if chosen.keys is not None or chosen.before is not None:
        return []
    found = []
    for path in sorted((root / "models").glob("*.json")):
        names = described_names(path)
        if chosen.model is None or (names is not None and chosen.means_model(*names)):
            found.append(path)
    return found


def remove_unfinished_files(root: Path) -> None:
    """Removes what writers that were killed have left in a store; what is younger is being written.

    Raises:
        OSError: a file cannot be removed.
    """
    for folder in (*KINDS, "models"):
        for path in (root / folder).rglob("*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _WRITING_SECONDS:
                    path.unlink()
