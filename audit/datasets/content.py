"""The images of a dataset as files: whether each can be read, is the one stated, and occurs once.

Loading a dataset reads only its annotations; this reads every image, one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import IMAGE_ID, Dataset
from audit.datasets.references import read_bytes
from audit.errors import DatasetError, RowProblem
from moderation.errors import ImageError
from moderation.images.pixels import read_squares

T = TypeVar("T")

#: Looks at an image's content; raises ImageError where something is wrong with it.
Look = Callable[[bytes], object]

_REMEDY = "Replace it, or leave it out with --skip-bad"


class Track(Protocol):
    """Shows progress."""

    def __call__(self, items: Iterable[T], total: int, doing: str, /) -> Iterator[T]:
        """Yields the items, of which there are `total`; `doing` says what is done to them."""
        ...


def check_content(
    dataset: Dataset, *, max_pixels: int = 50_000_000, track: Track | None = None
) -> Dataset:
    """Returns the dataset of the images that could be read and decoded; the others are left out.

    Args:
        dataset: the images.
        max_pixels: width times height of the largest image that is decoded.
        track: shows progress.

    Raises:
        DatasetError: with everything that is wrong, where no image is left.
    """
    # Read as a model would have it, but for no model.
    look = partial(read_squares, ways=(), max_pixels=max_pixels)
    _, problems = image_hashes(dataset, track, look)
    return leave_out(dataset, problems)[0] if problems else dataset


def image_hashes(
    dataset: Dataset, track: Track | None = None, look: Look | None = None
) -> tuple[tuple[str, ...], list[RowProblem]]:
    """Returns the SHA-256 of each image's content, and what is wrong with any.

    A problem is an image that cannot be read, whose hash is then empty; one that is not what the
    annotations state; one with the same content as an earlier one; and one that fails `look`.
    """
    hashes: list[str] = []
    problems: list[RowProblem] = []
    first: dict[str, int] = {}
    indexes: Iterable[int] = range(len(dataset))
    for index in track(indexes, len(dataset), "Reading images") if track else indexes:
        sha256, wrong = _read(dataset, index, look)
        hashes.append(sha256)
        if sha256 and (same := first.setdefault(sha256, index)) != index:
            wrong.append(f"the image is the same, byte for byte, as {_called(dataset, same)}")
        problems += (row_problem(dataset, index, what) for what in wrong)
    return tuple(hashes), problems


def row_problem(dataset: Dataset, index: int, message: str) -> RowProblem:
    """Returns a problem with one image, at its row, or at its file where it has no row."""
    return RowProblem(*_place(dataset, index), message, _REMEDY)


def image_problem(dataset: Dataset, index: int, error: OSError | ImageError) -> RowProblem:
    """Returns the problem that an error shows with an image, at its row."""
    return row_problem(dataset, index, _what(error))


def leave_out(
    dataset: Dataset, problems: Sequence[RowProblem]
) -> tuple[Dataset, npt.NDArray[np.intp]]:
    """Returns the dataset without the images that have a problem, and the indexes of the others.

    Raises:
        DatasetError: none is left.
    """
    bad = {(problem.path, problem.row) for problem in problems}
    keep = [i for i in range(len(dataset)) if _place(dataset, i) not in bad]
    if not keep:
        raise DatasetError((*dataset.left_out, *problems))
    indexes = np.array(keep, dtype=np.intp)
    n = len(dataset) - len(keep)
    note = f"Images left out on request, since something is wrong with them: {n}."
    rest = replace(
        dataset.take(indexes),
        left_out=(*dataset.left_out, *problems),
        notes=(*dataset.notes, note),
    )
    return rest, indexes


def _read(dataset: Dataset, index: int, look: Look | None) -> tuple[str, list[str]]:
    """Returns the hash of an image, and what is wrong with the image by itself."""
    try:
        content = read_bytes(dataset.references[index])
    except OSError as error:
        return "", [_what(error)]
    sha256 = hashlib.sha256(content).hexdigest()
    return sha256, list(_wrong(dataset, index, content, sha256, look))


def _wrong(
    dataset: Dataset, index: int, content: bytes, sha256: str, look: Look | None
) -> Iterator[str]:
    stated = dataset.expected_sha256[index] if dataset.expected_sha256 else None
    if stated and stated != sha256:
        yield f"the image is not the one that was annotated: its SHA-256 is {sha256}, not {stated}"
    try:
        if look:
            look(content)
    except ImageError as error:
        yield _what(error)


def _what(error: OSError | ImageError) -> str:
    if isinstance(error, ImageError):
        return f"the image cannot be decoded: {error.what}"
    return f"the image cannot be read: {error.strerror or error}"


def _called(dataset: Dataset, index: int) -> str:
    path, row = _place(dataset, index)
    image = str(dataset.table[IMAGE_ID].iat[index])
    return f"{image} in row {row}" if row else path


def _place(dataset: Dataset, index: int) -> tuple[str, int]:
    """Returns the file and row that name an image to whoever must mend it."""
    reference = dataset.references[index]
    row = dataset.rows[index] if dataset.rows else 0
    if isinstance(reference, Path):
        return str(dataset.source if row else reference), row
    return str(reference.path), row
