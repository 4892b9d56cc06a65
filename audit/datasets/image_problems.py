"""Problems of a dataset's images: one cannot be read, is not the one stated, or many are twice.

Loading a dataset reads only its annotations; this reads every image, one at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import Dataset
from audit.datasets.image_references import read_reference
from audit.datasets.repeated_images import repeated_images
from audit.errors import DatasetError, RowProblem
from moderation.errors import ImageError
from moderation.images.looks import DEFAULT_LOOKING
from moderation.images.pixels import read_sights

T = TypeVar("T")

#: Looks at an image's content; raises ImageError where something is wrong with it.
Look = Callable[[bytes], object]

#: What is wrong with an image, in words, or the error that shows it.
WrongImage = str | OSError | ImageError

_REMEDY = "Replace it, or leave it out with --skip-bad"


class Track(Protocol):
    """Shows progress."""

    def __call__(self, items: Iterable[T], total: int, doing: str, /) -> Iterator[T]:
        """Yields the items, of which there are `total`; `doing` says what is done to them."""
        ...


def check_images(
    dataset: Dataset, *, max_pixels: int = 50_000_000, track: Track | None = None
) -> Dataset:
    """Returns the dataset without the images that have a problem, such as those not decoded.

    Args:
        dataset: the images.
        max_pixels: width times height of the largest image that is decoded.
        track: shows progress.

    Raises:
        DatasetError: with everything that is wrong, where no image is left.
    """
    # Read as a model would have it, but for no model.
    look = partial(read_sights, ways=(), looking=DEFAULT_LOOKING, max_pixels=max_pixels)
    hashes, problems = image_hashes(dataset, track, look)
    return leave_out_images(dataset, hashes, problems)[0]


def image_hashes(
    dataset: Dataset, track: Track | None = None, look: Look | None = None
) -> tuple[tuple[str, ...], list[RowProblem]]:
    """Returns the SHA-256 of each image's content, and the problems of any.

    A problem is an image that cannot be read, whose hash is then empty; one that is not what the
    annotations state; one that fails `look`; and one that is there twice, where many are.
    """
    hashes: list[str] = []
    problems: list[RowProblem] = []
    bad: set[int] = set()
    indexes: Iterable[int] = range(len(dataset))
    for index in track(indexes, len(dataset), "Reading images") if track else indexes:
        sha256, wrong = _image_hash(dataset, index, look)
        hashes.append(sha256)
        bad |= {index} if wrong else set()
        problems += (image_problem(dataset, index, one) for one in wrong)
    repeats = repeated_images(dataset, hashes, bad)
    if repeats.too_many:
        problems += (image_problem(dataset, index, what) for index, what in repeats.wrong())
    return tuple(hashes), problems


def image_problem(dataset: Dataset, index: int, wrong: WrongImage) -> RowProblem:
    """Returns a problem with one image, at its row, or at its file where it has no row."""
    if isinstance(wrong, ImageError):
        wrong = f"the image cannot be decoded: {wrong.what}"
    elif isinstance(wrong, OSError):
        wrong = f"the image cannot be read: {wrong.strerror or wrong}"
    return RowProblem(*_image_place(dataset, index), wrong, _REMEDY)


def leave_out_images(
    dataset: Dataset, hashes: Sequence[str], problems: Sequence[RowProblem]
) -> tuple[Dataset, npt.NDArray[np.intp]]:
    """Returns the dataset without some images, and the indexes of the others.

    Left out are images that have a problem, those with several annotations, and copies. All but the
    copies are missing.

    Raises:
        DatasetError: none is left.
    """
    places = {(problem.path, problem.row) for problem in problems}
    bad = {i for i in range(len(dataset)) if _image_place(dataset, i) in places}
    repeats = repeated_images(dataset, hashes, bad)
    lost = sorted({*bad, *repeats.conflicting})
    out = {*lost, *(index for index, _ in repeats.copies)}
    keep = [index for index in range(len(dataset)) if index not in out]
    if not keep:
        wrong = (image_problem(dataset, index, what) for index, what in repeats.wrong())
        raise DatasetError((*dataset.left_out, *problems, *wrong))
    notes = list(repeats.notes())
    if bad:
        notes.append(f"Images left out on request, since something is wrong with them: {len(bad)}.")
    values = dataset.table[list(dataset.sensitive_features)].iloc[lost]
    indexes = np.array(keep, dtype=np.intp)
    rest = replace(
        dataset.take(indexes) if out else dataset,
        left_out=(*dataset.left_out, *problems),
        missing=Counter(dataset.missing) + Counter(map(tuple, values.to_numpy())),
        notes=(*dataset.notes, *notes),
    )
    return rest, indexes


def _image_hash(dataset: Dataset, index: int, look: Look | None) -> tuple[str, list[WrongImage]]:
    """Returns the hash of an image, and what is wrong with the image by itself."""
    try:
        content = read_reference(dataset.references[index])
    except OSError as error:
        return "", [error]
    sha256, wrong = hashlib.sha256(content).hexdigest(), list[WrongImage]()
    stated = dataset.expected_sha256[index] if dataset.expected_sha256 else None
    if stated and stated != sha256:
        what = f"the image is not the one that was annotated: its SHA-256 is {sha256}, not {stated}"
        wrong.append(what)
    try:
        if look:
            look(content)
    except ImageError as error:
        wrong.append(error)
    return sha256, wrong


def _image_place(dataset: Dataset, index: int) -> tuple[str, int]:
    """Returns the file and row that name an image to whoever must mend it."""
    reference = dataset.references[index]
    row = dataset.rows[index] if dataset.rows else 0
    if isinstance(reference, Path):
        return str(dataset.source if row else reference), row
    return str(reference.path), row
