"""One folder for each class, as photographs to be classified are usually kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from audit.adapters.options import LoadOptions
from audit.adapters.rows import About, Record, build_dataset
from audit.dataset import Dataset
from audit.errors import DatasetError, RowProblem
from moderation.formats import SUFFIXES

#: Files beside the folders of classes that may be there: labels, notes, licences.
_TEXT = ("", ".txt", ".md", ".rst")
_BESIDE = (*_TEXT, ".csv", ".tsv", ".parquet", ".json", ".jsonl", ".yaml", ".yml")


def matches(path: Path) -> bool:
    """Returns whether this is a folder with a folder of images in it."""
    return path.is_dir() and any(
        any(_is_image(file) for file in _files(folder)) for folder in _folders(path)
    )


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the images below each folder of a class; the folder's name is y_true.

    Raises:
        DatasetError: with every empty class, and every file that is no image by its name.
    """
    folders = _folders(path) if path.is_dir() else []
    _refuse_no_classes(path, folders)
    problems = list(_problems_beside(path))
    records = []
    for folder in folders:
        images, others = _sorted_out(folder)
        records += [
            Record(file, 0, file.relative_to(path).as_posix(), file, y_true=folder.name)
            for file in images
        ]
        problems += [_problem(file, "it is no image, by its name") for file in others]
        if not images:
            remedy = "Put images into it, or remove it"
            what = "an empty group: no image is in the folder of this class"
            problems.append(RowProblem(str(folder), 0, what, remedy))
    about = About("folders", path, f"folders:{path.resolve().name}")
    return build_dataset(records, about, options, problems)


def _refuse_no_classes(path: Path, folders: list[Path]) -> None:
    """Raises where the folders are none, or a single one around those of the classes."""
    if not folders:
        what, remedy = "there is no folder in it", "Name a folder with one folder for each class"
    elif len(folders) == 1 and _folders(folders[0]) and not any(map(_is_image, _own(folders[0]))):
        what = f"its only class is {folders[0].name}, which holds folders and no image"
        remedy = f"Name {folders[0]} in its place"
    else:
        return
    raise DatasetError([(str(path), 0, what, remedy)])


def _problems_beside(path: Path) -> Iterator[RowProblem]:
    for file in _own(path):
        if _is_image(file):
            yield _problem(file, "it is in the folder of no class")
        elif file.suffix.lower() not in _BESIDE:
            yield _problem(file, "it is no image, by its name")


def _problem(file: Path, what: str) -> RowProblem:
    remedy = f"Remove it, or put it into a class's folder; images end in {', '.join(SUFFIXES)}"
    return RowProblem(str(file), 0, what, remedy)


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    files = sorted(_files(folder))
    images = [file for file in files if _is_image(file)]
    return images, [file for file in files if not _is_image(file)]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _folders(path: Path) -> list[Path]:
    inside = (entry for entry in path.iterdir() if entry.is_dir())
    return sorted(entry for entry in inside if not _is_hidden(entry.name))


def _own(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file() and not _is_hidden(file.name))


def _files(folder: Path) -> Iterator[Path]:
    """Yields the files in a folder and below it."""
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(path, name) for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """Returns whether an operating system or its user put a file there to be overlooked."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini")
