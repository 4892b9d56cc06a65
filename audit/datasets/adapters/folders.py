"""One folder for each class, as photographs for classifiers are usually stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About, AnnotatedImage
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError, RowProblem
from moderation.images.folder import Entry, Kind, counts_by_kind, entries, is_hidden, kind_of

#: Files that may lie beside the folders of classes: labels, notes, licences.
_TEXT = ("", ".txt", ".md", ".rst")
#: What a dataset may hold besides its images, as long as a note says so.
PASSED_OVER = (Kind.HIDDEN, Kind.LINK_TO_FOLDER)
BESIDE = (*_TEXT, ".csv", ".tsv", ".parquet", ".json", ".jsonl", ".yaml", ".yml")


def matches(path: Path) -> bool:
    """Returns whether this is a folder with a folder of images in it."""
    return path.is_dir() and any(
        any(entry.kind is Kind.IMAGE for entry in entries(folder, hidden=False))
        for folder in _class_folders(path)
    )


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the images below the folder of each class; the folder's name is y_true.

    Raises:
        DatasetError: with every empty class, every file that is not an image, and every folder
            that cannot be read.
    """
    folders = _class_folders(path) if path.is_dir() else []
    _refuse_no_class_folders(path, folders)
    problems = list(_problems_beside_folders(path))
    passed_over = [Entry(entry, Kind.HIDDEN) for entry in path.iterdir() if is_hidden(entry.name)]
    annotated = []
    for folder in folders:
        inside = list(entries(folder, hidden=False))
        images = sorted(entry.path for entry in inside if entry.kind is Kind.IMAGE)
        annotated += [
            AnnotatedImage(file, 0, file.relative_to(path).as_posix(), file, y_true=folder.name)
            for file in images
        ]
        passed_over += (entry for entry in inside if entry.kind in PASSED_OVER)
        problems += _problems_inside_folder(folder, inside)
    notes = (f"Passed over: {counts_by_kind(passed_over)}.",) if passed_over else ()
    about = About("folders", path, f"folders:{path.resolve().name}", notes=notes)
    return build_dataset(annotated, about, options, problems)


def _refuse_no_class_folders(path: Path, folders: list[Path]) -> None:
    """Raises where there is no folder, or a single one around those of the classes."""
    if not folders:
        remedy = "Name a folder with one folder for each class"
        raise DatasetError.of(path, "there is no folder in it", remedy)
    kinds = map(kind_of, _files_beside_folders(folders[0]))
    if len(folders) == 1 and _class_folders(folders[0]) and Kind.IMAGE not in kinds:
        what = f"its only class is {folders[0].name}, which holds folders and no image"
        raise DatasetError.of(path, what, f"Name {folders[0]} instead")


def _problems_beside_folders(path: Path) -> Iterator[RowProblem]:
    for file in _files_beside_folders(path):
        kind = kind_of(file)
        if kind is Kind.IMAGE:
            yield _folder_problem(file, "it is not in the folder of any class")
        elif kind is not Kind.NO_IMAGE or file.suffix.lower() not in BESIDE:
            yield _folder_problem(file, f"it is {kind}")


def _problems_inside_folder(folder: Path, inside: list[Entry]) -> Iterator[RowProblem]:
    """Yields what is wrong in the folder of a class."""
    for entry in inside:
        if entry.kind not in (Kind.IMAGE, *PASSED_OVER):
            yield _folder_problem(entry.path, f"it is {entry.kind}")
    if not any(entry.kind is Kind.IMAGE for entry in inside):
        remedy = "Put images into it, or remove it"
        what = "an empty class: there is no image in its folder"
        yield RowProblem(str(folder), 0, what, remedy)


def _folder_problem(file: Path, what: str) -> RowProblem:
    return RowProblem(str(file), 0, what, "Remove it, or put an image into the folder of its class")


def _class_folders(path: Path) -> list[Path]:
    inside = (entry for entry in path.iterdir() if entry.is_dir())
    return sorted(entry for entry in inside if not is_hidden(entry.name))


def _files_beside_folders(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if not file.is_dir() and not is_hidden(file.name))
