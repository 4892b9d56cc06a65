"""FairFace: the CSV as released, and the Parquet files of a model hub.

Its labels are what annotators perceived, not what the people in the images say of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import (
    CORRECT_OR_LEAVE_OUT,
    About,
    Wrong,
    empty_annotation,
)
from audit.datasets.adapters.csv_and_parquet import Annotations, columns_of, is_table
from audit.datasets.adapters.options import SHA256, LoadOptions
from audit.datasets.adapters.spreadsheet import SpreadsheetDates
from audit.datasets.adapters.table import TableLayout, read_tables, table_image_root, table_images
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError

RACE, GENDER, AGE = "race", "gender", "age"
SENSITIVE_FEATURES = (RACE, GENDER, AGE)

#: Age groups in their order; over 69 is one group, called as FairFace calls it.
AGES = (
    *("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69"),
    "more than 70",
)

#: Images of each group in the validation set as it was released.
VALIDATION_COUNTS: Mapping[str, Mapping[str, int]] = {
    RACE: {
        "White": 2085,
        "Latino_Hispanic": 1623,
        "Black": 1556,
        "East Asian": 1550,
        "Indian": 1516,
        "Southeast Asian": 1415,
        "Middle Eastern": 1209,
    },
    GENDER: {"Male": 5792, "Female": 5162},
    AGE: dict(zip(AGES, (199, 1356, 1181, 3300, 2330, 1353, 796, 321, 118), strict=True)),
}
VALIDATION_SIZE = 10_954

_FILE, _IMAGE, _SERVICE_TEST = "file", "image", "service_test"
_RELEASED = re.compile(r"fairface_label_\w+\.csv")
_SHARD = re.compile(r"(.+?)-\d+-of-\d+.*\.parquet")
_PERCEIVED = "Race, gender and age are as annotators perceived them in a photograph."

_KNOWN = {name: tuple(counts) for name, counts in VALIDATION_COUNTS.items()}
_KNOWN[_SERVICE_TEST] = ("TRUE", "FALSE")


def _fairface_key(text: str) -> str:
    """Returns a text without case, and with one space between words or numbers."""
    return re.sub(r"[\s_/–-]+", " ", text.casefold()).strip()


_SPELLINGS = {
    name: {_fairface_key(value): value for value in values} for name, values in _KNOWN.items()
}
_SPELLINGS[RACE]["latino"] = "Latino_Hispanic"
for _spelling in ("over 70", "70+", ">70", "70 and over"):
    _SPELLINGS[AGE][_spelling] = AGES[-1]
_SPELLINGS[_SERVICE_TEST] |= {"1": "TRUE", "0": "FALSE"}


def matches(path: Path) -> bool:
    """Returns whether this is FairFace's file of labels, or a folder with such files."""
    return bool(_fairface_parts(path))


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of FairFace's file, or of the one part that a folder holds.

    Raises:
        DatasetError: with everything that is wrong with it.
    """
    files = _only_fairface_part(path)
    layout = _fairface_layout(files[0])
    tables = read_tables(files, layout)
    _refuse_fairface_numbers(tables)
    dates = SpreadsheetDates(options.repair)

    def fairface_cell(name: str, cell: str) -> str | Wrong:
        if empty := empty_annotation(name, cell):
            return empty
        text = dates.read(cell) if name == AGE else cell
        return text if isinstance(text, Wrong) else _fairface_group(name, text)

    images = list(table_images(tables, layout, table_image_root(files[0], options), fairface_cell))
    about = About(
        adapter="fairface",
        source=files[0] if len(files) == 1 else path,
        name=f"fairface:{_fairface_name(path)}",
        sensitive_features=SENSITIVE_FEATURES,
        orders={AGE: AGES},
        benign=True,
        notes=(_PERCEIVED, *dates.notes()),
    )
    problems = [problem for table in tables for problem in table.problems]
    dataset = build_dataset(images, about, options, problems)
    rows = len(images) + len(problems)
    return replace(dataset, notes=(*dataset.notes, *_fairface_size_notes(files[0], rows, dataset)))


def age_group(years: int) -> str:
    """Returns FairFace's age group of an age in years; 70 counts as more than 70."""
    for group in AGES[:-1]:
        if years <= int(group.split("-")[1]):
            return group
    return AGES[-1]


def fairface_differences(table: pd.DataFrame) -> tuple[str, ...]:
    """Returns in words every group whose size differs from that in the released validation set."""
    found = []
    for name, published in VALIDATION_COUNTS.items():
        counts = table[name].value_counts()
        for group, n in published.items():
            if (here := int(counts.get(group, 0))) != n:
                found.append(f"{name} {group} has {here:,}, published are {n:,}")
    return tuple(found)


def _fairface_group(name: str, cell: str) -> str | Wrong:
    """Returns the group that a cell means, as FairFace spells it, or what is wrong with it."""
    value = _SPELLINGS[name].get(_fairface_key(cell))
    if value is None:
        known = f"Known are: {', '.join(_KNOWN[name])}"
        return Wrong(f"there is no {name} {cell}", f"{known}. {CORRECT_OR_LEAVE_OUT}")
    return value


def _fairface_parts(path: Path) -> dict[str, list[Path]]:
    """Returns the files of each part of the dataset in a path: of train, of validation."""
    if not path.is_dir():
        return {path.name: [path]} if is_table(path) and _is_fairface(path) else {}
    parts: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        named = file.suffix.lower() == ".parquet" or file.name == "labels.csv"
        if (named or _RELEASED.fullmatch(file.name)) and is_table(file) and _is_fairface(file):
            parts.setdefault(_fairface_part(file), []).append(file)
    return parts


def _is_fairface(path: Path) -> bool:
    if _RELEASED.fullmatch(path.name):
        return True  # even where a column is missing, so that the error can say so
    try:
        present = set(columns_of(path))
    except DatasetError:
        return False
    return present >= set(SENSITIVE_FEATURES) and bool(present & {_FILE, _IMAGE})


def _fairface_part(file: Path) -> str:
    shard = _SHARD.fullmatch(file.name)
    return shard[1] if shard else file.name


def _only_fairface_part(path: Path) -> list[Path]:
    parts = _fairface_parts(path)
    if len(parts) == 1:
        [files] = parts.values()
        return files
    if parts:
        remedy = "Name one of the files, or put each part into a folder of its own"
        raise DatasetError.of(path, f"it holds several parts: {', '.join(parts)}", remedy)
    remedy = f"Name a CSV or Parquet file with the columns {_FILE}, {', '.join(SENSITIVE_FEATURES)}"
    if is_table(path):
        remedy += f"; this one has: {', '.join(columns_of(path))}"
    raise DatasetError.of(path, "there are no labels of FairFace in it", remedy)


def _fairface_layout(path: Path) -> TableLayout:
    present = columns_of(path)
    checked = [_SERVICE_TEST] if _SERVICE_TEST in present else []  # not needed, only checked
    return TableLayout(
        # Where a Parquet file has both, `file` only repeats what the image's path says.
        image=_IMAGE if _IMAGE in present else _FILE,
        sensitive_features={name: name for name in (*SENSITIVE_FEATURES, *checked)},
        sha256=SHA256 if SHA256 in present else None,
    )


def _refuse_fairface_numbers(tables: Sequence[Annotations]) -> None:
    remedy = (
        "They are never guessed: one copy of FairFace has Male as 0, another Female. "
        "Write the names instead"
    )
    problems = []
    for table in tables:
        if columns := sorted(table.numbered & set(SENSITIVE_FEATURES)):
            what = f"{', '.join(columns)} holds numbers, and the file does not state their names"
            problems.append((str(table.path), 0, what, remedy))
    if problems:
        raise DatasetError(problems)


def _fairface_name(path: Path) -> str:
    path = path.resolve()
    return path.parent.name if path.name == "labels.csv" else path.name.removesuffix(path.suffix)


def _fairface_size_notes(file: Path, rows: int, dataset: Dataset) -> tuple[str, ...]:
    """Returns notes where this is not the validation set that its name or size promises."""
    called_validation = _fairface_part(file).split(".")[0].endswith(("label_val", "validation"))
    if rows != VALIDATION_SIZE:
        sizes = f"FairFace's validation set has {VALIDATION_SIZE:,} images, and this file {rows:,}"
        return (f"{sizes}: it is a part or a changed copy.",) if called_validation else ()
    if len(dataset) == rows and (found := fairface_differences(dataset.table)):
        what = "As many images as FairFace's validation set, but other groups: it was changed"
        return (f"{what}. {'; '.join(found)}.",)
    return ()
