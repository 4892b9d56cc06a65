"""A table with several labels an image: one column of names, or a column of 0 and 1 a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.adapters.csv_and_parquet import columns_of, read_annotations
from audit.datasets.adapters.options import ID, IMAGE, SHA256
from audit.datasets.spelling import composed
from audit.errors import DatasetError, RowProblem
from audit.evaluation.claimed_names import LEFT_OUT, ClaimedNames
from audit.evaluation.labelled_dataset import LabelledDataset
from audit.evaluation.labelled_images import NO, UNKNOWN, YES, LabelledImages

#: What stands between the names of a picture, and the key of the column that holds them.
SEPARATOR, LABELS = "|", "labels"

#: What a column of images, and one of names, is called where nobody says.
_IMAGE_COLUMNS = ("image", "file", "path", "filename")
_LABEL_COLUMNS = ("labels", "label")

_MARKS = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), YES),
    **dict.fromkeys(("0", "0.0", "false", "no"), NO),
    "": UNKNOWN,
}


class _LabelColumns(NamedTuple):
    """Which columns of a table hold names, or 0 and 1 for one name."""

    reading: LoadOptions
    names: str | None
    marks: Mapping[str, str]


def labelled_by_table(path: Path, claimed: ClaimedNames, options: LoadOptions) -> LabelledDataset:
    """Returns the pictures of a CSV or Parquet file with their labels.

    An empty cell of names says that nothing is known of the picture, one of a label that it is not
    known of that label.

    Raises:
        DatasetError: with everything that is wrong: a column that is missing, a name that no label
            has, a cell that is neither 0 nor 1.
    """
    columns = _label_columns(path, claimed, options)
    dataset = load_dataset(path, adapter="table", options=columns.reading)
    wanted = [columns.names] if columns.names else list(columns.marks)
    table = read_annotations(path, wanted)
    places = {row: place for place, row in enumerate(table.rows)}
    rows = [places[row] for row in dataset.rows]
    cells = {name: [table.cells[name][place].strip() for place in rows] for name in wanted}
    ids = dataset.table["image_id"].to_list()
    if columns.names:
        images = _named_images(path, ids, cells[columns.names], claimed, dataset.name)
        return LabelledDataset(dataset, images)
    problems = list(_mark_problems(path, dataset.rows, cells))
    if problems and not options.skip_bad:
        raise DatasetError(problems)
    marks = np.array([[_MARKS.get(c.casefold(), UNKNOWN) for c in cells[w]] for w in wanted]).T
    names = tuple(columns.marks[each] for each in wanted)
    images = LabelledImages(tuple(ids), names, marks.astype(np.int8), dataset.name, asked=True)
    return LabelledDataset(dataset, images)


def _named_images(
    path: Path, ids: Sequence[str], cells: Sequence[str], claimed: ClaimedNames, source: str
) -> LabelledImages:
    written = [[part.strip() for part in c.split(SEPARATOR) if part.strip()] for c in cells]
    claimed.refuse_unknown({name for names in written for name in names}, path)
    given = [[str(claimed.meaning(name)) for name in names] for names in written]
    # A picture that is left out by one of its names is left out.
    known = [[] if LEFT_OUT in names else names for names in given]
    return LabelledImages.of_names(ids, known, source)


def _label_columns(path: Path, claimed: ClaimedNames, options: LoadOptions) -> _LabelColumns:
    """Returns which columns hold what: as the options say, or by their names."""
    present = {composed(name): name for name in columns_of(path)}
    said = {key: present.get(composed(name), name) for key, name in options.columns.items()}
    image = said.pop(IMAGE, None) or _first_present(present, _IMAGE_COLUMNS)
    about = {key: said.pop(key) for key in (ID, SHA256) if key in said}
    names = said.pop(LABELS, None)
    if names is None and not said:
        names = _first_present(present, _LABEL_COLUMNS)
    there = f"the file has: {', '.join(present.values())}"
    if image is None:
        what, remedy = "which column holds the images is not said", "Add --column image=NAME"
        raise DatasetError.of(path, what, f"{remedy}; {there}")
    if names and said:
        what = f"--column names labels, and {', '.join(said)} too"
        raise DatasetError.of(path, what, "Name one column of labels, or a column for each label")
    reading = replace(options, columns={IMAGE: image, **about}, truth={}, benign=None)
    if names:
        return _LabelColumns(reading, names, {})
    others = [name for name in present.values() if name not in (image, *about.values())]
    marks = _mark_columns(path, others, said, claimed)
    if not marks:
        what = "no column is called labels, or by a label or category"
        raise DatasetError.of(path, what, f"Say --column labels=NAME; {there}")
    return _LabelColumns(reading, None, marks)


def _mark_columns(
    path: Path, others: Sequence[str], said: Mapping[str, str], claimed: ClaimedNames
) -> dict[str, str]:
    """Returns the label of each column of 0 and 1, as it is said or by its name.

    Raises:
        DatasetError: no label has the name that is said.
    """
    ClaimedNames(claimed.labels, option="--column").refuse_unknown(said, path)
    named = {name: claimed.claimed(name) for name in others}
    named |= {column: claimed.claimed(key) for key, column in said.items()}
    return {column: meant for column, meant in named.items() if meant not in (None, LEFT_OUT)}


def _first_present(present: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((present[name] for name in names if name in present), None)


def _mark_problems(
    path: Path, rows: Sequence[int], cells: Mapping[str, Sequence[str]]
) -> Iterator[RowProblem]:
    for name, column in cells.items():
        for row, cell in zip(rows, column, strict=True):
            if cell.casefold() not in _MARKS:
                what = f"{name} is {cell}, which is neither 0 nor 1"
                yield RowProblem(str(path), row, what, "Write 1, 0, or nothing where it is unknown")
