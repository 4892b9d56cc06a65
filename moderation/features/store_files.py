"""One file of the embedding store: written completely or not at all, and verified when it is read.

Parquet with two columns: `key`, the sha256 of what was embedded, and `feature`, a list of float32
or float16. An image that was looked at several times has as many rows, beside each other and in the
order of the looks. The file's metadata says which space the features are of. Needs pyarrow.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.encoders.encoder import Rows
from moderation.errors import StoreError
from moderation.features.space import FeatureSpace
from moderation.whole_file import whole_file

Storage = Literal["float32", "float16"]

_FORMAT = "evenhand-features-2"
#: How far a row's length may be from 1, by the format of its entries.
_LENGTH_ERROR: dict[Storage, float] = {"float32": 1e-4, "float16": 1e-3}
_VALUE_TYPES = {"float32": pa.float32(), "float16": pa.float16()}
#: Temporary files of a writer that was killed are removed when they are older.
_STRAY_SECONDS = 24 * 3600.0


class Part(NamedTuple):
    """What a file holds: the keys of m rows and these (m, d) rows, as they are stored."""

    storage: Storage
    keys: list[bytes]
    rows: Rows


class PartHead(NamedTuple):
    """What is known of a file before its rows are read: whose they are, and how they are stored."""

    path: Path
    space: FeatureSpace
    storage: Storage
    width: int
    keys: list[bytes]


def write_part(folder: Path, space: FeatureSpace, part: Part) -> Path:
    """Writes a new file that is there completely or not at all, even if the power fails; its path.

    Raises:
        StoreError: it cannot be written.
    """
    path = folder / f"part-{uuid.uuid4()}.parquet"
    with written_store_file(path, "features") as file:
        # Features do not compress, and no value repeats.
        pq.write_table(
            _part_table(space, part),
            file,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
    return path


@contextmanager
def written_store_file(target: Path, what: str) -> Iterator[IO[bytes]]:
    """Yields a file that takes its place when the block ends, and is gone if the block fails.

    Args:
        target: its place; a file that is there is replaced.
        what: is written, in the plural, for the error.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as file:
            yield file
    except OSError as error:
        told = f"{what} cannot be written ({error})"
        remedy = "Make room there, or name another folder; what was written before is kept"
        raise StoreError(told, str(target.parent), remedy) from error


def remove_stray_files(folder: Path, stem: str) -> None:
    """Removes files that writers of `<stem>*` left in a store when they were killed a day ago."""
    for path in folder.glob(f"{stem}-*.tmp"):
        with contextlib.suppress(OSError):  # it may be another's by now
            if time.time() - path.stat().st_mtime > _STRAY_SECONDS:
                path.unlink()


def read_head(path: Path, space: FeatureSpace | None = None) -> PartHead:
    """Returns whose rows a file holds; of the rows, nothing is read.

    Args:
        path: of the file.
        space: of its rows; None where it may be any.

    Raises:
        StoreError: the file is damaged, belongs to another space, or cannot be read.
    """
    with _opened_part(path, whole=False) as file:
        described = _described_part(path, file.schema_arrow)
        keys: list[Any] = file.read(columns=["key"], use_threads=False).column("key").to_pylist()
    if space not in (None, described.space):
        raise _foreign_file(path)
    if described.keys_sha256 is None:  # of a version that said nothing of the keys by themselves
        keys = read_part(path, described.space).keys
    elif _part_digest(described.stated, keys) != described.keys_sha256:
        raise refused_file(path, "it is damaged: its keys do not have their hash")
    return PartHead(path, described.space, described.storage, described.width, keys)


def read_part(path: Path, space: FeatureSpace) -> Part:
    """Returns what a file holds, once all of it is verified.

    Raises:
        StoreError: the file is damaged, belongs to another space, or cannot be read.
    """
    with _opened_part(path, whole=True) as file:
        return _verified_part(path, space, file.read(use_threads=False))


@contextmanager
def _opened_part(path: Path, *, whole: bool) -> Iterator[pq.ParquetFile]:
    """Yields a file; whatever goes wrong while it is read is an error that names it.

    Args:
        path: of the file.
        whole: whether all of it will be read, which is then done at once.

    Raises:
        StoreError: the file is damaged, or cannot be read.
    """
    try:
        opened = pa.BufferReader(path.read_bytes()) if whole else path.open("rb")
    except OSError as error:
        remedy = "Make it readable, or name another folder"
        raise StoreError(f"it cannot be read ({error})", str(path), remedy) from error
    with opened:
        try:
            # Without buffers and threads: pyarrow's pools can crash a command that ends at once.
            yield pq.ParquetFile(opened, page_checksum_verification=True, pre_buffer=False)
        except StoreError:
            raise
        except Exception as error:  # a damaged file makes pyarrow raise all kinds of errors
            raise refused_file(path, f"it is damaged ({error})") from error


def refused_file(path: Path, what: str) -> StoreError:
    """Returns the error of a store's file that must not be used."""
    return StoreError(what, str(path), "Delete this file; its images are embedded again")


def unfit_rows(rows: Rows, space: FeatureSpace, storage: Storage) -> str | None:
    """Returns what is wrong with rows of a space; None if nothing is.

    Features have unit length; what a classifier gives need only be finite.
    """
    wide = rows.astype(np.float32, copy=False)
    if space.kind == "outputs":
        return None if np.isfinite(wide).all() else "an output is not finite"
    with np.errstate(all="ignore"):
        off = np.abs(np.sqrt(np.einsum("nd,nd->n", wide, wide)) - 1.0)
    if not np.isfinite(off).all():
        return "a feature is not finite"
    if (off > _LENGTH_ERROR[storage]).any():
        return "a feature is not of unit length"
    return None


def _part_table(space: FeatureSpace, part: Part) -> pa.Table:
    """Returns a part as a file holds it, its description in the metadata."""
    width = part.rows.shape[1]
    described = {"format": _FORMAT, **asdict(space), "storage": part.storage, "width": str(width)}
    schema = _part_schema(part.storage, width)
    values = pa.array(part.rows.ravel(), type=_VALUE_TYPES[part.storage])
    features = pa.FixedSizeListArray.from_arrays(values, type=schema.field("feature").type)
    columns = [pa.array(part.keys, type=pa.binary(32)), features]
    metadata = {
        **described,
        "keys_sha256": _part_digest(described, part.keys),
        "sha256": _part_digest(described, part.keys, part.rows),
    }
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(metadata))


def _part_schema(storage: str, width: int) -> pa.Schema:
    # Parquet calls it "element", so that is its name when it is read.
    value = pa.field("element", _VALUE_TYPES[storage], nullable=False)
    key = pa.field("key", pa.binary(32), nullable=False)
    return pa.schema([key, pa.field("feature", pa.list_(value, width), nullable=False)])


def _part_digest(described: dict[str, str], keys: Sequence[bytes], rows: Rows | None = None) -> str:
    """Returns the hash of all that a file says: page checksums do not cover the footer."""
    content = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    content.update(b"".join(keys))
    if rows is not None:
        content.update(np.ascontiguousarray(rows).data)
    return content.hexdigest()


def _verified_part(path: Path, space: FeatureSpace, table: pa.Table) -> Part:
    described = _described_part(path, table.schema)
    if described.space != space:
        raise _foreign_file(path)
    keys: list[Any] = table.column("key").to_pylist()
    rows = _column_rows(table.column("feature"), described)
    if _part_digest(described.stated, keys, rows) != described.sha256:
        raise refused_file(path, "it is damaged: its content does not have its hash")
    if problem := unfit_rows(rows, space, described.storage):
        raise refused_file(path, problem)
    return Part(described.storage, keys, rows)


class _Described(NamedTuple):
    """What a file says of itself, in words and hashes."""

    space: FeatureSpace
    storage: Storage
    width: int
    stated: dict[str, str]
    keys_sha256: str | None
    sha256: str | None


def _column_rows(column: Any, described: _Described) -> Rows:
    """Returns the (m, d) numbers of a column of lists; pyarrow's own way imports pandas."""
    lists, width = column.combine_chunks(), described.width
    numbers = np.frombuffer(lists.values.buffers()[1] or b"", np.dtype(described.storage))
    start = lists.values.offset + lists.offset * width
    return numbers[start : start + len(lists) * width].reshape(len(lists), width)


def _described_part(path: Path, schema: pa.Schema) -> _Described:
    """Returns what a file says of itself.

    Raises:
        StoreError: it is not a file of a store.
    """
    stated = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    hashes = (stated.pop("keys_sha256", None), stated.pop("sha256", None))
    fields = [each.name for each in dataclass_fields(FeatureSpace)]
    if stated.keys() != {"format", *fields, "storage", "width"} or stated["format"] != _FORMAT:
        raise refused_file(path, "it is not a file of this store, or is of another version")
    found: dict[str, Any] = {name: stated[name] for name in fields}
    storage: Storage = "float16" if stated["storage"] == "float16" else "float32"
    width = int(stated["width"])
    if not schema.equals(_part_schema(storage, width), check_metadata=False):
        raise refused_file(path, "its columns are not those of this store")
    return _Described(FeatureSpace(**found), storage, width, stated, *hashes)


def _foreign_file(path: Path) -> StoreError:
    return refused_file(path, "its features are of another model or preprocessing")
