"""Annotated images -> a Dataset, after the checks that are the same for every adapter."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.image_references import Reference
from audit.datasets.spelling import Spellings, composed
from audit.errors import DatasetError, RowProblem
from moderation.visible_text import utf8

#: The most characters in the name of a group or class, and of an image; more is not a name.
_LONGEST, _LONGEST_ID = 200, 4096

#: Texts by which tables say that there is nothing.
_NOTHING = ("", "nan", "null", "<na>", "#n/a")


class Wrong(NamedTuple):
    """What is wrong with a cell or a row, and what to do."""

    message: str
    remedy: str


@dataclass(frozen=True)
class AnnotatedImage:
    """One image, as the annotations have it.

    Attributes:
        path: the file of annotations, or the image itself where there is no such file.
        row: its row there; 0 where it has no row.
        image_id: what it is called.
        reference: where it is; None where it lies outside the folder of images.
        y_true: its class, or empty where unknown.
        values: of each sensitive feature, or what is wrong with its cell.
        sha256: the hash that the annotations state for the image, or empty.
        wrong: what else its adapter found wrong with it.
    """

    path: Path
    row: int
    image_id: str
    reference: Reference | None
    y_true: str = ""
    values: Mapping[str, str | Wrong] = field(default_factory=dict)
    sha256: str = ""
    wrong: tuple[Wrong, ...] = ()

    def known_values(self, names: Iterable[str]) -> tuple[str | None, ...]:
        """Returns the values of sensitive features, None where a cell is empty or wrong."""
        values = (self.values.get(name, "") for name in names)
        return tuple(
            None
            if isinstance(value, Wrong) or is_empty_annotation(value) or len(value) > _LONGEST
            else composed(value)
            for value in values
        )


@dataclass(frozen=True)
class About:
    """What an adapter says of a whole dataset; the attributes are those of `Dataset`."""

    adapter: str
    source: Path
    name: str
    sensitive_features: tuple[str, ...] = ()
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    benign: bool = False
    notes: tuple[str, ...] = ()


def is_empty_annotation(cell: str) -> bool:
    """Returns whether a cell is empty, or says NaN or null."""
    return cell.strip().casefold() in _NOTHING


def locate_annotated_image(cell: str, root: Path) -> tuple[str, Path | None]:
    """Returns an annotated image's path below a folder, with / between its parts, and the file.

    The file is None where the path leads out of the folder.
    """
    folder = os.path.abspath(root)
    place = os.path.normpath(os.path.join(folder, cell))
    if not cell or os.path.commonpath((folder, place)) != folder:
        return cell, None
    return Path(os.path.relpath(place, folder)).as_posix(), root / os.path.relpath(place, folder)


def build_dataset(
    images: Iterable[AnnotatedImage],
    about: About,
    options: LoadOptions,
    problems: Iterable[RowProblem] = (),
) -> Dataset:
    """Returns the dataset of the annotated images that have nothing wrong with them.

    Of two rows for one image the second is the bad one; where they say different things of it,
    both are. What is known of the bad ones stays with the dataset.

    Args:
        images: the images, in order.
        about: what holds for all of them.
        options: how bad rows are treated, and what y_true means.
        problems: what the adapter found apart from the images.

    Raises:
        DatasetError: with everything that is wrong, unless bad rows may be skipped.
    """
    images, found = list(images), list(problems)
    unread = {(problem.path, problem.row) for problem in found if problem.row}
    wrong = [[*image.wrong, *_wrong_annotations(image)] for image in images]
    copies = _mark_repeated_annotations(images, wrong)
    for image, each in zip(images, wrong, strict=True):
        found += (RowProblem(str(image.path), image.row, *one) for one in each)
    found.sort(key=lambda problem: (problem.path, problem.row))
    good = [image for image, each in zip(images, wrong, strict=True) if not each]
    if found and not (options.skip_bad and good):
        raise DatasetError(found)
    _refuse_unannotated_classes(good, about.source, options.truth)
    features = about.sensitive_features
    lost = [image for i, image in enumerate(images) if wrong[i] and i not in copies]
    missing = (
        *(image.known_values(features) for image in lost),
        *[(None,) * len(features)] * len(unread),
    )
    return _dataset_of_annotated(good, about, options, tuple(found), missing)


def _wrong_annotations(image: AnnotatedImage) -> Iterator[Wrong]:
    """Yields what is wrong with an image by itself."""
    if not image.image_id:
        yield Wrong("its image or id is empty", "Fill it in, or leave the row out with --skip-bad")
    elif image.reference is None:
        what = f"the image {image.image_id} lies outside the folder of images"
        yield Wrong(what, "Write its path from the folder of images, which --images names")
    elif isinstance(image.reference, Path) and not os.path.isfile(image.reference):
        remedy = "Put it there, or name the folder of images with --images"
        yield Wrong(f"there is no file {image.reference}", remedy)
    yield from _long_annotations(image)
    for name, value in image.values.items():
        if isinstance(value, Wrong):
            yield value
        elif is_empty_annotation(value):
            yield Wrong(f"{name} is empty", "Fill it in, or leave the row out with --skip-bad")
    if image.sha256 and not re.fullmatch("[0-9A-Fa-f]{64}", image.sha256):
        yield Wrong(f"{image.sha256} is not a SHA-256", "Write 64 hexadecimal digits")


def _long_annotations(image: AnnotatedImage) -> Iterator[Wrong]:
    names = {**image.values, "its class": image.y_true}
    for name, text, most in (
        *((name, text, _LONGEST) for name, text in names.items() if isinstance(text, str)),
        ("its id", image.image_id, _LONGEST_ID),
    ):
        if len(text) > most:
            what = f"{name} has {len(text):,} characters, and a name has at most {most:,}"
            yield Wrong(what, "Name another column, or shorten it")


def _mark_repeated_annotations(
    images: Sequence[AnnotatedImage], wrong: Sequence[list[Wrong]]
) -> set[int]:
    """Adds what is wrong where an earlier row has the same image, or otherwise the same id.

    Returns the indexes of the rows that only repeat a good one, so that nothing is lost with them.
    """
    copies: set[int] = set()
    first: dict[Reference | str, int] = {}
    for index, image in enumerate(images):
        if image.reference is None:
            continue
        same_image = first.setdefault(image.reference, index)
        same_id = first.setdefault(image.image_id, index)
        earlier, what = (same_image, "image") if same_image != index else (same_id, "id")
        if earlier == index:
            continue
        if what == "image" and not _say_the_same(images[earlier], image):
            wrong[earlier].append(_repeated_annotation(what, images[earlier], image))
        elif what == "image" and not wrong[earlier] and not wrong[index]:
            copies.add(index)
        wrong[index].append(_repeated_annotation(what, image, images[earlier]))
    return copies


def _say_the_same(one: AnnotatedImage, two: AnnotatedImage) -> bool:
    return composed(one.y_true) == composed(two.y_true) and one.known_values(
        one.values
    ) == two.known_values(one.values)


def _repeated_annotation(what: str, image: AnnotatedImage, other: AnnotatedImage) -> Wrong:
    row = f"row {other.row}"
    place = row if other.path == image.path else f"{other.path}, {row}"
    return Wrong(f"the {what} {image.image_id} is also in {place}", "Keep one of the two rows")


def _refuse_unannotated_classes(
    images: Iterable[AnnotatedImage], source: Path, truth: Mapping[str, str]
) -> None:
    classes = {composed(image.y_true) for image in images if image.y_true}
    if unknown := [name for name in truth if composed(name) not in classes]:
        what = f"no image has the class {', '.join(unknown)} that --truth names"
        remedy = f"The classes are: {', '.join(sorted(classes)) or 'none'}"
        raise DatasetError.of(source, what, remedy)


def _dataset_of_annotated(
    images: list[AnnotatedImage],
    about: About,
    options: LoadOptions,
    left_out: tuple[RowProblem, ...],
    missing: tuple[tuple[str | None, ...], ...],
) -> Dataset:
    hashes = tuple(image.sha256.lower() or None for image in images)
    spellings = Spellings()
    truth = {composed(name): meant for name, meant in options.truth.items()}
    classes = [spellings.read(Y_TRUE, image.y_true) for image in images]
    columns: dict[str, Sequence[str | None]] = {
        IMAGE_ID: [utf8(image.image_id) for image in images],
        Y_TRUE: [utf8(truth.get(name, name)) or None for name in classes],
    }
    for name in about.sensitive_features:
        cells = (image.values[name] for image in images)
        columns[composed(name)] = [spellings.read(composed(name), str(cell)) for cell in cells]
    notes = (*about.notes, *spellings.notes())
    if left_out:
        rows = len({(problem.path, problem.row) for problem in left_out})
        notes = (*notes, f"Rows left out on request, since something is wrong with them: {rows}.")
    return Dataset(
        name=utf8(about.name),
        adapter=about.adapter,
        source=about.source,
        # Objects, since a column of pandas' own text type has NaN instead of None.
        table=pd.DataFrame(columns, dtype=object),
        references=tuple(image.reference for image in images if image.reference),
        sensitive_features=tuple(map(composed, about.sensitive_features)),
        orders=about.orders,
        benign=about.benign if options.benign is None else options.benign,
        expected_sha256=hashes if any(hashes) else None,
        rows=tuple(image.row for image in images) if all(r.row for r in images) else (),
        left_out=left_out,
        missing=missing,
        notes=notes,
    )
