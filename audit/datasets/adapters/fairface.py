"""FairFace: the CSV as released, and the Parquet files of a model hub.

Its labels are what annotators perceived, not what the people in the images say of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from audit.datasets.adapters.annotated import Layout, has_columns, image_root, read_all, records_of
from audit.datasets.adapters.fairface_values import (
    AGE,
    AGES,
    FEATURES,
    SERVICE_TEST,
    VALIDATION_SIZE,
    differences,
    read_value,
)
from audit.datasets.adapters.files import Annotations, columns_of, is_table
from audit.datasets.adapters.options import SHA256, LoadOptions
from audit.datasets.adapters.rows import About, Wrong, build_dataset
from audit.datasets.adapters.spreadsheet import Dates
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError

_FILE, _IMAGE = "file", "image"
_RELEASED = re.compile(r"fairface_label_\w+\.csv")
_SHARD = re.compile(r"(.+?)-\d+-of-\d+.*\.parquet")
_PERCEIVED = "Race, gender and age are as annotators perceived them in a photograph."


def matches(path: Path) -> bool:
    """Returns whether this is FairFace's file of labels, or a folder with such files."""
    return bool(_parts(path))


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of a file, or of the one part that a folder holds.

    Raises:
        DatasetError: with everything that is wrong with it.
    """
    files = _only_part(path)
    source = files[0] if len(files) == 1 else path
    layout = _layout(files[0])
    tables = read_all(files, layout)
    _refuse_numbers(tables)
    dates = Dates(options.repair)

    def read(feature: str, cell: str) -> str | Wrong:
        text = dates.read(cell) if feature == AGE else cell
        return text if isinstance(text, Wrong) else read_value(feature, text)

    records = list(records_of(tables, layout, image_root(files[0], options), read))
    about = About(
        adapter="fairface",
        source=source,
        name=f"fairface:{_name(path)}",
        sensitive_features=FEATURES,
        orders={AGE: AGES},
        benign=True,
        notes=(_PERCEIVED, *dates.notes()),
    )
    problems = [problem for table in tables for problem in table.problems]
    dataset = build_dataset(records, about, options, problems)
    rows = len(records) + len(problems)
    return replace(dataset, notes=(*dataset.notes, *_size_notes(files[0], rows, dataset)))


def _parts(path: Path) -> dict[str, list[Path]]:
    """Returns the files of each part of the dataset in a path: of train, of validation."""
    if not path.is_dir():
        return {path.name: [path]} if is_table(path) and _is_labels(path) else {}
    parts: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        named = file.suffix.lower() == ".parquet" or file.name == "labels.csv"
        if (named or _RELEASED.fullmatch(file.name)) and is_table(file) and _is_labels(file):
            parts.setdefault(_part(file), []).append(file)
    return parts


def _is_labels(path: Path) -> bool:
    if _RELEASED.fullmatch(path.name):
        return True  # even where a column is missing, so that the error can say so
    return any(has_columns(path, image, *FEATURES) for image in (_FILE, _IMAGE))


def _part(file: Path) -> str:
    shard = _SHARD.fullmatch(file.name)
    return shard[1] if shard else file.name


def _only_part(path: Path) -> list[Path]:
    parts = _parts(path)
    if len(parts) == 1:
        [files] = parts.values()
        return files
    if not parts:
        what = "there are no labels of FairFace in it"
        remedy = f"Name a CSV or Parquet file with the columns {_FILE}, {', '.join(FEATURES)}"
        if is_table(path):
            remedy += f"; this one has: {', '.join(columns_of(path))}"
    else:
        what = f"it holds several parts: {', '.join(parts)}"
        remedy = "Name one of the files, or put each part into a folder of its own"
    raise DatasetError([(str(path), 0, what, remedy)])


def _layout(path: Path) -> Layout:
    present = columns_of(path)
    absent = None if SERVICE_TEST in present else SERVICE_TEST  # only checked, so not needed
    return Layout(
        # Where a Parquet file has both, `file` only repeats what the image's path says.
        image=_IMAGE if _IMAGE in present else _FILE,
        features={name: name for name in (*FEATURES, SERVICE_TEST) if name != absent},
        sha256=SHA256 if SHA256 in present else None,
    )


def _refuse_numbers(tables: Sequence[Annotations]) -> None:
    problems = []
    for table in tables:
        if columns := sorted(table.numbered & set(FEATURES)):
            what = f"{', '.join(columns)} holds numbers, and the file does not state their names"
            remedy = (
                "They are never guessed: one copy of FairFace has Male as 0, another Female. "
                "Write the names in their place"
            )
            problems.append((str(table.path), 0, what, remedy))
    if problems:
        raise DatasetError(problems)


def _name(path: Path) -> str:
    path = path.resolve()
    return path.parent.name if path.name == "labels.csv" else path.name.removesuffix(path.suffix)


def _size_notes(file: Path, rows: int, dataset: Dataset) -> tuple[str, ...]:
    """Returns notes where this is not the validation set that its name or size promises."""
    called_validation = _part(file).split(".")[0].endswith(("label_val", "validation"))
    if rows != VALIDATION_SIZE:
        told = f"FairFace's validation set has {VALIDATION_SIZE:,} images, and this file {rows:,}"
        return (f"{told}: it is a part or a changed copy.",) if called_validation else ()
    if len(dataset) == rows and (found := differences(dataset.table)):
        told = "As many images as FairFace's validation set, but other groups: it was changed"
        return (f"{told}. {'; '.join(found)}.",)
    return ()
