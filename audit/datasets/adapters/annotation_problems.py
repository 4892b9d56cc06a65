"""What is wrong with rows of annotations, each by itself and beside the others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from audit.datasets.adapters.annotated_images import LONGEST_NAME, AnnotatedImage, Wrong
from audit.datasets.image_references import Reference
from audit.datasets.spelling import composed

#: The most characters in what an image is called.
_LONGEST_ID = 4096


def wrong_annotations(image: AnnotatedImage) -> Iterator[Wrong]:
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
    yield from (value for value in image.values.values() if isinstance(value, Wrong))
    if image.sha256 and not re.fullmatch("[0-9A-Fa-f]{64}", image.sha256):
        yield Wrong(f"{image.sha256} is not a SHA-256", "Write 64 hexadecimal digits")


def _long_annotations(image: AnnotatedImage) -> Iterator[Wrong]:
    names = {**image.values, "its class": image.y_true}
    for name, text, most in (
        *((name, text, LONGEST_NAME) for name, text in names.items() if isinstance(text, str)),
        ("its id", image.image_id, _LONGEST_ID),
    ):
        if len(text) > most:
            what = f"{name} has {len(text):,} characters, and a name has at most {most:,}"
            yield Wrong(what, "Name another column, or shorten it")


def mark_repeated_annotations(
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
