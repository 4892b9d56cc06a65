"""A folder for each label and one for what must pass, as pictures with labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About, AnnotatedImage
from audit.datasets.adapters.folders import BESIDE, PASSED_OVER
from audit.datasets.adapters.options import LoadOptions
from audit.errors import DatasetError, RowProblem
from audit.evaluation.claimed_names import LEFT_OUT, ClaimedNames
from audit.evaluation.labelled_dataset import LabelledDataset
from audit.evaluation.labelled_images import LabelledImages
from audit.plurals import counted
from moderation.images.folder import Entry, Kind, counts_by_kind, entries, is_hidden


def labelled_by_folder(path: Path, claimed: ClaimedNames, options: LoadOptions) -> LabelledDataset:
    """Returns the pictures below a folder, each by the name of the folder that it is in.

    Of folders in each other the innermost counts that has the name of a label: a category such as
    weapons/firearms may be two of them.

    Raises:
        DatasetError: with every folder whose name no label has, and every file of another kind.
    """
    inside = list(entries(path, hidden=False))
    images = [entry.path for entry in inside if entry.kind is Kind.IMAGE]
    names = {file: _folder_name(file.relative_to(path), claimed) for file in images}
    empty = _empty_folders(path, images)
    claimed.refuse_unknown({*filter(None, names.values()), *empty}, path)
    kept = [file for file in sorted(images) if claimed.meaning(names[file]) != LEFT_OUT]
    passed_over = [entry for entry in inside if entry.kind in PASSED_OVER]
    about = About(
        "folders",
        path,
        f"folders:{path.resolve().name}",
        notes=tuple(_folder_notes(empty, passed_over, len(images) - len(kept))),
    )
    annotated = [AnnotatedImage(f, 0, f.relative_to(path).as_posix(), f) for f in kept]
    if not annotated:
        remedy = "Name a folder with a folder of images for each label, and one called pass"
        raise DatasetError.of(path, "there is no image in a folder of it", remedy)
    reading = LoadOptions(skip_bad=options.skip_bad)
    dataset = build_dataset(annotated, about, reading, _folder_problems(path, inside))
    meant = {f.relative_to(path).as_posix(): str(claimed.meaning(names[f])) for f in kept}
    ids = dataset.table["image_id"].to_list()
    given = [[meant[image_id]] if meant.get(image_id) else [] for image_id in ids]
    return LabelledDataset(dataset, LabelledImages.of_names(ids, given, about.name))


def _folder_name(file: Path, claimed: ClaimedNames) -> str:
    """Returns the folders that name a picture; the outermost where no label has a name of them.

    It is empty for a picture beside the folders.
    """
    parts = file.parent.parts
    for end in range(len(parts), 0, -1):
        for start in range(end):
            if claimed.claimed(name := "/".join(parts[start:end])):
                return name
    return parts[0] if parts else ""


def _empty_folders(path: Path, images: list[Path]) -> list[str]:
    """Returns the names of the outermost folders without an image."""
    full = {file.relative_to(path).parts[0] for file in images}
    there = (each.name for each in path.iterdir() if each.is_dir() and not each.is_symlink())
    return sorted(name for name in there if name not in full and not is_hidden(name))


def _folder_notes(empty: list[str], passed_over: list[Entry], left_out: int) -> Iterator[str]:
    if empty:
        yield f"Folders without an image: {', '.join(empty)}."
    if passed_over:
        yield f"Passed over: {counts_by_kind(passed_over)}."
    if left_out:
        yield f"Left out, since what they show is said to be unknown: {counted(left_out, 'image')}."


def _folder_problems(path: Path, inside: list[Entry]) -> Iterator[RowProblem]:
    """Yields what is in a folder and not an image of a label."""
    remedy = "Remove it, or put it into the folder of its label"
    for entry in inside:
        beside = entry.kind is Kind.NO_IMAGE and entry.path.suffix.lower() in BESIDE
        if entry.kind is Kind.IMAGE and entry.path.parent == path:
            yield RowProblem(str(entry.path), 0, "it is not in the folder of any label", remedy)
        elif entry.kind not in (Kind.IMAGE, *PASSED_OVER) and not beside:
            yield RowProblem(str(entry.path), 0, f"it is {entry.kind}", remedy)
