"""Files of annotations, and which of their columns is what -> records of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from audit.datasets.adapters.files import Annotations, columns_of, read_annotations
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.adapters.rows import Record, Wrong, is_nothing, locate
from audit.datasets.references import ParquetImage, Reference
from audit.errors import DatasetError

#: Returns the value of a feature from its cell, or what is wrong with it.
ReadValue = Callable[[str, str], str | Wrong]


class Layout(NamedTuple):
    """Which column is what.

    Attributes:
        image: paths of images, or in a Parquet file images.
        features: column of each feature whose cells are read and checked.
        y_true: classes, where there are any.
        id: what images are called; by default their path.
        sha256: hashes of the images, where they are stated.
    """

    image: str
    features: Mapping[str, str]
    y_true: str | None = None
    id: str | None = None
    sha256: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        others = (name for name in (self.y_true, self.id, self.sha256) if name)
        return (self.image, *self.features.values(), *others)


def image_root(path: Path, options: LoadOptions) -> Path:
    """Returns the folder below which a file of annotations names its images.

    Raises:
        DatasetError: the options name another folder, and it is not there.
    """
    if options.images is None:
        return path.parent
    if not options.images.is_dir():
        what = "there is no such folder of images"
        raise DatasetError([(str(options.images), 0, what, "Name one with --images")])
    return options.images


def read_all(paths: Sequence[Path], layout: Layout) -> list[Annotations]:
    """Returns the columns of a layout from several files of one dataset.

    Raises:
        DatasetError: one cannot be read, lacks a column, or has images where values should be.
    """
    tables = [read_annotations(path, layout.columns) for path in paths]
    others = {*layout.features.values(), layout.y_true, layout.sha256}
    problems = [
        (str(table.path), 0, f"{name} holds images, and no values", "Name another column")
        for table in tables
        for name in sorted(table.pictures & others)
    ]
    if problems:
        raise DatasetError(problems)
    return tables


def has_columns(path: Path, *names: str) -> bool:
    """Returns whether a file can be read and has all these columns."""
    try:
        return set(names) <= set(columns_of(path))
    except DatasetError:
        return False


def records_of(
    tables: Sequence[Annotations], layout: Layout, root: Path, read_value: ReadValue
) -> Iterator[Record]:
    """Yields a record for every row.

    Images inside Parquet files are called by the path that is stated for them, where every one has
    one and no two share it; else by file and row.
    """
    stated = [path for table in tables for path in table.cells[layout.image]]
    by_path = all(stated) and len(set(stated)) == len(stated)
    for table in tables:
        for place in range(len(table.rows)):
            yield _record(table, place, layout, root, read_value, by_path)


def _record(
    table: Annotations,
    place: int,
    layout: Layout,
    root: Path,
    read_value: ReadValue,
    by_path: bool,
) -> Record:
    def cell(column: str | None) -> str:
        return table.cells[column][place] if column else ""

    row = table.rows[place]
    reference: Reference | None
    image_id, reference = locate(cell(layout.image), root)
    if layout.image in table.pictures:
        image_id = cell(layout.image) if by_path else f"{table.path.stem}#{row}"
        reference = ParquetImage(table.path, row - 1, layout.image)
    values, wrong = _values(layout, cell, read_value)
    return Record(
        path=table.path,
        row=row,
        image_id=cell(layout.id).strip() if layout.id else image_id,
        reference=reference,
        y_true="" if is_nothing(cell(layout.y_true)) else cell(layout.y_true).strip(),
        values=values,
        sha256="" if is_nothing(cell(layout.sha256)) else cell(layout.sha256).strip(),
        wrong=wrong,
    )


def _values(
    layout: Layout, cell: Callable[[str], str], read_value: ReadValue
) -> tuple[dict[str, str], tuple[Wrong, ...]]:
    values: dict[str, str] = {}
    wrong = []
    for name, column in layout.features.items():
        text = cell(column).strip()
        value = text if is_nothing(text) else read_value(name, text)
        if isinstance(value, Wrong):
            wrong.append(value)
        values[name] = text if isinstance(value, Wrong) else value
    return values, tuple(wrong)
