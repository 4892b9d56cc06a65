"""Writes a recording whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from audit.datasets.adapters.recorded import RECORDING_FILE, TABLE_FILE
from audit.datasets.dataset import Dataset
from audit.datasets.stored_table import write_dataset_table
from audit.errors import AuditError
from audit.recordings.claims import RecordingStatement
from audit.recordings.recording import FEATURES_FILE, TEXTS_FILE, hashed_file, write_texts_file
from audit.recordings.text_features import RecordedTexts
from moderation.encoders.encoder import Rows
from moderation.whole_file import whole_file


def write_recording(
    out: Path,
    stated: RecordingStatement,
    dataset: Dataset,
    blocks: Iterable[Rows],
    texts: RecordedTexts | None,
) -> None:
    """Writes a recording into a folder that was not there.

    Args:
        out: the folder.
        stated: what its recording.json says, but for the hashes of its files.
        dataset: the ids and annotations of n images.
        blocks: their (n, d) features, some rows at a time.
        texts: those that have features, if any.

    Raises:
        AuditError: it cannot be written.
    """
    with whole_folder(out) as folder:
        with whole_file(folder / TABLE_FILE) as file:
            write_dataset_table(dataset, file)
        if texts is not None:
            with whole_file(folder / TEXTS_FILE) as file:
                write_texts_file(texts, file)
        write_npy(folder / FEATURES_FILE, (stated.n, stated.d), stated.dtype, blocks)
        files = tuple(map(hashed_file, sorted(folder.iterdir())))
        whole = stated.model_copy(update={"files": files})
        with whole_file(folder / RECORDING_FILE) as file:
            file.write(whole.model_dump_json(indent=2).encode() + b"\n")


def write_npy(path: Path, shape: tuple[int, int], dtype: str, blocks: Iterable[Rows]) -> None:
    """Writes rows as .npy, some at a time.

    Raises:
        OSError: it cannot be written. ValueError: the blocks do not add up to the shape.
    """
    written = 0
    with whole_file(path) as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in blocks:
            file.write(np.ascontiguousarray(rows, dtype).data)
            written += len(rows)
        if written != shape[0]:
            raise ValueError(f"{written} rows of {shape[0]} were written")


def refuse_full_folder(out: Path) -> None:
    """Raises where a folder that is to be made is there already, with something in it.

    Raises:
        AuditError: it is.
    """
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise AuditError("it is there already", str(out), "Name a folder that is not there yet")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yields a folder that takes its place when the block ends, and is gone if the block fails.

    Args:
        out: its place, where nothing is but an empty folder.

    Raises:
        AuditError: it cannot be written.
    """
    refuse_full_folder(out)
    unfinished = out.with_name(f".{out.name}-{uuid.uuid4()}.tmp")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        place = os.open(unfinished, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
        unfinished.rename(out)
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise AuditError(what, str(out), "Make room there, or name another place") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
