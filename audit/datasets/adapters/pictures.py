"""Any folder of pictures, of which nothing is known: not an adapter, since audits need more."""

from __future__ import annotations

from pathlib import Path

from audit.datasets.adapters import fairface, recorded, utkface
from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About, AnnotatedImage
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError
from moderation.images.folder import Kind, counts_by_kind, entries

#: Layouts that say of whom the pictures are, or that have no pictures.
_ANNOTATED = (fairface, utkface, recorded)


def is_plain_folder(path: Path) -> bool:
    """Returns whether this is a folder whose pictures nobody annotated with groups."""
    return path.is_dir() and not any(each.matches(path) for each in _ANNOTATED)


def load_pictures(path: Path, options: LoadOptions) -> Dataset:
    """Returns all images in a folder and below it, by their paths from there.

    Raises:
        DatasetError: there is no image in it.
    """
    inside = list(entries(path))
    files = sorted(entry.path for entry in inside if entry.kind is Kind.IMAGE)
    if not files:
        remedy = "Name a folder of images, or a dataset"
        raise DatasetError.of(path, "there is no image in this folder", remedy)
    found = [AnnotatedImage(each, 0, each.relative_to(path).as_posix(), each) for each in files]
    passed_over = [entry for entry in inside if entry.kind is not Kind.IMAGE]
    notes = (f"Passed over: {counts_by_kind(passed_over)}.",) if passed_over else ()
    about = About("pictures", path, f"pictures:{path.resolve().name}", notes=notes)
    return build_dataset(found, about, options, [])
