"""What an embedding store holds: its spaces, and what lies in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from moderation.errors import StoreError
from moderation.features.space import FeatureSpace
from moderation.features.store_files import PartHead, read_head, refused_file

KINDS = ("images", "texts", "outputs")


class StoredFile(NamedTuple):
    """One file of a store: whose rows it holds, its size in bytes, and when it was written."""

    head: PartHead
    size: int
    written: datetime


class StoredSpace(NamedTuple):
    """A space of a store, in numbers.

    Attributes:
        space: of the features.
        keys: how many different images, or texts, have features.
        rows: how many features they have: one for each look at an image.
        files: in which these are.
        size: of the files, in bytes.
        written: when the last of them was written.
    """

    space: FeatureSpace
    keys: int
    rows: int
    files: int
    size: int
    written: datetime


class StoreContents(NamedTuple):
    """The files of a store, and those that cannot be used, each with what is wrong."""

    files: list[StoredFile]
    refused: list[StoreError]

    @property
    def spaces(self) -> list[StoredSpace]:
        """The spaces, in the order of their folders."""
        return list(counted_spaces(self.files))


def read_contents(root: Path) -> StoreContents:
    """Returns what is in a store; of features, nothing is read."""
    contents = StoreContents([], [])
    for kind in KINDS:
        for path in sorted((root / kind).glob("*/part-*.parquet")):
            try:
                contents.files.append(_read_file(root, path))
            except FileNotFoundError:  # somebody has removed it meanwhile
                pass
            except StoreError as error:
                if path.exists():
                    contents.refused.append(error)
    return contents


def _read_file(root: Path, path: Path) -> StoredFile:
    head = read_head(path)
    if root / head.space.folder != path.parent:
        raise refused_file(path, "its features belong to another folder")
    state = path.stat()
    return StoredFile(head, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))


def counted_spaces(files: Iterable[StoredFile]) -> Iterator[StoredSpace]:
    """Yields the spaces of files, in numbers."""
    by_space: dict[FeatureSpace, list[StoredFile]] = {}
    for each in files:
        by_space.setdefault(each.head.space, []).append(each)
    for space, own in by_space.items():
        keys: set[bytes] = set().union(*(file.head.keys for file in own))
        rows, size = sum(len(file.head.keys) for file in own), sum(file.size for file in own)
        written = max(file.written for file in own)
        yield StoredSpace(space, len(keys), rows, len(own), size, written)
